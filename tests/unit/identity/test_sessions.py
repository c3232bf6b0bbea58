"""Signing in, rotating, reuse, ending: told on a real database, with two processes where it matters."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
import time_machine

from service.access.policy import Role
from service.clock import now
from service.errors import Code, DomainError, Invalid, NotSignedIn
from service.identity.model import SESSIONS, USERS, Tokens
from service.identity.tokens import RefreshSecret
from service.journal.model import JOURNAL
from tests.unit.identity.conftest import PASSWORD, CountingHasher, World

pytestmark = pytest.mark.asyncio


async def refused(code: Code, step: object, field: str | None = None) -> None:
    with pytest.raises(Invalid) as trouble:
        await step  # type: ignore[misc]
    assert [(p.code, p.field) for p in trouble.value.problems] == [(code, field)]


async def test_signing_in_gives_tokens_that_tell_who_asks(world: World) -> None:
    tokens = await world.sign_in(" Agent@Example.COM ")

    caller = await world.here.caller(tokens.access_token)

    assert (caller.actor.id, caller.actor.roles) == (tokens.user.id, frozenset({Role.AGENT}))
    assert caller.actor.department == tokens.user.department
    assert caller.actor.session is not None
    assert (caller.locale, caller.source, caller.request_id) == ("zh-CN", "192.0.2.7", "req_test")
    assert timedelta(seconds=598) < tokens.access_expires_at - now() <= timedelta(seconds=600)
    assert tokens.access_token not in repr(tokens)
    assert tokens.refresh_token not in repr(tokens)


async def test_a_refresh_token_is_nowhere_in_the_database(world: World) -> None:
    tokens = await world.sign_in("agent@example.com")
    secret = RefreshSecret.read(tokens.refresh_token)
    assert secret is not None

    stored = repr(await world.everything())

    for part in (secret.family, secret.turn, tokens.refresh_token, tokens.access_token):
        assert str(part) not in stored


async def test_a_refresh_gives_new_tokens_for_the_same_session(world: World) -> None:
    first = await world.sign_in("agent@example.com")
    session = (await world.here.actor(first.access_token)).session

    second = await world.refresh(first.refresh_token)
    third = await world.refresh(second.refresh_token)

    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert (await world.here.actor(third.access_token)).session == session
    assert (await world.actions())[-3:] == ["session.start", "session.refresh", "session.refresh"]


@pytest.mark.parametrize("spent", [0, 1])
async def test_reuse_of_any_old_token_ends_the_whole_family_in_every_process(world: World, spent: int) -> None:
    elsewhere = world.process()
    line = [await world.sign_in("agent@example.com")]
    for _ in range(2):
        line.append(await world.refresh(line[-1].refresh_token))
    assert await elsewhere.actor(line[-1].access_token)

    await refused(Code.INVALID_SESSION, world.refresh(line[spent].refresh_token))

    for tokens in line:
        await refused(Code.INVALID_SESSION, world.refresh(tokens.refresh_token))
        with pytest.raises(NotSignedIn):
            await elsewhere.actor(tokens.access_token)
    assert (await world.actions()).count("session.reuse") == 1


async def test_reuse_leaves_the_users_other_sessions_alone(world: World) -> None:
    stolen, other = await world.sign_in("agent@example.com"), await world.sign_in("agent@example.com")
    await world.refresh(stolen.refresh_token)

    await refused(Code.INVALID_SESSION, world.refresh(stolen.refresh_token))

    assert await world.here.actor((await world.refresh(other.refresh_token)).access_token)


async def test_fifty_concurrent_uses_of_one_token_make_exactly_one_successor(world: World) -> None:
    first = await world.sign_in("agent@example.com")
    processes = [world.here, world.process(), world.process()]

    outcomes = await asyncio.gather(
        *(
            processes[n % 3].identity.refresh(first.refresh_token, source="192.0.2.8", request_id=f"req_{n}")
            for n in range(50)
        ),
        return_exceptions=True,
    )

    successors = [o for o in outcomes if isinstance(o, Tokens)]
    others = [o for o in outcomes if not isinstance(o, Tokens)]
    assert len(successors) == 1
    assert all(isinstance(o, Invalid) and o.problems[0].code is Code.INVALID_SESSION for o in others), others
    sessions = await world.database.collection(SESSIONS).find({})
    assert [(s["version"], s["ended_because"]) for s in sessions] == [(2, "REUSE")]
    actions = await world.actions()
    assert (actions.count("session.refresh"), actions.count("session.reuse")) == (1, 1)


async def test_a_made_up_token_ends_nobodys_session(world: World) -> None:
    tokens = await world.sign_in("agent@example.com")
    before = await world.everything()
    real = tokens.refresh_token
    made_up = [
        "", "rt_", real[:-1], real + "A", real.replace("rt_", "st_"), real[:-1] + "é",
        RefreshSecret.fresh().text(), tokens.access_token, "rt_" + "é" * 86, "rt_" + "\ud800" * 86,
    ]  # fmt: skip

    for token in made_up:
        await refused(Code.INVALID_SESSION, world.refresh(token))

    assert await world.everything() == before


async def test_a_session_ends_when_it_was_not_used_for_its_days(world: World) -> None:
    tokens = await world.sign_in("agent@example.com")
    with time_machine.travel(now() + timedelta(days=13), tick=True):
        tokens = await world.refresh(tokens.refresh_token)
    with time_machine.travel(now() + timedelta(days=26), tick=True):
        tokens = await world.refresh(tokens.refresh_token)

    with time_machine.travel(now() + timedelta(days=41), tick=True):
        await refused(Code.INVALID_SESSION, world.refresh(tokens.refresh_token))

    assert "session.reuse" not in await world.actions()


async def test_signing_out_kills_access_and_refresh_tokens_in_every_process(world: World) -> None:
    elsewhere = world.process()
    tokens, other = await world.sign_in("agent@example.com"), await world.sign_in("agent@example.com")
    assert await elsewhere.actor(tokens.access_token)

    await world.identity.sign_out(await world.here.caller(tokens.access_token))

    for process in (world.here, elsewhere):
        with pytest.raises(NotSignedIn):
            await process.actor(tokens.access_token)
    await refused(Code.INVALID_SESSION, world.refresh(tokens.refresh_token))
    assert await elsewhere.actor(other.access_token)


async def test_an_access_token_is_read_from_the_database_once_per_epoch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await world.sign_in("agent@example.com")).access_token
    reads = 0
    genuine = world.identity.repository.signed_in

    async def counted(*arguments: object) -> object:
        nonlocal reads
        reads += 1
        return await genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.identity.repository, "signed_in", counted)
    for _ in range(5):
        await world.here.actor(token)
    assert reads == 1

    await world.identity.sign_out(await world.signed_in("auditor@example.com"))
    await world.here.actor(token)
    assert reads == 3  # the auditor's own, and this one again under the new epoch


async def test_what_was_read_while_the_epoch_rose_is_not_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await world.sign_in("agent@example.com")
    caller = await world.here.caller(tokens.access_token)
    late = world.process()
    genuine = late.identity.repository.signed_in

    async def overtaken(*arguments: object) -> object:
        found = await genuine(*arguments)  # type: ignore[arg-type]
        await world.identity.sign_out(caller)
        await late.epoch.refresh()
        return found

    monkeypatch.setattr(late.identity.repository, "signed_in", overtaken)
    await late.actor(tokens.access_token)
    monkeypatch.undo()

    with pytest.raises(NotSignedIn):
        await late.identity.authenticate(tokens.access_token)


async def test_a_remembered_token_still_expires(world: World) -> None:
    token = (await world.sign_in("agent@example.com")).access_token
    assert await world.here.actor(token)

    with time_machine.travel(now() + timedelta(seconds=606), tick=True), pytest.raises(NotSignedIn):
        await world.here.actor(token)


async def test_unknown_wrong_and_disabled_get_the_same_answer_after_the_same_work(world: World) -> None:
    admin = await world.signed_in("admin@example.com")
    gone = await world.user("gone@example.com", "AUDITOR")
    await world.identity.disable_user(admin, gone.id, gone.version)
    tries = [
        ("nobody@example.com", PASSWORD),
        ("agent@example.com", "not the password"),
        ("gone@example.com", PASSWORD),
        ("no address at all", PASSWORD),
        ("agent@example.com", PASSWORD + "x" * 300),
        ("\ud800@example.com", "\ud800"),
    ]
    answers, work = set(), set()

    for email, password in tries:
        world.here.hasher.calls.clear()
        with pytest.raises(DomainError) as trouble:
            await world.sign_in(email, password)
        answers.add(str(trouble.value))
        work.add(tuple(world.here.hasher.calls))

    assert answers == {"INVALID_CREDENTIALS(None)"}
    assert work == {("verify",)}


async def test_failed_sign_ins_are_summed_into_one_entry_without_personal_data(world: World) -> None:
    with time_machine.travel("2031-05-06T07:08:09+00:00", tick=False) as clock:
        for _ in range(3):
            await refused(Code.INVALID_CREDENTIALS, world.sign_in("agent@example.com", "wrong"))
        for _ in range(2):
            await refused(Code.INVALID_CREDENTIALS, world.sign_in("Stranger@example.com", "wrong"))
        assert "session.failure" not in await world.actions()
        clock.shift(60)
        assert await world.identity.journal_failures() == 2
        assert await world.identity.journal_failures() == 0

    entries = await world.database.collection(JOURNAL).find({"facets.action": "session.failure"})
    told = [json.loads(bytes(entry["entry"])) for entry in entries]
    agent = await world.identity.user_by_email("agent@example.com")
    assert agent is not None
    by_count = {entry["details"]["failures"]: entry for entry in told}
    assert by_count[3]["details"]["account"] == agent.id == by_count[3]["records"][0]["id"]
    assert by_count[2]["details"]["account"].startswith("hash:")
    assert {entry["details"]["minute"] for entry in told} == {"2031-05-06T07:08Z"}
    assert {entry["source"] for entry in told} == {"192.0.2.7"}
    assert "stranger" not in repr(entries).lower()
    assert await world.failures() == []


async def test_one_source_trying_many_accounts_makes_a_bounded_number_of_counters(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.identity.attempts.ACCOUNTS_MOST", 3)
    with time_machine.travel("2031-05-06T07:08:09+00:00", tick=False):
        for number in range(8):
            await refused(Code.INVALID_CREDENTIALS, world.sign_in(f"guess{number}@example.com", "wrong"))

    counters = {counter["account"]: counter["count"] for counter in await world.failures()}
    assert len(counters) == 4
    assert counters["others"] == 5


async def test_changing_the_password_ends_the_other_sessions_only(world: World) -> None:
    mine, other = await world.sign_in("agent@example.com"), await world.sign_in("agent@example.com")
    new = "seven green kettles 12"

    await world.identity.change_password(await world.here.caller(mine.access_token), PASSWORD, new)

    assert await world.here.actor((await world.refresh(mine.refresh_token)).access_token)
    with pytest.raises(NotSignedIn):
        await world.here.actor(other.access_token)
    await refused(Code.INVALID_SESSION, world.refresh(other.refresh_token))
    await refused(Code.INVALID_CREDENTIALS, world.sign_in("agent@example.com"))
    assert await world.sign_in("agent@example.com", new)


@pytest.mark.parametrize(
    ("current", "new", "code", "field"),
    [
        ("wrong password here", "seven green kettles", Code.INVALID_CREDENTIALS, "currentPassword"),
        (PASSWORD, "short", Code.WEAK_PASSWORD, "newPassword"),
        (PASSWORD, "agent@example.com", Code.WEAK_PASSWORD, "newPassword"),
        (PASSWORD, "x" * 257, Code.TOO_LONG, "newPassword"),
    ],
)
async def test_a_refused_change_of_password_changes_nothing(
    world: World, current: str, new: str, code: Code, field: str
) -> None:
    caller = await world.signed_in("agent@example.com")
    before = await world.everything()

    await refused(code, world.identity.change_password(caller, current, new), field)

    assert await world.everything() == before


async def test_an_outdated_hash_is_replaced_at_the_next_sign_in(world: World) -> None:
    stronger = world.process(CountingHasher(time_cost=2))
    for _ in range(2):
        await stronger.identity.sign_in("agent@example.com", PASSWORD, source="", request_id="")

    stored = await world.database.collection(USERS).find_one({"email": "agent@example.com"})
    assert stored is not None
    assert "t=2" in stored["password"]
    assert stronger.hasher.calls.count("hash") == 2  # the dummy at start, and one rehash
