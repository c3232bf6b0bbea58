"""Sessions are listed and ended: one's own by everybody, others' by administrators; dead at once, everywhere (P14)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine

from service.clock import new_id, now
from service.errors import Code, NotPermitted, NotSignedIn
from service.journal.model import JOURNAL
from tests.unit.identity.conftest import SOURCE, World
from tests.unit.identity.test_sessions import refused

pytestmark = pytest.mark.asyncio


async def test_everybody_sees_where_they_are_signed_in_and_nothing_that_signs_them_in(world: World) -> None:
    first = await world.sign_in("agent@example.com")
    caller = await world.signed_in("agent@example.com")
    await world.sign_in("auditor@example.com")
    with time_machine.travel(now() + timedelta(hours=1), tick=True):
        await world.refresh(first.refresh_token)

    newest, oldest = await world.identity.sessions(caller)

    assert (newest.id, newest.current, oldest.current) == (caller.actor.session, True, False)
    assert {newest.user, oldest.user} == {caller.actor.id}
    assert (newest.source, oldest.source) == (SOURCE, SOURCE)
    assert oldest.last_used_at - oldest.created_at > timedelta(minutes=59)
    assert newest.last_used_at == newest.created_at
    assert "hash" not in repr(newest)


async def test_pages_follow_each_other_and_what_is_over_is_not_listed(world: World) -> None:
    caller = await world.signed_in("agent@example.com")
    for _ in range(3):
        await world.sign_in("agent@example.com")
    await world.identity.sign_out(await world.signed_in("agent@example.com"))

    first = await world.identity.sessions(caller, first=2)
    rest = await world.identity.sessions(caller, first=9, after_id=first[-1].id)

    ids = [session.id for session in (*first, *rest)]
    assert len(ids) == 4
    assert ids == sorted(ids, reverse=True)
    with time_machine.travel(now() + timedelta(days=15), tick=True):
        assert await world.identity.sessions(caller) == []


@pytest.mark.parametrize("who", ["agent", "supervisor", "auditor"])
async def test_nobody_else_lists_or_ends_anothers_session(world: World, who: str) -> None:
    """Another's session is answered like one that there is not, and nothing changes (P15)."""
    mine = await world.signed_in("admin@example.com")
    assert mine.actor.session
    stranger = await world.signed_in(f"{who}@example.com")
    before = await world.everything()

    with pytest.raises(NotPermitted):
        await world.identity.sessions(stranger, mine.actor.id)
    await refused(Code.NOT_FOUND, world.identity.end_session(stranger, mine.actor.session), "id")
    await refused(Code.NOT_FOUND, world.identity.end_session(stranger, new_id("ses")), "id")

    assert await world.everything() == before


@pytest.mark.parametrize("by", ["agent", "admin"])
async def test_an_ended_session_is_dead_at_the_next_query_in_every_process(world: World, by: str) -> None:
    elsewhere = world.process()
    lost, kept = await world.sign_in("agent@example.com"), await world.sign_in("agent@example.com")
    session = (await elsewhere.actor(lost.access_token)).session
    assert session
    caller = await world.signed_in(f"{by}@example.com")
    if by == "admin":
        assert session in [one.id for one in await world.identity.sessions(caller, lost.user.id)]

    await world.identity.end_session(caller, session)

    for process in world.processes:
        with pytest.raises(NotSignedIn):
            await process.actor(lost.access_token)
        assert await process.actor(kept.access_token)
    await refused(Code.INVALID_SESSION, world.refresh(lost.refresh_token))
    await refused(Code.NOT_FOUND, world.identity.end_session(caller, session), "id")
    found = await world.database.collection(JOURNAL).find({"facets.action": "session.end"})
    (entry,) = [json.loads(bytes(one["entry"])) for one in found]
    assert (entry["actor"], entry["records"][0]["id"]) == (caller.actor.id, session)
    assert entry["details"] == {"user": lost.user.id}
