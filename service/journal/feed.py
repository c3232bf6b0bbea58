"""The feed: who waits for a record is woken when the journal gets an entry about a change of it.

A wake-up only: a slot holds one flag, no queue and no value, so a slow reader buffers nothing, and what is shown is
read anew, by the reader, with today's rights. One change stream for the process, open only while somebody watches.
When it breaks or is opened anew every slot is flagged: a reader may be woken once too often, never too seldom.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import structlog

from service.storage.grouping import end_task

OPENING_SECONDS = 5.0
"""How long a watcher waits for the stream; after that it goes on, and is woken once the stream is open."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
log = structlog.get_logger(__name__)


class Slot:
    """One watcher's flag."""

    __slots__ = ("_flag",)

    def __init__(self) -> None:
        self._flag = asyncio.Event()

    def flag(self) -> None:
        """Something may have changed."""
        self._flag.set()

    def clear(self) -> None:
        """The watcher has read nothing yet, so nothing can have changed since."""
        self._flag.clear()

    async def changed(self) -> None:
        """Returns once something changed since the last call; several changes are one."""
        await self._flag.wait()
        self._flag.clear()


class Feed:
    """`follow` yields None once it is open, then ids of changed records (`JournalRepository.changed_records`)."""

    def __init__(self, follow: Callable[[], AsyncIterator[list[str] | None]]) -> None:
        self._follow = follow
        self._slots: dict[str, set[Slot]] = {}
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watch(self, record: str) -> AsyncIterator[Slot]:
        """A slot of this record. What is read inside is complete: whatever changes afterwards flags the slot."""
        slot = Slot()
        self._slots.setdefault(record, set()).add(slot)
        try:
            if self._task is None:
                self._opened = asyncio.Event()
                self._task = asyncio.create_task(self._run(self._opened), name="feed")
            with suppress(TimeoutError):
                async with asyncio.timeout(OPENING_SECONDS):
                    await self._opened.wait()
            slot.clear()
            yield slot
        finally:
            await self._leave(record, slot)

    def flag_all(self) -> None:
        """Every watcher reads again: something that is no record, such as the policy, may show them something else."""
        self._flag(list(self._slots))

    async def _leave(self, record: str, slot: Slot) -> None:
        slots = self._slots[record]
        slots.discard(slot)
        if not slots:
            del self._slots[record]
        if not self._slots and self._task is not None:
            task, self._task = self._task, None
            await end_task(task)

    async def _run(self, opened: asyncio.Event) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                changes: Any = self._follow()
                async with aclosing(changes):
                    async for records in changes:
                        if records is None:
                            pause = FIRST_PAUSE
                            self.flag_all()
                            opened.set()
                        else:
                            self._flag(records)
            except Exception as error:
                log.warning("the feed's stream broke; opening it again", trouble=type(error).__name__)
            opened.clear()
            self.flag_all()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _flag(self, records: list[str]) -> None:
        for record in records:
            for slot in self._slots.get(record, ()):
                slot.flag()
