"""Who may manage and list whom, what a change of rights does at once, that denied steps change nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.access.declared import shape_of
from service.access.policy import Role
from service.clock import new_id
from service.errors import Code, Invalid, NotPermitted, NotSignedIn
from service.identity.model import USERS, Department, User, UserState
from service.journal.model import JOURNAL
from tests.unit.identity.conftest import PASSWORD, World
from tests.unit.identity.test_sessions import refused

pytestmark = pytest.mark.asyncio

NEW = {
    "email": "New.One@Example.com",
    "name": "新同事",
    "roles": ["AUDITOR", "COMPLIANCE"],
    "locale": "en",
}


async def found(world: World, email: str) -> User:
    user = await world.identity.user_by_email(email)
    assert user is not None
    return user


async def problems(step: Any) -> set[tuple[Code, str | None]]:
    with pytest.raises(Invalid) as trouble:
        await step
    return {(p.code, p.field) for p in trouble.value.problems}


async def test_every_field_of_staff_is_declared_and_none_signs_anybody_in() -> None:
    names = {field.name for model in (User, Department) for field in shape_of(model).fields}

    assert "roles" in names
    assert not any("password" in name or "hash" in name for name in names)


async def test_an_administrator_creates_a_user_who_can_sign_in(world: World) -> None:
    admin = await world.signed_in("admin@example.com")
    values = {**NEW, "department": admin.actor.department, "password": "seven green kettles 12"}

    made = await world.identity.create_user(admin, values)

    assert made.initial_password is None
    assert made.user.email == "new.one@example.com"
    assert made.user.roles == [Role.COMPLIANCE, Role.AUDITOR]
    assert (made.user.locale, made.user.state, made.user.version) == ("en", UserState.ACTIVE, 1)
    tokens = await world.sign_in("new.one@example.com", "seven green kettles 12")
    assert tokens.user == await world.identity.user(made.user.id) == made.user
    entry = (await world.database.collection(JOURNAL).find({"facets.actor": admin.actor.id}, sort=[("_id", 1)]))[-1]
    assert (entry["facets"]["actor"], entry["facets"]["records"]) == (admin.actor.id, [made.user.id])
    assert "example.com" not in bytes(entry["entry"]).decode()


async def test_without_a_password_one_is_made_and_told_once(world: World) -> None:
    made = await world.identity.create_user(await world.signed_in("admin@example.com"), NEW)

    assert made.initial_password is not None
    assert len(made.initial_password) == 20
    assert made.initial_password not in repr(made)
    assert made.initial_password not in repr(await world.everything())
    assert await world.sign_in("new.one@example.com", made.initial_password)


@pytest.mark.parametrize("who", ["agent", "supervisor", "auditor"])
async def test_nobody_else_manages_users_or_departments(world: World, who: str) -> None:
    caller = await world.signed_in(f"{who}@example.com")
    admin = await found(world, "admin@example.com")
    me = await found(world, f"{who}@example.com")
    before = await world.everything()

    for step in (
        world.identity.create_user(caller, {**NEW, "password": PASSWORD}),
        world.identity.update_user(caller, me.id, me.version, {"roles": ["ADMIN"]}),
        world.identity.disable_user(caller, admin.id, admin.version),
        world.identity.create_department(caller, {"key": "x", "name": {"zh-CN": "x", "en": "x"}}),
    ):
        with pytest.raises(NotPermitted):
            await step

    assert await world.everything() == before


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"email": "not an address"}, Code.INVALID_FORMAT, "email"),
        ({"email": "Ｋ@example.com"}, Code.INVALID_FORMAT, "email"),
        ({"email": "\u212a@example.com"}, Code.INVALID_FORMAT, "email"),
        ({"email": None}, Code.REQUIRED, "email"),
        ({"email": "AGENT@example.com"}, Code.DUPLICATE, "email"),
        ({"name": " "}, Code.REQUIRED, "name"),
        ({"name": "x" * 101}, Code.TOO_LONG, "name"),
        ({"name": "a\nb"}, Code.INVALID_FORMAT, "name"),
        ({"name": "\ud800"}, Code.INVALID_FORMAT, "name"),
        ({"roles": []}, Code.REQUIRED, "roles"),
        ({"roles": "ADMIN"}, Code.WRONG_TYPE, "roles"),
        ({"roles": ["AUDITOR", "KING"]}, Code.WRONG_TYPE, "roles.1"),
        ({"roles": ["AGENT"]}, Code.REQUIRED, "department"),
        ({"roles": ["ACCOUNT_MANAGER", "ADMIN"], "department": None}, Code.REQUIRED, "department"),
        ({"roles": ["SUPERVISOR"]}, Code.REQUIRED, "department"),
        ({"roles": ["CLERK"]}, Code.REQUIRED, "department"),
        ({"roles": [{"$ne": 1}]}, Code.WRONG_TYPE, "roles.0"),
        ({"department": new_id("dep")}, Code.NOT_FOUND, "department"),
        ({"department": new_id("usr")}, Code.INVALID_ID, "department"),
        ({"locale": "fr"}, Code.WRONG_TYPE, "locale"),
        ({"locale": {}}, Code.WRONG_TYPE, "locale"),
        ({"password": "elevenchars"}, Code.WEAK_PASSWORD, "password"),
        ({"password": "PasswordPassword"}, Code.WEAK_PASSWORD, "password"),
        ({"password": "aaaaaaaaaaaabbbb"}, Code.WEAK_PASSWORD, "password"),
        ({"password": "New.One@example.com"}, Code.WEAK_PASSWORD, "password"),
        ({"password": "x" * 257}, Code.TOO_LONG, "password"),
        ({"password": "seven green \ud800 kettles"}, Code.INVALID_FORMAT, "password"),
        ({"password": ""}, Code.REQUIRED, "password"),
        ({"is_owner": True}, Code.FIELD_NOT_EDITABLE, "isOwner"),
        ({"version": 7}, Code.FIELD_NOT_EDITABLE, "version"),
    ],
)
async def test_bad_input_names_its_field_and_changes_nothing(
    world: World, change: dict[str, Any], code: Code, field: str
) -> None:
    admin = await world.signed_in("admin@example.com")
    before = await world.everything()

    assert await problems(world.identity.create_user(admin, {**NEW, "password": PASSWORD, **change})) == {(code, field)}

    assert await world.everything() == before


async def test_all_problems_are_told_at_once(world: World) -> None:
    admin = await world.signed_in("admin@example.com")

    told = await problems(world.identity.create_user(admin, {"email": "x", "roles": [1], "password": "short"}))

    assert told == {
        (Code.INVALID_FORMAT, "email"),
        (Code.REQUIRED, "name"),
        (Code.WRONG_TYPE, "roles.0"),
        (Code.WEAK_PASSWORD, "password"),
    }


async def test_two_concurrent_creations_of_one_address_make_one_user(world: World) -> None:
    admin = await world.signed_in("admin@example.com")
    values = [{**NEW, "email": email, "password": PASSWORD} for email in ("new@example.com", "NEW@example.com")]

    outcomes = await asyncio.gather(*(world.identity.create_user(admin, v) for v in values), return_exceptions=True)

    assert sorted(type(o).__name__ for o in outcomes) == ["Invalid", "NewUser"]


async def test_a_change_of_role_and_department_holds_at_the_next_request_everywhere(world: World) -> None:
    elsewhere = world.process()
    token = (await world.sign_in("agent@example.com")).access_token
    assert (await elsewhere.actor(token)).roles == {Role.AGENT}
    service = await world.department("service")
    agent = await found(world, "agent@example.com")
    admin = await world.signed_in("admin@example.com")

    changes = {"roles": [Role.SUPERVISOR, Role.CLERK], "department": service.id}
    changed = await world.identity.update_user(admin, agent.id, agent.version, changes)

    actor = await elsewhere.actor(token)
    assert (actor.roles, actor.department) == ({Role.SUPERVISOR, Role.CLERK}, service.id)
    assert (changed.version, changed.email) == (2, "agent@example.com")
    # Whoever works in a department keeps one; who no longer does may leave it.
    leaving = world.identity.update_user(admin, agent.id, 2, {"department": None})
    assert await problems(leaving) == {(Code.REQUIRED, "department")}
    cleared = await world.identity.update_user(admin, agent.id, 2, {"department": None, "roles": [Role.AUDITOR]})
    assert cleared.department is None
    assert (await elsewhere.actor(token)).department is None
    returning = world.identity.update_user(admin, agent.id, 3, {"roles": [Role.AGENT]})
    assert await problems(returning) == {(Code.REQUIRED, "department")}


async def test_a_disabled_user_is_refused_at_the_next_request_everywhere(world: World) -> None:
    elsewhere = world.process()
    tokens = await world.sign_in("agent@example.com")
    assert await elsewhere.actor(tokens.access_token)
    agent = await found(world, "agent@example.com")
    admin = await world.signed_in("admin@example.com")

    disabled = await world.identity.disable_user(admin, agent.id, agent.version)

    assert disabled.state is UserState.DISABLED
    with pytest.raises(NotSignedIn):
        await elsewhere.actor(tokens.access_token)
    await refused(Code.INVALID_SESSION, world.refresh(tokens.refresh_token))
    await refused(Code.INVALID_CREDENTIALS, world.sign_in("agent@example.com"))
    await refused(Code.NOT_ALLOWED_IN_STATE, world.identity.disable_user(admin, agent.id, 2), "id")

    await world.identity.update_user(admin, agent.id, 2, {"state": "ACTIVE"})

    assert await world.sign_in("agent@example.com")
    await refused(Code.INVALID_SESSION, world.refresh(tokens.refresh_token))


async def test_nobody_signs_in_while_being_disabled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await found(world, "agent@example.com")
    admin = await world.signed_in("admin@example.com")
    genuine = world.identity.passwords.verify

    async def overtaken(encoded: str | None, password: str) -> bool:
        right = await genuine(encoded, password)
        await world.identity.disable_user(admin, agent.id, agent.version)
        return right

    monkeypatch.setattr(world.identity.passwords, "verify", overtaken)

    await refused(Code.INVALID_CREDENTIALS, world.sign_in("agent@example.com"))
    assert await world.database.collection("sessions").count({"user": agent.id}) == 0


async def test_a_stale_version_is_a_conflict_and_changes_nothing(world: World) -> None:
    agent = await found(world, "agent@example.com")
    admin = await world.signed_in("admin@example.com")
    await world.identity.update_user(admin, agent.id, 1, {"name": "first"})
    before = await world.everything()

    for step in (
        world.identity.update_user(admin, agent.id, 1, {"name": "second"}),
        world.identity.disable_user(admin, agent.id, 1),
    ):
        with pytest.raises(Invalid) as trouble:
            await step
        assert [(p.code, p.params) for p in trouble.value.problems] == [(Code.CONFLICT, {"current": 2})]
    await refused(Code.NOT_FOUND, world.identity.update_user(admin, new_id("usr"), 1, {"name": "x"}), "id")
    await refused(Code.INVALID_ID, world.identity.update_user(admin, new_id("ses"), 1, {"name": "x"}), "id")
    await refused(
        Code.DUPLICATE,
        world.identity.update_user(admin, agent.id, 2, {"email": "admin@example.com"}),
        "email",
    )

    assert await world.everything() == before


async def test_the_journal_keeps_the_former_state_but_no_password(world: World) -> None:
    agent = await found(world, "agent@example.com")
    admin = await world.signed_in("admin@example.com")
    await world.sign_in("agent@example.com")

    await world.identity.update_user(admin, agent.id, 1, {"name": "renamed", "roles": ["AGENT"]})

    journal = await world.database.collection(JOURNAL).find({}, sort=[("_id", 1)])
    before = journal[-1]["before"][0]["document"]
    record = json.loads(bytes(journal[-1]["entry"]))["records"][0]
    assert (before["name"], before["version"]) == ("agent", 1)
    assert (record["version"], record["changed"]) == (2, ["name"])
    assert "argon2" not in repr(journal)
    assert all(b"argon2" not in bytes(entry["entry"]) for entry in journal)


async def test_an_update_that_changes_nothing_writes_nothing(world: World) -> None:
    agent = await found(world, "agent@example.com")
    admin = await world.signed_in("admin@example.com")
    before = await world.everything()

    assert await world.identity.update_user(admin, agent.id, 1, {"name": agent.name, "roles": ["AGENT"]}) == agent

    assert await world.everything() == before


@pytest.mark.parametrize("changes", [{"roles": ["AGENT"]}, {"state": "DISABLED"}])
async def test_the_last_administrator_stays(world: World, changes: dict[str, Any]) -> None:
    caller = await world.signed_in("admin@example.com")
    admin = await found(world, "admin@example.com")
    before = await world.everything()

    (field,) = changes
    await refused(Code.VALIDATION, world.identity.update_user(caller, admin.id, 1, changes), field)
    await refused(Code.VALIDATION, world.identity.disable_user(caller, admin.id, 1), "state")

    assert await world.everything() == before


async def test_two_administrators_who_disable_each_other_at_once_leave_one(world: World) -> None:
    one = await found(world, "admin@example.com")
    two = await world.user("admin2@example.com", "ADMIN")
    callers = [await world.signed_in(u.email) for u in (one, two)]

    outcomes = await asyncio.gather(
        world.identity.disable_user(callers[0], two.id, 1),
        world.identity.disable_user(callers[1], one.id, 1),
        return_exceptions=True,
    )

    assert sorted(type(o).__name__ for o in outcomes) == ["Invalid", "User"]
    assert await world.database.collection(USERS).count({"roles": "ADMIN", "state": "ACTIVE"}) == 1


async def test_staff_lists_their_own_department_and_supervisors_all(world: World) -> None:
    service = await world.department("service")
    await world.user("far@example.com", "AGENT", department=service.id)
    gone = await world.user("gone@example.com", "AGENT", department=service.id)
    admin = await world.signed_in("admin@example.com")
    await world.identity.disable_user(admin, gone.id, 1)
    agent = await world.signed_in("agent@example.com")
    supervisor = await world.signed_in("supervisor@example.com")

    async def emails(caller: Any, **asked: Any) -> list[str]:
        return [user.email.split("@")[0] for user in await world.identity.users(caller, **asked)]

    assert await emails(agent) == ["agent", "supervisor", "auditor", "admin"]
    assert await emails(agent, department=service.id) == []
    assert await emails(agent, query="far") == []
    assert await emails(supervisor) == ["agent", "supervisor", "auditor", "admin", "far"]
    assert await emails(supervisor, department=service.id) == ["far"]
    assert await emails(supervisor, role=Role.AGENT) == ["agent", "far"]
    assert await emails(supervisor, query="SUPER") == ["supervisor"]
    assert await emails(supervisor, query=".*") == []
    assert await emails(supervisor, query="\x00\ud800") == []
    first = await world.identity.users(supervisor, first=2)
    assert await emails(supervisor, first=2, after_id=first[-1].id) == ["auditor", "admin"]
    with pytest.raises(NotPermitted):
        await world.identity.users(await world.signed_in("auditor@example.com"))
    await refused(Code.TOO_LONG, world.identity.users(supervisor, query="x" * 101), "query")


async def test_users_and_departments_are_loaded_by_id_in_one_go(world: World) -> None:
    agent, admin = await found(world, "agent@example.com"), await found(world, "ADMIN@example.com")
    assert agent.department is not None

    assert await world.identity.load([agent.id, admin.id, agent.id, "usr_x"]) == {
        agent.id: agent,
        admin.id: admin,
    }
    assert await world.identity.load([]) == {}
    assert await world.identity.user("nobody") is None
    assert await world.identity.user_by_email("nobody") is None
    departments = await world.identity.load_departments([agent.department, "dep_x"])
    assert [d.key for d in departments.values()] == ["sales"]


async def test_departments_have_unique_keys_and_names_in_both_languages(world: World) -> None:
    admin = await world.signed_in("admin@example.com")
    name = {"zh-CN": "售后部", "en": "After-sales"}

    made = await world.identity.create_department(admin, {"key": "after-sales", "name": name})

    assert (made.key, made.name) == ("after-sales", name)
    assert [d.key for d in await world.identity.departments()] == ["after-sales", "sales"]
    before = await world.everything()
    step = world.identity.create_department
    assert await problems(step(admin, {"key": "sales", "name": name})) == {(Code.DUPLICATE, "key")}
    assert await problems(step(admin, {"key": "Not A Key", "name": {"en": "x"}})) == {
        (Code.INVALID_FORMAT, "key"),
        (Code.REQUIRED, "name.zh-CN"),
    }
    assert await world.everything() == before
