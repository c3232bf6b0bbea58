"""Shared token buckets: bounded over any number of processes, refilled evenly, never overdrawn (P11, R70)."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import pytest

from service.clock import clock_set, now
from service.storage import Database
from service.storage.buckets import INDEXES, Buckets, Rate

RATE = Rate(10, 300)


@pytest.fixture
async def buckets(database: Database) -> Buckets:
    """Buckets on the test's own database."""
    await database.ensure(INDEXES)
    return Buckets(database)


async def test_the_burst_is_there_at_once_and_then_one_at_a_time(buckets: Buckets) -> None:
    with clock_set(now()) as clock:
        assert [await buckets.take("k", RATE) for _ in range(10)] == [0.0] * 10
        assert await buckets.take("k", RATE) == pytest.approx(30, abs=0.01)
        clock.advance(timedelta(seconds=29))
        assert await buckets.take("k", RATE) == pytest.approx(1, abs=0.01)
        clock.advance(timedelta(seconds=1))
        assert [await buckets.take("k", RATE) > 0 for _ in range(2)] == [False, True]
        clock.advance(timedelta(hours=5))
        assert [await buckets.take("k", RATE) > 0 for _ in range(11)] == [False] * 10 + [True]


async def test_buckets_do_not_know_each_other(buckets: Buckets) -> None:
    assert await buckets.take("one", Rate(1, 60)) == 0
    assert await buckets.take("other", Rate(1, 60)) == 0
    assert await buckets.take("one", Rate(1, 60)) > 0


async def test_a_hundred_takers_in_two_processes_get_what_there_is_and_no_more(
    database: Database, buckets: Buckets
) -> None:
    other = Buckets(database)
    taken = await asyncio.gather(*((buckets, other)[n % 2].take("k", Rate(25, 3_600)) for n in range(100)))
    assert sum(1 for wait in taken if wait == 0) == 25


async def test_many_units_are_taken_together_or_not_at_all(buckets: Buckets) -> None:
    assert await buckets.take("k", RATE, 8) == 0
    assert await buckets.take("k", RATE, 3) > 0
    assert await buckets.take("k", RATE, 2) == 0
    assert await buckets.take("k", RATE, 11) == math.inf


async def test_what_is_given_back_can_be_taken_again(buckets: Buckets) -> None:
    assert await buckets.take("k", RATE, 10) == 0
    await buckets.give_back("k", RATE, 4)
    assert await buckets.take("k", RATE, 4) == 0
    assert await buckets.take("k", RATE) > 0
