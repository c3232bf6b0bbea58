"""Text of scans and PDFs, read by a process that can do no harm.

`Reader` keeps one child (`service.evidence.reading.child`) and talks to it through pipes: no plaintext
ever stands in a file. Whatever a document does to the child, the answer is a ReadingResult with a reason,
and the next document gets a new child. This side imports no parser of pictures or PDFs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from service.evidence.reading import model
from service.evidence.reading.model import (
    FLAGS,
    REASONS,
    Box,
    Limits,
    Page,
    ReadingResult,
    page_from_line,
    result_from_line,
)

__all__ = [
    "FLAGS",
    "REASONS",
    "Box",
    "Limits",
    "OnPage",
    "Page",
    "Reader",
    "ReaderUnavailable",
    "ReadingResult",
    "read_document",
]

OnPage = Callable[[Page], Awaitable[None]]

_ROOT: Final = Path(__file__).resolve().parents[3]
_LINE_BYTES: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_START_SECONDS: Final = 60.0


class ReaderUnavailable(RuntimeError):
    """The child can't start or lacks a library: the fault is the installation's, not the document's."""


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process
    folder: tempfile.TemporaryDirectory[str]
    fences: tuple[str, ...]
    documents: int = 0


class Reader:
    """A warm child that reads one document after another. Use as `async with Reader(limits) as reader`.

    Concurrent calls of `read` wait for each other; take several readers for several processors.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return self._child.process.pid if self._child else None

    @property
    def fences(self) -> tuple[str, ...]:
        """Which fences of `confinement` stand around the child; empty before the first document."""
        return self._child.fences if self._child else ()

    async def read(self, document: Path | bytes, media_type: str, *, on_page: OnPage | None = None) -> ReadingResult:
        """Read one document. `on_page` is awaited with each page as soon as it is read.

        Never raises over a document: it is UNREADABLE, with a reason. Raises ReaderUnavailable when the
        installation lacks a part, OSError when a path can't be read, and whatever `on_page` raises.
        """
        async with self._turn:
            data = await asyncio.to_thread(document.read_bytes) if isinstance(document, Path) else document
            if len(data) > self.limits.max_bytes:
                return ReadingResult([], 0, "UNREADABLE", model.TOO_LARGE)
            child = await self._fit_child()
            child.documents += 1
            sending = asyncio.create_task(_send(child.process, data, media_type))
            is_fit = False
            try:
                result, is_fit = await self._listen(child, on_page)
                is_fit = is_fit and sending.done()
                return result
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError):
                    await sending
                if not is_fit:
                    await self._end(kill=True)

    async def close(self) -> None:
        """End the child, gently if it will."""
        async with self._turn:
            await self._end(kill=False)

    async def _fit_child(self) -> _Child:
        child = self._child
        if child is not None:
            if child.documents < self.limits.documents_per_child and child.process.returncode is None:
                return child
            await self._end(kill=False)
        folder = tempfile.TemporaryDirectory(prefix="anjuan-reading-")
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-s", "-B", "-m", "service.evidence.reading.child",
                json.dumps(asdict(self.limits)),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=folder.name, env=self._environment(folder.name), start_new_session=True,
                limit=_LINE_BYTES,
            )  # fmt: skip
        except BaseException:
            folder.cleanup()
            raise
        self._child = child = _Child(process, folder, ())
        try:
            async with asyncio.timeout(_START_SECONDS):
                child.fences = tuple(json.loads(await _output(process).readline())["ready"])
        except (TimeoutError, ValueError, LookupError, TypeError):
            await self._end(kill=True)
            raise ReaderUnavailable("the reading process does not start") from None
        except BaseException:
            await self._end(kill=True)
            raise
        return child

    def _environment(self, folder: str) -> dict[str, str]:
        """Nothing of our own environment, which holds secrets, except what Windows can't start without."""
        threads = str(self.limits.threads)
        needed = {
            "PATH": os.defpath, "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder,
            "PYTHONPATH": str(_ROOT),
            "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MALLOC_ARENA_MAX": "2",
            # onnxruntime reports to its maker unless told not to; the fences stop that, this never starts it.
            "ORT_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        if sys.platform == "win32":
            needed["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
        return needed

    async def _listen(self, child: _Child, on_page: OnPage | None) -> tuple[ReadingResult, bool]:
        """The result, and whether the child may read another document."""
        pages: list[Page] = []
        clock = asyncio.get_running_loop().time
        left = self.limits.document_seconds
        while True:
            started = clock()
            try:
                async with asyncio.timeout(min(left, self.limits.page_seconds)):
                    text = await _output(child.process).readline()
                if not text:
                    return _failed(pages, await self._cause(child)), False
                line = json.loads(text)
                if line.get("unavailable"):
                    raise ReaderUnavailable(f"the reading process lacks a part: {line['unavailable']}")
                if line.get("end"):
                    result = result_from_line(line, pages, self.limits)
                    return result, result.reason != model.OUT_OF_MEMORY
                if len(pages) == self.limits.max_pages:
                    raise ValueError("more pages than allowed")
                page = page_from_line(line, len(pages) + 1)
            except TimeoutError:
                return _failed(pages, model.TIMED_OUT), False
            except (ValueError, AttributeError):  # not the protocol: the document has taken the child over
                return _failed(pages, model.CRASHED), False
            left -= clock() - started
            pages.append(page)
            if on_page is not None:
                await on_page(page)

    async def _cause(self, child: _Child) -> str:
        """Why the child ended without an answer."""
        status = await child.process.wait()
        if sys.platform != "win32" and status == -signal.SIGXCPU:
            return model.TIMED_OUT
        return model.CRASHED

    async def _end(self, *, kill: bool) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        try:
            if not kill and child.process.stdin is not None:
                child.process.stdin.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        await child.process.wait()
        finally:
            with suppress(ProcessLookupError):
                _kill_group(child.process)
            await child.process.wait()
            child.folder.cleanup()


async def read_document(
    path: Path | bytes, media_type: str, limits: Limits, *, on_page: OnPage | None = None
) -> ReadingResult:
    """Read a single document with a child of its own; see `Reader.read`."""
    async with Reader(limits) as reader:
        return await reader.read(path, media_type, on_page=on_page)


def _failed(pages: list[Page], reason: str) -> ReadingResult:
    return ReadingResult(pages, 0, "UNREADABLE", reason)


def _output(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:  # pragma: no cover - it is started with a pipe
        raise ReaderUnavailable("the reading process has no output")
    return process.stdout


async def _send(process: asyncio.subprocess.Process, data: bytes, media_type: str) -> None:
    """Hand the document over; a child that died meanwhile is noticed by whoever listens."""
    pipe = process.stdin
    if pipe is None:  # pragma: no cover - it is started with a pipe
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(json.dumps({"media_type": media_type, "length": len(data)}).encode() + b"\n")
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK_BYTES):
            pipe.write(view[start : start + _CHUNK_BYTES])
            await pipe.drain()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    os.killpg(process.pid, signal.SIGKILL)
