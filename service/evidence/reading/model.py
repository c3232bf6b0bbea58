"""What a reading is: limits, pages, results, and the JSON lines that carry them from the child.

The child works on hostile files, so what it says is checked like any other input: `page_from_line` and
`result_from_line` accept bounded values of the right types and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

Source = Literal["TEXT_LAYER", "OCR"]
State = Literal["READ", "UNREADABLE"]

# Stable codes: why a document is UNREADABLE.
ENCRYPTED_PDF: Final = "ENCRYPTED_PDF"
TOO_MANY_PAGES: Final = "TOO_MANY_PAGES"
TOO_MANY_PIXELS: Final = "TOO_MANY_PIXELS"
TOO_LARGE: Final = "TOO_LARGE"
DAMAGED: Final = "DAMAGED"
TIMED_OUT: Final = "TIMED_OUT"
OUT_OF_MEMORY: Final = "OUT_OF_MEMORY"
CRASHED: Final = "CRASHED"
TYPE_NOT_READ: Final = "TYPE_NOT_READ"
REASONS: Final = frozenset({
    ENCRYPTED_PDF, TOO_MANY_PAGES, TOO_MANY_PIXELS, TOO_LARGE, DAMAGED, TIMED_OUT, OUT_OF_MEMORY, CRASHED,
    TYPE_NOT_READ,
})  # fmt: skip

# Stable codes: what people should know about a document, read or not.
ACTIVE_CONTENT: Final = "ACTIVE_CONTENT"
JAVASCRIPT: Final = "JAVASCRIPT"
LAUNCH_ACTION: Final = "LAUNCH_ACTION"
EMBEDDED_FILE: Final = "EMBEDDED_FILE"
SENDING_FORM: Final = "SENDING_FORM"
XFA_FORM: Final = "XFA_FORM"
RICH_MEDIA: Final = "RICH_MEDIA"
SECOND_FORMAT: Final = "SECOND_FORMAT"
NOT_EXAMINED: Final = "NOT_EXAMINED"
PAGE_DAMAGED: Final = "PAGE_DAMAGED"
REPAIRED: Final = "REPAIRED"
TEXT_CUT: Final = "TEXT_CUT"
FLAGS: Final = frozenset({
    ACTIVE_CONTENT, JAVASCRIPT, LAUNCH_ACTION, EMBEDDED_FILE, SENDING_FORM, XFA_FORM, RICH_MEDIA,
    SECOND_FORMAT, NOT_EXAMINED, PAGE_DAMAGED, REPAIRED, TEXT_CUT,
})  # fmt: skip

PAGE_CHARACTERS: Final = 100_000
PAGE_BOXES: Final = 5_000


class Unreadable(Exception):
    """Raised inside the child: the document can't be read, for one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost. Beyond any of these it is UNREADABLE, with the reason."""

    max_bytes: int = 200 * 1024 * 1024
    max_pages: int = 500
    max_pixels: int = 50_000_000
    """Pixels of one picture or rendered page; a PDF page is rendered smaller, a picture is refused."""
    max_dpi: int = 200
    page_seconds: float = 90.0
    """Wall-clock time without a page before the child is killed; the first includes loading the models."""
    document_seconds: float = 3600.0
    """Wall-clock time for the whole document, time spent in `on_page` not counted."""
    cpu_seconds: int = 7200
    memory_bytes: int = 4 * 1024**3
    """Address space of the child. Models and a picture of 50 megapixels were measured at 1.8 GiB."""
    threads: int = 2
    documents_per_child: int = 50
    """The child is replaced after so many documents, so that no leak in a native library can grow."""


class Box(NamedTuple):
    """Where a piece of text stands: top-left corner and size as shares (0..1) of the upright page."""

    x: float
    y: float
    w: float
    h: float
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page in reading order, lines separated by newlines. `number` counts from 1; `confidence` 0..1."""

    number: int
    text: str
    boxes: list[Box]
    source: Source
    confidence: float


@dataclass(frozen=True, slots=True)
class ReadingResult:
    """What became of a document. `reason` (one of REASONS) is set exactly when it is UNREADABLE.

    `pages` holds what was read before the trouble, too. `page_count` is 0 when it never became known.
    """

    pages: list[Page]
    page_count: int
    state: State
    reason: str | None = None
    flags: frozenset[str] = field(default_factory=frozenset)


@dataclass(slots=True)
class Report:
    """What the child learns about a document on the way, kept also when it proves unreadable."""

    page_count: int = 0
    flags: set[str] = field(default_factory=set)


def bounded(page: Page) -> tuple[Page, bool]:
    """The page within PAGE_CHARACTERS and PAGE_BOXES, and whether anything had to be cut for it."""
    kept: list[Box] = []
    room = PAGE_CHARACTERS
    for box in page.boxes[:PAGE_BOXES]:
        room -= len(box.text)
        if room < 0:
            break
        kept.append(box)
    is_cut = len(kept) < len(page.boxes) or len(page.text) > PAGE_CHARACTERS
    return Page(page.number, page.text[:PAGE_CHARACTERS], kept, page.source, page.confidence), is_cut


def page_to_line(page: Page) -> dict[str, object]:
    """The bounded page as the child writes it."""
    return {
        "page": page.number,
        "text": page.text,
        "boxes": [[*(round(number, 4) for number in box[:4]), box.text, round(box.confidence, 3)]
                  for box in page.boxes],
        "source": page.source,
        "confidence": round(page.confidence, 3),
    }  # fmt: skip


def page_from_line(line: Mapping[str, object], expected_number: int) -> Page:
    """The page that a line of the child describes. Raises ValueError when it is not a sound one."""
    source = line.get("source")
    boxes = line.get("boxes")
    if line.get("page") != expected_number or not isinstance(boxes, list) or len(boxes) > PAGE_BOXES:
        raise ValueError("not the next page")
    if source == "OCR":
        return Page(expected_number, _text(line.get("text")), [_box(box) for box in boxes], "OCR", _share(line))
    if source == "TEXT_LAYER":
        return Page(expected_number, _text(line.get("text")), [_box(box) for box in boxes], "TEXT_LAYER", _share(line))
    raise ValueError("not a known source")


def result_from_line(line: Mapping[str, object], pages: list[Page], limits: Limits) -> ReadingResult:
    """The result that the child's last line describes. Raises ValueError when it is not a sound one."""
    reason, flags, count = line.get("reason"), line.get("flags"), line.get("page_count")
    if not isinstance(flags, list) or not all(isinstance(flag, str) and flag in FLAGS for flag in flags):
        raise ValueError("not a list of known flags")
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**31:
        raise ValueError("not a number of pages")
    if reason is None:
        if not 0 < count == len(pages) <= limits.max_pages:
            raise ValueError("not as many pages as announced")
        return ReadingResult(pages, count, "READ", None, frozenset(flags))
    if not isinstance(reason, str) or reason not in REASONS:
        raise ValueError("not a known reason")
    return ReadingResult(pages, count, "UNREADABLE", reason, frozenset(flags))


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > PAGE_CHARACTERS:
        raise ValueError("not a bounded text")
    value.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    if not 0 <= value <= 1:
        raise ValueError("not a share")
    return float(value)


def _share(line: Mapping[str, object]) -> float:
    return _number(line.get("confidence"))


def _box(value: object) -> Box:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 6:
        raise ValueError("not a box")
    x, y, w, h, text, confidence = value
    return Box(_number(x), _number(y), _number(w), _number(h), _text(text), _number(confidence))
