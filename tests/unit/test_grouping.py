"""Round trips that many requests share: nobody is answered by a read that began before they asked (P14), nobody before
their item is written (P23), and a lone request never waits for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from service.storage.grouping import GroupCommit, SharedRead

SPACING = 0.05


class Counted:
    """Reads that say when they began, and writes that say what they wrote."""

    def __init__(self) -> None:
        self.reads = 0
        self.written: list[list[int]] = []

    async def read(self) -> int:
        self.reads += 1
        number = self.reads
        await asyncio.sleep(0.001)
        return number

    async def write(self, items: Sequence[int]) -> None:
        await asyncio.sleep(0.001)
        self.written.append(list(items))


async def test_whoever_asks_during_a_read_waits_for_the_next_one() -> None:
    counted = Counted()
    shared = SharedRead(counted.read)
    first = asyncio.create_task(shared.get())
    await asyncio.sleep(0.0005)
    later = [asyncio.create_task(shared.get()) for _ in range(5)]
    assert await first == 1
    assert set(await asyncio.gather(*later)) == {2}


async def test_requests_that_come_soon_after_one_another_share_a_read() -> None:
    counted = Counted()
    shared = SharedRead(counted.read, spacing=SPACING)
    assert await shared.get() == 1

    async def after(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return await shared.get()

    assert await asyncio.gather(*(after(place / 1_000) for place in range(10))) == [2] * 10


async def test_a_lone_request_does_not_wait() -> None:
    counted = Counted()
    shared, group = SharedRead(counted.read, spacing=5), GroupCommit(counted.write, spacing=5)
    async with asyncio.timeout(1):
        assert await shared.get() == 1
        await group.commit(7)
    assert counted.written == [[7]]


async def test_items_gather_and_each_is_written_once_before_its_answer() -> None:
    counted = Counted()
    group = GroupCommit(counted.write, spacing=SPACING)
    await group.commit(0)

    async def later(item: int) -> bool:
        await asyncio.sleep(item / 1_000)
        await group.commit(item)
        return any(item in batch for batch in counted.written)

    assert all(await asyncio.gather(*(later(item) for item in range(1, 11))))
    assert [sorted(batch) for batch in counted.written] == [[0], list(range(1, 11))]


async def test_a_write_that_fails_fails_for_its_own_items_alone() -> None:
    async def write(items: Sequence[int]) -> list[Exception | None]:
        return [ValueError(str(item)) if item == 2 else None for item in items]

    group = GroupCommit(write)
    found = await asyncio.gather(*(group.commit(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [type(one) for one in found] == [type(None), ValueError, type(None)]


async def test_a_read_that_fails_fails_for_all_who_waited_and_not_for_the_next() -> None:
    failures = [LookupError("once")]

    async def read() -> str:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop()
        return "well"

    shared = SharedRead(read, spacing=0.01)
    with pytest.raises(LookupError):
        await shared.get()
    assert await shared.get() == "well"
