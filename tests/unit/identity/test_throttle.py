"""Guessing passwords, from the attacker's side: slow from one source, slow from many, and nobody is locked out (P11)."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
import time_machine

from service.clock import now
from service.errors import Code, Invalid, Refused
from service.identity.model import KNOWN_SOURCES
from service.identity.passwords import owasp_hasher
from service.identity.throttle import OF_ACCOUNT, OF_PAIR, OF_SOURCE
from service.storage.buckets import BUCKETS
from tests.unit.identity.conftest import PASSWORD, World

pytestmark = pytest.mark.asyncio
MINE = "198.51.100.20"


async def guess(world: World, email: str, source: str = "203.0.113.9", password: str = "wrong") -> Code | None:
    """What a sign-in is told; None for a success."""
    try:
        await world.identity.sign_in(email, password, source=source, request_id="req_test")
    except Refused as refused:
        return refused.problem.code
    except Invalid as invalid:
        return invalid.problems[0].code
    return None


@pytest.mark.parametrize("email", ["agent@example.com", "nobody@example.com", "no address"])
async def test_one_source_guesses_an_account_a_few_times_and_then_slowly(world: World, email: str) -> None:
    """Known and unknown accounts alike; a refused guess is not even looked at."""
    with time_machine.travel(now(), tick=False) as clock:
        told = [await guess(world, email) for _ in range(OF_PAIR.burst + 3)]
        assert told == [Code.INVALID_CREDENTIALS] * OF_PAIR.burst + [Code.THROTTLED] * 3
        world.here.hasher.calls.clear()
        assert await guess(world, email, password=PASSWORD) is Code.THROTTLED, "not even with the right password"
        assert world.here.hasher.calls == []
        clock.shift(timedelta(seconds=OF_PAIR.seconds / OF_PAIR.burst))
        assert [await guess(world, email) for _ in range(2)] == [Code.INVALID_CREDENTIALS, Code.THROTTLED]
        clock.shift(timedelta(days=1))
        told = [await guess(world, email) for _ in range(OF_PAIR.burst + 1)]
        assert told == [Code.INVALID_CREDENTIALS] * OF_PAIR.burst + [Code.THROTTLED]


async def test_guesses_at_once_in_several_processes_are_charged_one_by_one(world: World) -> None:
    worlds = [world.here, world.process(), world.process()]
    attempts = [
        worlds[number % 3].identity.sign_in("agent@example.com", "wrong", source="203.0.113.9", request_id="")
        for number in range(40)
    ]
    told = await asyncio.gather(*attempts, return_exceptions=True)

    looked_at = [error for error in told if isinstance(error, Invalid)]
    throttled = [error for error in told if isinstance(error, Refused)]
    assert len(looked_at) + len(throttled) == 40
    assert len(looked_at) <= OF_PAIR.burst + 1


async def test_one_source_that_tries_many_accounts_is_slowed_down(world: World) -> None:
    with time_machine.travel(now(), tick=False):
        told = [await guess(world, f"guess{number}@example.com") for number in range(OF_SOURCE.burst + 2)]
        assert told.count(Code.THROTTLED) == 2
        assert await guess(world, "agent@example.com", "203.0.113.10") is Code.INVALID_CREDENTIALS


async def test_many_sources_guess_one_account_slowly_and_do_not_lock_its_owner_out(world: World) -> None:
    assert await guess(world, "agent@example.com", MINE, PASSWORD) is None
    with time_machine.travel(now(), tick=False):
        told = [await guess(world, "agent@example.com", f"203.0.113.{n}") for n in range(OF_ACCOUNT.burst + 5)]
        assert told.count(Code.THROTTLED) == 5
        assert await guess(world, "agent@example.com", "203.0.113.250", PASSWORD) is Code.THROTTLED
        assert await guess(world, "agent@example.com", MINE, PASSWORD) is None
        # The known source is no free pass: its own bucket counts.
        told = [await guess(world, "agent@example.com", MINE) for _ in range(OF_PAIR.burst + 1)]
        assert told[-1] is Code.THROTTLED


async def test_who_signs_in_often_is_not_throttled(world: World) -> None:
    with time_machine.travel(now(), tick=False):
        for _ in range(3 * OF_PAIR.burst):
            assert await guess(world, "agent@example.com", MINE, PASSWORD) is None


async def test_the_current_password_can_not_be_guessed_either(world: World) -> None:
    caller = await world.signed_in("agent@example.com")
    with time_machine.travel(now(), tick=False):
        for _ in range(OF_PAIR.burst):
            with pytest.raises(Invalid):
                await world.identity.change_password(caller, "wrong", "seven green kettles 12")
        with pytest.raises(Refused) as refused:
            await world.identity.change_password(caller, PASSWORD, "seven green kettles 12")
    assert refused.value.problem.code is Code.THROTTLED


async def test_throttled_guesses_are_counted_for_the_journal_and_name_nobody(world: World) -> None:
    with time_machine.travel(now(), tick=False):
        for _ in range(OF_PAIR.burst + 5):
            await guess(world, "nobody@example.com")
    assert sum(counter["count"] for counter in await world.failures()) == OF_PAIR.burst + 5
    assert await guess(world, "agent@example.com", MINE, PASSWORD) is None
    stored = [await world.database.collection(name).find({}) for name in (BUCKETS, KNOWN_SOURCES)]
    assert all(stored)
    for part in ("example.com", MINE, "203.0.113"):
        assert part not in repr(stored)


async def test_the_clock_does_not_tell_known_accounts_from_unknown_ones(world: World) -> None:
    """With the hashing in force, of 40 pairs of attempts neither kind is slower in more than 32 (a sign test: by chance
    once in some thousand runs; an attempt without its hash loses all 40).
    """
    process = world.process(owasp_hasher())  # type: ignore[arg-type]
    stored = await process.identity.passwords.hash(PASSWORD)
    await world.database.collection("users").update_one({"email": "agent@example.com"}, {"$set": {"password": stored}})

    async def took(email: str, turn: int) -> float:
        began = time.perf_counter()
        with pytest.raises(Invalid):
            await process.identity.sign_in(email, "wrong", source=f"203.0.113.{turn}", request_id="")
        return time.perf_counter() - began

    slower = 0
    for turn in range(40):
        pair = ["agent@example.com", "nobody@example.com"]
        times = {email: await took(email, turn) for email in (pair if turn % 2 else reversed(pair))}
        slower += times[pair[0]] > times[pair[1]]
    assert 8 <= slower <= 32, slower
