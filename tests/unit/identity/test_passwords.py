"""Hashing: OWASP's parameters, off the event loop, bounded."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import extract_parameters

from service.errors import Code, Refused
from service.identity import passwords as module
from service.identity.passwords import Passwords, owasp_hasher
from tests.unit.identity.conftest import PASSWORD, CountingHasher

pytestmark = pytest.mark.asyncio


async def test_hashes_are_argon2id_with_owasp_parameters_and_salted() -> None:
    passwords = Passwords()

    one, two = await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)

    found = extract_parameters(one)
    assert one.startswith("$argon2id$")
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19456, 2, 1)
    assert one != two
    assert await passwords.verify(one, PASSWORD)
    assert not await passwords.verify(one, PASSWORD + " ")
    assert not passwords.is_outdated(one)
    assert passwords.is_outdated(CountingHasher().hash(PASSWORD))
    passwords.close()


async def test_the_same_password_typed_on_another_keyboard_is_the_same() -> None:
    passwords = Passwords(CountingHasher())

    assert await passwords.verify(await passwords.hash("café ｋettles 密码"), "cafe\u0301 kettles 密码")
    passwords.close()


async def test_no_account_takes_a_verification_and_is_never_right() -> None:
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    hasher.calls.clear()

    assert not await passwords.verify(None, PASSWORD)
    assert hasher.calls == ["verify"]
    assert not await passwords.verify("no hash at all", PASSWORD)
    passwords.close()


async def test_the_event_loop_goes_on_while_passwords_are_hashed() -> None:
    passwords = Passwords(owasp_hasher())
    hashing = asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(6)))
    turns = 0

    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1

    assert len(await hashing) == 6
    assert turns > 100
    passwords.close()


async def test_too_many_at_once_are_refused_not_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MOST", 3)
    passwords = Passwords(CountingHasher())

    outcomes = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(10)), return_exceptions=True)

    refusals = [o for o in outcomes if isinstance(o, Refused)]
    assert (len(refusals), {r.problem.code for r in refusals}) == (7, {Code.THROTTLED})
    assert await passwords.hash(PASSWORD)
    passwords.close()
