"""Concurrent requests share one round trip: a read that all of them wait for, or one insert for all.

`SharedRead`: a request is answered by a read that began after it asked, never by an older one.
`GroupCommit`: a request is answered after the write that holds its item succeeded.

What is done for many runs in a context of its own: no single request's deadline ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, Generic, TypeVar

T = TypeVar("T")
ASK_AGAIN_SECONDS = 0.5
TOGETHER_SECONDS = 0.002
"""How long a busy process lets requests gather for the next round trip of one kind; a lone request never waits."""


class _Pace:
    """Lets round trips begin no closer than `spacing` seconds to each other, so that more requests share one."""

    __slots__ = ("_began", "_spacing")

    def __init__(self, spacing: float) -> None:
        self._spacing = spacing
        self._began = float("-inf")

    async def next(self) -> None:
        """Returns when the next one may begin: at once, unless the last one began just now."""
        clock = asyncio.get_running_loop().time
        wait = self._began + self._spacing - clock()
        if wait > 0:
            await asyncio.sleep(wait)
        self._began = clock()


class SharedRead(Generic[T]):
    """Groups reads: while one is under way, all who ask wait together for the next."""

    def __init__(self, read: Callable[[], Awaitable[T]], *, spacing: float = 0.0) -> None:
        self._read = read
        self._pace = _Pace(spacing)
        self._next: asyncio.Future[T] | None = None
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """The value as of a moment after this call. Raises what the read raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run(), context=Context())
        return await asyncio.shield(self._next)

    async def _run(self) -> None:
        while self._next is not None:
            await self._pace.next()
            waiting, self._next = self._next, None
            try:
                value = await self._read()
            except BaseException as error:
                _fail(waiting, error)
                if isinstance(error, asyncio.CancelledError):
                    raise
            else:
                waiting.set_result(value)


class GroupCommit(Generic[T]):
    """Groups writes: items that arrive while one write is under way go into the next, together.

    `write` raises when nothing was written; or it returns what became of each item, where that may differ.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[Exception | None] | None]],
        *,
        largest: int = 500,
        spacing: float = 0.0,
    ) -> None:
        self._write = write
        self._pace = _Pace(spacing)
        self._largest = largest
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def commit(self, item: T) -> None:
        """Returns once the item is written. Raises what the write raises, or returns for this item."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), context=Context())
        await asyncio.shield(done)

    async def _run(self) -> None:
        while self._waiting:
            await self._pace.next()
            batch, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
            try:
                failures = await self._write([item for item, _ in batch])
            except BaseException as error:
                for _, done in batch:
                    _fail(done, error)
                if isinstance(error, asyncio.CancelledError):
                    raise
            else:
                for (_, done), failure in zip(batch, failures or (None,) * len(batch), strict=True):
                    if failure is None:
                        done.set_result(None)
                    else:
                        _fail(done, failure)


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancels a task until it is over: a driver under way may take a cancellation for its own and go on."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=ASK_AGAIN_SECONDS)


def _fail(waiting: asyncio.Future[T], error: BaseException) -> None:
    waiting.set_exception(error if isinstance(error, Exception) else RuntimeError("the group was cancelled"))
    waiting.exception()  # whoever awaited it was told; nobody left waiting is no fault either
