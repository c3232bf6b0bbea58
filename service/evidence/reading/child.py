"""The process that looks at files which nobody should trust.

It reads `{"media_type", "length"}` as one line of JSON and that many bytes from standard input, and answers
on standard output, one line of JSON each: every page, then `{"end": true, "reason", "page_count", "flags"}`.
It says `{"ready": [fences]}` once at its start, and `{"unavailable": what}` when a library is not installed.
Plaintext stays in memory: see `confinement`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from service.evidence.reading import model
from service.evidence.reading.confinement import allow_processor_seconds, confine
from service.evidence.reading.model import Limits, Page, Report, Unreadable
from service.evidence.reading.recognition import Recogniser

_ARCHIVE_END: Final = b"PK\x05\x06"
_ARCHIVE_TAIL_BYTES: Final = 66_000  # where a zip's end record stands (APPNOTE 4.3.16)


def main() -> None:
    """Serve documents until standard input ends."""
    limits = Limits(**json.loads(sys.argv[1]))
    # Libraries may print; the pipe to the parent belongs to the protocol alone.
    answers = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    fences = confine(limits.memory_bytes)
    _say(answers, {"ready": fences})
    recogniser = Recogniser(limits.threads)
    while header := sys.stdin.buffer.readline(1024):
        request = json.loads(header)
        data = _exactly(sys.stdin.buffer, request["length"])
        allow_processor_seconds(limits.cpu_seconds)
        if not serve(answers, data, request["media_type"], limits, recogniser):
            return


def serve(answers: BinaryIO, data: bytes, media_type: str, limits: Limits, recogniser: Recogniser) -> bool:
    """Answer one document; whether this process is fit for another."""
    report = Report()
    reason: str | None = None
    try:
        for page in pages_of(data, media_type, limits, report, recogniser):
            kept, is_cut = model.bounded(page)
            if is_cut:
                report.flags.add(model.TEXT_CUT)
            _say(answers, model.page_to_line(kept))
    except Unreadable as error:
        reason = error.reason
    except (ImportError, FileNotFoundError) as error:
        _say(answers, {"unavailable": type(error).__name__})
        return False
    except BrokenPipeError:
        return False
    except Exception as error:
        reason = model.OUT_OF_MEMORY if _is_about_memory(error) else model.DAMAGED
    end = {"end": True, "reason": reason, "page_count": report.page_count, "flags": sorted(report.flags)}
    _say(answers, end)
    return reason != model.OUT_OF_MEMORY


def pages_of(data: bytes, media_type: str, limits: Limits, report: Report, recogniser: Recogniser) -> Iterator[Page]:
    """The pages of one document, parsed as the given media type and as no other."""
    if _ARCHIVE_END in data[-_ARCHIVE_TAIL_BYTES:]:
        report.flags.add(model.SECOND_FORMAT)
    if media_type == "application/pdf":
        pdf = importlib.import_module("service.evidence.reading.pdf")
        pdf.examine(data, report)
        yield from pdf.pdf_pages(data, limits, report, recogniser.recognise)
        return
    picture = importlib.import_module("service.evidence.reading.picture")
    if media_type not in picture.FORMATS:
        raise Unreadable(model.TYPE_NOT_READ)
    for number, image in enumerate(picture.pictures(data, media_type, limits, report), start=1):
        read = recogniser.recognise(image)
        yield Page(number, read.text, read.boxes, "OCR", read.confidence)


def _is_about_memory(error: Exception) -> bool:
    """Native libraries wrap a failed allocation in exceptions of their own."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or "memory" in text or "allocat" in text


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise SystemExit(1)
    return data


def _say(answers: BinaryIO, line: Mapping[str, object]) -> None:
    answers.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
