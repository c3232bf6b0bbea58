"""Draws the scans in a process of its own, beside what is being loaded, and hands them over through a pipe.

A thread would not do: drawing keeps the interpreter to itself, and every answer of the database would wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

from infra.demo.content import make_content

Drawn = Mapping[str, asyncio.Future[bytes]]
_HEAD = 4


class DrawingFailed(Exception):
    """The process that draws ended before all scans were drawn."""


@asynccontextmanager
async def drawing(seed: int, scale: float, keys: Iterable[str]) -> AsyncIterator[Drawn]:
    """The bytes of the content's scans by key, as they are finished, the tour's first. `keys` are all of them, in
    order; the futures raise DrawingFailed.
    """
    loop = asyncio.get_running_loop()
    drawn: dict[str, asyncio.Future[bytes]] = {key: loop.create_future() for key in keys}
    # A session of its own: Ctrl-C is for the parent, and a child without one ends at its next write.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.demo.drawing",
        str(seed),
        str(scale),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    receiving = asyncio.create_task(_receive(process.stdout, drawn))
    try:
        yield drawn
    finally:
        receiving.cancel()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _receive(pipe: asyncio.StreamReader, drawn: Drawn) -> None:
    try:
        for future in drawn.values():
            size = int.from_bytes(await pipe.readexactly(_HEAD))
            future.set_result(await pipe.readexactly(size))
    except asyncio.IncompleteReadError:
        for future in drawn.values():
            if not future.done():
                future.set_exception(DrawingFailed("the scans could not be drawn"))
                future.exception()  # whoever waits is told; nobody waiting is no fault


def _draw_all(seed: int, scale: float, pipe: BinaryIO) -> None:
    """Every scan in order: its length (4 bytes, big-endian), then its bytes."""
    for scan in make_content(seed, scale).scans:
        body = scan.draw()
        pipe.write(len(body).to_bytes(_HEAD) + body)
        pipe.flush()


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        _draw_all(int(sys.argv[1]), float(sys.argv[2]), sys.stdout.buffer)
