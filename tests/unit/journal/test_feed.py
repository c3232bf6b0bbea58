"""The feed wakes whoever watches a record, over a real change stream, with either driver; and leaves no task behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.journal import feed as feed_module
from service.journal.feed import Feed, Slot
from service.journal.model import JOURNAL
from service.journal.repository import INDEXES, JournalRepository
from service.storage import Database

PATIENCE = 5.0


@pytest.fixture(params=["pymongo", "motor"])
def driver(request: pytest.FixtureRequest) -> str:
    """Each driver in its turn."""
    return str(request.param)


@pytest.fixture
async def feed(database: Database) -> Feed:
    """A feed of an empty journal."""
    await database.ensure(INDEXES)
    return Feed(JournalRepository(database).changed_records)


def entry(identifier: str, *records: str, index: tuple[str, ...] = (), before: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"_id": identifier, "facets": {"records": list(records)}, "entry": b"x"}
    if index:
        found["progress"] = {"todo": True, "index": list(index)}
    if before:
        found["before"] = [{"id": record} for record in records]
    return found


async def write(database: Database, *documents: dict[str, Any]) -> None:
    await database.transact(lambda unit: unit.collection(JOURNAL).insert_many(list(documents)))


async def is_woken(slot: Slot, seconds: float = PATIENCE) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await slot.changed()
    except TimeoutError:
        return False
    return True


def own_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name() == "feed"}


async def test_a_change_wakes_who_watches_the_record_and_nobody_else(database: Database, feed: Feed) -> None:
    async with feed.watch("cas_a") as slot, feed.watch("cas_a") as other, feed.watch("cas_b") as unconcerned:
        await write(database, entry("jrn_1", "cas_a"))
        assert await is_woken(slot)
        assert await is_woken(other)
        assert not await is_woken(unconcerned, 0.3)
        assert not await is_woken(slot, 0.1), "one change is told once"


async def test_a_change_right_after_watching_began_is_not_missed(database: Database, feed: Feed) -> None:
    for number in range(10):
        async with feed.watch("cas_a") as slot:
            await write(database, entry(f"jrn_{number}", "cas_a"))
            assert await is_woken(slot)


async def test_what_a_file_says_wakes_its_case(database: Database, feed: Feed) -> None:
    """An entry about a text names the file, and its case as index work."""
    async with feed.watch("cas_a") as of_case, feed.watch("evd_a") as of_file:
        await write(database, entry("jrn_1", "evd_a", index=("cas_a",), before=False))
        assert await is_woken(of_case)
        assert await is_woken(of_file)


async def test_readings_wake_nobody(database: Database, feed: Feed) -> None:
    """Otherwise each delivery, which is journalled, would cause the next."""
    async with feed.watch("cas_a") as slot:
        await write(database, entry("jrn_1", "cas_a", before=False))
        assert not await is_woken(slot, 0.5)


async def test_many_changes_are_one_flag(database: Database, feed: Feed) -> None:
    async with feed.watch("cas_a") as slot:
        for number in range(20):
            await write(database, entry(f"jrn_{number}", "cas_a"))
        await asyncio.sleep(0.5)
        assert await is_woken(slot)
        assert not await is_woken(slot, 0.3)


async def test_the_stream_runs_only_while_somebody_watches(database: Database, feed: Feed) -> None:
    assert own_tasks() == set()
    async with feed.watch("cas_a"):
        async with feed.watch("cas_b"):
            assert own_tasks() == {"feed"}
        assert own_tasks() == {"feed"}
    assert own_tasks() == set()
    async with feed.watch("cas_a") as slot:
        await write(database, entry("jrn_1", "cas_a"))
        assert await is_woken(slot), "it runs again for the next"
    assert own_tasks() == set()


async def test_a_watcher_that_is_cancelled_leaves_nothing(feed: Feed) -> None:
    async def watch() -> None:
        async with feed.watch("cas_a") as slot:
            await slot.changed()

    for pause in (0.0, 0.001, 0.05):
        watchers = [asyncio.create_task(watch()) for _ in range(5)]
        await asyncio.sleep(pause)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        assert own_tasks() == set()
        assert feed._slots == {}


# Trouble, by streams of our own making


async def test_every_slot_is_flagged_when_the_stream_breaks_and_when_it_is_open_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "FIRST_PAUSE", 0.01)
    breaks, reopens, opened = asyncio.Event(), asyncio.Event(), 0

    async def follow() -> AsyncIterator[list[str] | None]:
        nonlocal opened
        opened += 1
        if opened == 2:
            await reopens.wait()
        yield None
        await breaks.wait()
        breaks.clear()
        raise ConnectionError

    feed = Feed(follow)
    async with feed.watch("cas_a") as first, feed.watch("cas_b") as second:
        assert not await is_woken(first, 0.05)
        breaks.set()
        assert await is_woken(first)
        assert await is_woken(second)
        assert not await is_woken(first, 0.05)
        reopens.set()
        assert await is_woken(first)
        assert await is_woken(second)
    assert opened == 2
    assert own_tasks() == set()


async def test_who_could_not_wait_for_the_stream_is_woken_once_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "OPENING_SECONDS", 0.05)
    opens = asyncio.Event()

    async def follow() -> AsyncIterator[list[str] | None]:
        await opens.wait()
        yield None
        await asyncio.Event().wait()

    async with Feed(follow).watch("cas_a") as slot:
        assert not await is_woken(slot, 0.05)
        opens.set()
        assert await is_woken(slot)
