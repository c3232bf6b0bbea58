"""Programs with keys of their own: what they may, how long, and how they end (P14, P15)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import time_machine

from service.access.actor import Caller
from service.access.policy import Relation, Role
from service.clock import new_id, now
from service.errors import Code, Invalid, NotPermitted, NotSignedIn
from service.identity.model import SERVICE_ACCOUNTS, NewServiceKey
from service.identity.service_account_repository import INDEXES
from service.identity.service_accounts import ServiceAccounts
from service.journal.model import JOURNAL
from service.journal.service import Journal
from tests.unit.identity.conftest import PASSWORD, Process, World

NEW = {"name": "报表导出", "roles": ["AUDITOR"], "steps": ["audit.read"]}


@dataclass
class Programs:
    """Service accounts in two processes, and the administrator."""

    world: World
    accounts: ServiceAccounts
    elsewhere: Process
    admin: Caller

    async def made(self, **changes: Any) -> NewServiceKey:
        return await self.accounts.create(self.admin, {**NEW, **changes})

    async def stored(self) -> list[dict[str, Any]]:
        return await self.world.database.collection(SERVICE_ACCOUNTS).find({})


@pytest_asyncio.fixture
async def programs(world: World) -> AsyncIterator[Programs]:
    """They accept keys, like each process of the API."""
    await world.database.ensure(INDEXES)
    elsewhere, journal = world.process(), Journal(world.database)
    for process in (world.here, elsewhere):
        process.identity.open_door(ServiceAccounts(world.database, process.identity, journal))
    accounts = ServiceAccounts(world.database, world.identity, journal)
    yield Programs(world, accounts, elsewhere, await world.signed_in("admin@example.com"))


async def problems(step: Any) -> list[tuple[Code, str | None]]:
    with pytest.raises(Invalid) as trouble:
        await step
    return [(problem.code, problem.field) for problem in trouble.value.problems]


async def test_a_key_is_told_once_and_stands_nowhere(programs: Programs) -> None:
    made = await programs.made()

    assert made.key.startswith("ak_")
    assert len(made.key) == 46
    assert made.key not in repr(made)
    stored = repr(await programs.stored()) + repr(await programs.world.database.collection(JOURNAL).find({}))
    assert made.key not in stored
    assert made.key[3:] not in stored
    listed = await programs.accounts.accounts(programs.admin)
    assert [account.id for account in listed] == [made.account.id]
    assert "hash" not in repr(listed)


async def test_a_program_is_its_roles_and_takes_its_steps_alone(programs: Programs) -> None:
    department = programs.admin.actor.department
    made = await programs.made(roles=["SUPERVISOR"], department=department, steps=["customer.create"])

    caller = await programs.world.here.caller(made.key)

    assert (caller.actor.id, caller.actor.roles) == (made.account.id, {Role.SUPERVISOR})
    assert (caller.actor.department, caller.actor.session) == (department, None)
    assert caller.reach.department == department
    assert caller.may("customer.create")
    everywhere = frozenset(Relation)
    others = [step for step in caller.policy.steps if step != "customer.create"]
    assert [step for step in others if caller.may(step, everywhere)] == []
    assert await programs.world.identity.sessions(caller) == []
    with pytest.raises(NotPermitted):
        await programs.world.identity.create_user(caller, {})
    with pytest.raises(NotPermitted):
        await programs.accounts.create(caller, NEW)
    with pytest.raises(NotSignedIn):
        await programs.world.identity.change_password(caller, PASSWORD, "seven green kettles 12")


async def test_without_steps_it_only_reads(programs: Programs) -> None:
    caller = await programs.world.here.caller((await programs.made(steps=None)).key)
    assert caller.reach.every
    assert [step for step in caller.policy.steps if caller.may(step, frozenset(Relation))] == []


async def test_a_revoked_key_is_dead_at_the_next_query_in_every_process(programs: Programs) -> None:
    made = await programs.made()
    second = await programs.accounts.create_key(programs.admin, made.account.id, None)
    for process in (programs.world.here, programs.elsewhere):
        assert await process.caller(made.key)

    after = await programs.accounts.revoke_key(programs.admin, made.account.keys[0].id)

    for process in (programs.world.here, programs.elsewhere):
        with pytest.raises(NotSignedIn):
            await process.caller(made.key)
        assert await process.caller(second.key)
    assert [key.revoked_at is None for key in after.keys] == [False, True]
    again = programs.accounts.revoke_key(programs.admin, made.account.keys[0].id)
    assert await problems(again) == [(Code.NOT_FOUND, "key")]
    found = await programs.world.database.collection(JOURNAL).find(
        {"facets.records": made.account.id}, sort=[("_id", 1)]
    )
    told = [json.loads(bytes(one["entry"])) for one in found]
    assert [entry["action"] for entry in told] == ["service_account.create", "service_key.create", "service_key.revoke"]
    assert {entry["actor"] for entry in told} == {programs.admin.actor.id}


async def test_a_key_ends_by_its_date_also_where_it_is_remembered(programs: Programs) -> None:
    made = await programs.made(expires_at=now() + timedelta(hours=30))
    for hours in (0, 1, 29):
        with time_machine.travel(now() + timedelta(hours=hours), tick=True):
            caller = await programs.world.here.caller(made.key)
            assert caller.expires == made.account.keys[0].expires_at
    with time_machine.travel(now() + timedelta(hours=31), tick=True):
        for process in (programs.world.here, programs.elsewhere):
            with pytest.raises(NotSignedIn):
                await process.caller(made.key)


async def test_the_last_use_is_known_to_the_hour_and_written_once_in_it(programs: Programs) -> None:
    made = await programs.made()
    assert made.account.keys[0].last_used_at is None
    with time_machine.travel("2031-05-06T07:08:09+00:00", tick=False) as clock:
        made = await programs.made()
        for _ in range(5):
            await programs.world.here.caller(made.key)
            await programs.elsewhere.caller(made.key)
        (key,) = (await programs.accounts.accounts(programs.admin))[-1].keys
        assert key.last_used_at == now().replace(minute=0, second=0)
        clock.shift(timedelta(hours=2))
        await programs.world.here.caller(made.key)
        (key,) = (await programs.accounts.accounts(programs.admin))[-1].keys
        assert key.last_used_at == now().replace(minute=0, second=0)


async def test_made_up_keys_open_nothing(programs: Programs) -> None:
    made = await programs.made()
    for key in ("ak_", "ak_" + "x" * 43, made.key[:-1], made.key + "A", made.key.upper(), made.key[3:], f" {made.key}"):
        with pytest.raises(NotSignedIn):
            await programs.world.here.caller(key)


@pytest.mark.parametrize("who", ["agent", "supervisor", "auditor"])
async def test_nobody_else_manages_programs(programs: Programs, who: str) -> None:
    made = await programs.made()
    caller, before = await programs.world.signed_in(f"{who}@example.com"), await programs.stored()
    for step in (
        programs.accounts.create(caller, NEW),
        programs.accounts.create_key(caller, made.account.id, None),
        programs.accounts.revoke_key(caller, made.account.keys[0].id),
        programs.accounts.accounts(caller),
    ):
        with pytest.raises(NotPermitted):
            await step
    assert await programs.stored() == before
    assert await programs.world.here.caller(made.key)


async def test_bad_input_names_its_field_and_changes_nothing(programs: Programs) -> None:
    far, past = now() + timedelta(days=367), now() - timedelta(seconds=1)
    for changes, code, field in (
        ({"name": " "}, Code.REQUIRED, "name"),
        ({"name": "x" * 101}, Code.TOO_LONG, "name"),
        ({"roles": [], "steps": []}, Code.REQUIRED, "roles"),
        ({"roles": ["ADMIN"], "steps": []}, Code.VALIDATION, "roles"),
        ({"roles": ["AUDITOR", "ADMIN"]}, Code.VALIDATION, "roles"),
        ({"roles": ["CLERK"], "steps": []}, Code.REQUIRED, "department"),
        ({"department": new_id("usr")}, Code.INVALID_ID, "department"),
        ({"department": new_id("dep")}, Code.NOT_FOUND, "department"),
        ({"steps": ["user.manage"]}, Code.VALIDATION, "steps"),
        ({"steps": ["service_account.manage"]}, Code.VALIDATION, "steps"),
        ({"steps": ["case.close"]}, Code.VALIDATION, "steps"),
        ({"steps": ["no such step"]}, Code.VALIDATION, "steps"),
        ({"steps": [f"step{number}" for number in range(51)]}, Code.TOO_MANY, "steps"),
        ({"expires_at": far}, Code.VALIDATION, "expiresAt"),
        ({"expires_at": past}, Code.VALIDATION, "expiresAt"),
    ):
        found = await problems(programs.made(**changes))
        assert found[0] == (code, field), changes
    for role in ("AGENT", "ACCOUNT_MANAGER"):
        department = programs.admin.actor.department
        found = await problems(programs.made(roles=[role], department=department, steps=[]))
        assert found == [(Code.VALIDATION, "roles")], "what it made would belong to it"
    assert await programs.stored() == []


async def test_keys_are_bounded_in_number_and_old_ones_leave_the_list(programs: Programs) -> None:
    made = await programs.made()
    for _ in range(9):
        await programs.accounts.create_key(programs.admin, made.account.id, None)
    more = programs.accounts.create_key(programs.admin, made.account.id, None)
    assert await problems(more) == [(Code.TOO_MANY, "keys")]
    absent = programs.accounts.create_key(programs.admin, new_id("svc"), None)
    assert await problems(absent) == [(Code.NOT_FOUND, "id")]
    with time_machine.travel(now() + timedelta(days=200), tick=True):
        fresh = await programs.accounts.create_key(programs.admin, made.account.id, None)
    assert len(fresh.account.keys) == 1
