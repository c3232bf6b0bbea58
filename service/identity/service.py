"""Identity: sessions (see `sessions`), and the staff and departments that rights are given to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from service.access.actor import SYSTEM, Caller
from service.access.policy import Role
from service.clock import is_id, new_id, now
from service.errors import Code, Invalid, Problems
from service.identity.model import (
    DEPARTMENT_PREFIX,
    DEPARTMENTS,
    REVEAL_PREFIX,
    USER_PREFIX,
    USER_QUESTIONS,
    USERS,
    Department,
    NewUser,
    User,
    UserState,
    department_of,
    journalled,
    user_of,
)
from service.identity.passwords import check_password, generated_password
from service.identity.repository import DEPARTMENTS_KEY, USERS_EMAIL
from service.identity.rules import (
    LIST,
    LIST_ALL,
    MANAGE,
    changes_rights,
    ends_sessions,
    gives_up_administration,
    is_speech,
    lacks_department,
    normal_email,
    read_changes,
    read_new_department,
    read_new_user,
)
from service.identity.sessions import PolicySource, Sessions
from service.journal.model import Touched, Work
from service.storage import DuplicateKey, UnitOfWork
from service.storage.epoch import Epoch

__all__ = ["Identity", "PolicySource"]

PAGE_MOST = 200
QUERY_LONGEST = 100
_LAST_ADMINISTRATOR = {
    "en": "the last administrator keeps this role and stays active",
    "zh-CN": "最后一位管理员必须保留该角色并保持启用",
}


class Identity(Sessions):
    """Who is who. Values come as dicts with snake_case keys; problems name camelCase fields."""

    async def create_user(self, caller: Caller, values: Mapping[str, Any]) -> NewUser:
        """A new active user; without `password` one is generated and returned this once. Raises NotPermitted;
        Invalid REQUIRED, INVALID_FORMAT, WRONG_TYPE, INVALID_ID, NOT_FOUND, WEAK_PASSWORD, DUPLICATE …
        """
        caller.require(MANAGE)
        return await self._create_user(caller, values)

    async def seed_user(self, values: Mapping[str, Any], password: str | None = None) -> NewUser:
        """The same for the command line and demo data, which are nobody's request: the system's."""
        caller = Caller(SYSTEM, await self._policies.current())
        return await self._create_user(caller, {**values, "password": password})

    async def _create_user(self, caller: Caller, values: Mapping[str, Any]) -> NewUser:
        problems = Problems()
        fields = read_new_user(values, problems)
        given = values.get("password")
        password = generated_password() if given is None else given
        check_password(problems, password, fields.get("email", ""))
        problems.raise_if_any()
        encoded, at = await self.passwords.hash(password), now()
        document = {
            "_id": new_id(USER_PREFIX),
            **fields,
            "version": 1,
            "created_at": at,
            "updated_at": at,
            "password": encoded,
        }
        changed = tuple(sorted(fields))
        touched = Touched(document["_id"], 1, journalled(document), collection=USERS, changed=changed)

        async def work(unit: UnitOfWork) -> None:
            await self._require_department(unit, fields["department"])
            await self.repository.insert_user(unit, dict(document))
            await self._journal.append(unit, caller, Work("user.create", (touched,)))

        try:
            await self._database.transact(work)
        except DuplicateKey as error:
            raise _duplicate(error) from None
        return NewUser(user_of(document), password if given is None else None)

    async def update_user(self, caller: Caller, user: str, version: int, values: Mapping[str, Any]) -> User:
        """Changes what `values` names (email, name, roles, department, locale, state). Raises NotPermitted;
        Invalid NOT_FOUND, CONFLICT with the current version, DUPLICATE, and what `create_user` raises.
        """
        caller.require(MANAGE, record=user)
        problems = Problems()
        changes = read_changes(values, problems)
        problems.raise_if_any()
        return await self._change_user(caller, user, version, changes, "user.update")

    async def disable_user(self, caller: Caller, user: str, version: int) -> User:
        """Ends all their sessions; they can't sign in until they are made ACTIVE again. Raises NotPermitted;
        Invalid NOT_FOUND, CONFLICT, NOT_ALLOWED_IN_STATE when disabled already, VALIDATION for the last
        administrator.
        """
        caller.require(MANAGE, record=user)
        changes = {"state": UserState.DISABLED.value}
        return await self._change_user(caller, user, version, changes, "user.disable")

    async def _change_user(self, caller: Caller, user: str, version: int, changes: dict[str, Any], action: str) -> User:
        if not is_id(user, USER_PREFIX):
            raise Invalid.because(Code.INVALID_ID, "id")

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            former = await self.repository.user(user, unit)
            if former is None:
                raise Invalid.because(Code.NOT_FOUND, "id")
            if former["version"] != version:
                raise Invalid.because(Code.CONFLICT, "version", current=former["version"])
            if former["state"] == UserState.LOCKED and "state" in changes:
                raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state=former["state"])
            if action == "user.disable" and former["state"] == UserState.DISABLED:
                raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "id", state=former["state"])
            different = {name: value for name, value in changes.items() if former[name] != value}
            if not different:
                return former
            await self._check_change(unit, former, different)
            written = {**different, "updated_at": now()}
            changed = await self.repository.change_user(unit, user, version, written)
            if changed is None:
                raise Invalid.because(Code.CONFLICT, "version", current=former["version"])
            await self._revoke(unit, former, changed)
            names = tuple(sorted(different))
            before, after = journalled(former), journalled(changed)
            touched = Touched(user, changed["version"], after, before, USERS, names)
            await self._journal.append(unit, caller, Work(action, (touched,)))
            return changed

        try:
            return user_of(await self._database.transact(work))
        except DuplicateKey as error:
            raise _duplicate(error) from None

    async def _check_change(self, unit: UnitOfWork, former: dict[str, Any], changes: dict[str, Any]) -> None:
        if not {"department", "roles"}.isdisjoint(changes) and lacks_department({**former, **changes}):
            raise Invalid.because(Code.REQUIRED, "department")
        if "department" in changes:
            await self._require_department(unit, changes["department"])
        # Two administrators who disable each other at once both raise the epoch, so one is tried again after
        # the other and counts correctly.
        if (
            gives_up_administration(former, {**former, **changes})
            and await self.repository.other_administrators(unit, former["_id"]) == 0
        ):
            field = "roles" if "roles" in changes else "state"
            raise Invalid.because(Code.VALIDATION, field, reason=_LAST_ADMINISTRATOR)

    async def _revoke(self, unit: UnitOfWork, former: dict[str, Any], changed: dict[str, Any]) -> None:
        if ends_sessions(former, changed):
            await self.repository.end_sessions(unit, former["_id"], now(), "DISABLED")
        if changes_rights(former, changed):
            await Epoch.raise_in(unit)

    async def lock(self, unit: UnitOfWork, users: Sequence[str]) -> list[Touched]:
        """Locks those of these users who are active: their sessions end, and no process remembers them at the next
        query. Only `unlock` makes them active again.
        """
        at, touched = now(), []
        for user in users:
            changed = await self.repository.move_user(unit, user, (UserState.ACTIVE, UserState.LOCKED), at)
            if changed is not None:
                await self.repository.end_sessions(unit, user, at, "LOCKED")
                touched.append(_moved(changed))
        if touched:
            await Epoch.raise_in(unit)
        return touched

    async def unlock(self, unit: UnitOfWork, user: str, version: int) -> tuple[Touched, User]:
        """Makes a locked user active again. Raises Invalid NOT_FOUND, CONFLICT, NOT_ALLOWED_IN_STATE."""
        former = await self.repository.user(user, unit)
        if former is None:
            raise Invalid.because(Code.NOT_FOUND, "id")
        if former["version"] != version:
            raise Invalid.because(Code.CONFLICT, "version", current=former["version"])
        changed = await self.repository.move_user(unit, user, (UserState.LOCKED, UserState.ACTIVE), now())
        if changed is None:
            raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "id", state=former["state"])
        await Epoch.raise_in(unit)
        return _moved(changed), user_of(changed)

    async def grant_reveal(self, unit: UnitOfWork, user: str, record: str, path: str, until: datetime) -> None:
        """Lets somebody see one field in full until then; the unit raises the epoch, or nobody would know."""
        document = {"_id": new_id(REVEAL_PREFIX), "actor": user, "record": record, "path": path, "until": until}
        await self.repository.insert_reveal(unit, document)

    async def _require_department(self, unit: UnitOfWork, department: str | None) -> None:
        if department is not None and not await self.repository.has_department(unit, department):
            raise Invalid.because(Code.NOT_FOUND, "department")

    async def users(
        self,
        caller: Caller,
        *,
        query: str | None = None,
        department: str | None = None,
        role: Role | None = None,
        first: int = 20,
        after_id: str | None = None,
    ) -> list[User]:
        """Active users to choose an owner from, in the order of their ids, at most `first`: of the caller's
        own department (step user.list), or of all (user.list_all). Raises NotPermitted; Invalid TOO_LONG.
        """
        where = self._listable(caller, query, department, role)
        if where is None:
            return []
        found = await self.repository.active_users(**where, first=max(1, min(first, PAGE_MOST + 1)), after_id=after_id)
        return [user_of(document) for document in found]

    async def count_users(
        self, caller: Caller, *, query: str | None = None, department: str | None = None, role: Role | None = None
    ) -> int:
        """How many there are in all of what `users` lists. Raises the same."""
        where = self._listable(caller, query, department, role)
        return await self.repository.count_active_users(**where) if where is not None else 0

    def _listable(
        self, caller: Caller, query: str | None, department: str | None, role: Role | None
    ) -> dict[str, Any] | None:
        """What the caller may list of what they ask; None can match nobody."""
        asked = {"query": query, "department": department, "role": role}
        USER_QUESTIONS.permit(caller, ["id", *(name for name, value in asked.items() if value is not None)])
        if not caller.may(LIST_ALL):
            caller.require(LIST)
            own = caller.actor.department
            if own is None or department not in (None, own):
                return None
            department = own
        words = (query or "").strip()
        if len(words) > QUERY_LONGEST:
            raise Invalid.because(Code.TOO_LONG, "query", limit=QUERY_LONGEST)
        return {"query": words or None, "department": department, "role": role} if is_speech(words) else None

    async def staff(self, unit: UnitOfWork) -> Mapping[frozenset[Role], int]:
        """How many active accounts there are of each set of roles, as the unit of work sees them."""
        return await self.repository.role_sets(unit)

    async def user(self, user: str) -> User | None:
        """One user by id, whatever their state."""
        document = await self.repository.user(user) if is_id(user, USER_PREFIX) else None
        return user_of(document) if document else None

    async def knows(self, _: Caller, user: str) -> bool:
        """Whether there is such a user: whoever works here may see who else does."""
        return await self.user(user) is not None

    async def user_by_email(self, email: str) -> User | None:
        """One user by e-mail address, in any case."""
        address = normal_email(email)
        document = await self.repository.user_by_email(address) if address else None
        return user_of(document) if document else None

    async def load(self, ids: Iterable[str]) -> dict[str, User]:
        """Those users that exist, by id, in one query."""
        wanted = list(dict.fromkeys(ids))
        found = await self.repository.users(wanted) if wanted else []
        return {document["_id"]: user_of(document) for document in found}

    async def create_department(self, caller: Caller, values: Mapping[str, Any]) -> Department:
        """A new department: `key`, `name` {zh-CN, en}. Raises NotPermitted; Invalid REQUIRED, INVALID_FORMAT,
        TOO_LONG, DUPLICATE.
        """
        caller.require(MANAGE)
        return await self._create_department(caller, values)

    async def seed_department(self, values: Mapping[str, Any]) -> Department:
        """The same for the command line and demo data."""
        return await self._create_department(Caller(SYSTEM, await self._policies.current()), values)

    async def _create_department(self, caller: Caller, values: Mapping[str, Any]) -> Department:
        problems = Problems()
        fields = read_new_department(values, problems)
        problems.raise_if_any()
        document = {"_id": new_id(DEPARTMENT_PREFIX), **fields, "version": 1, "created_at": now()}

        async def work(unit: UnitOfWork) -> None:
            await self.repository.insert_department(unit, dict(document))
            touched = Touched(document["_id"], 1, document, collection=DEPARTMENTS, changed=("key", "name"))
            await self._journal.append(unit, caller, Work("department.create", (touched,)))

        try:
            await self._database.transact(work)
        except DuplicateKey as error:
            raise _duplicate(error) from None
        return department_of(document)

    async def departments(self) -> list[Department]:
        """All of them, by key."""
        return [department_of(document) for document in await self.repository.departments()]

    async def load_departments(self, ids: Iterable[str]) -> dict[str, Department]:
        """Those departments that exist, by id, in one query."""
        found = await self.repository.departments(list(dict.fromkeys(ids)))
        return {document["_id"]: department_of(document) for document in found}


def _moved(changed: dict[str, Any]) -> Touched:
    """A user whose state was changed."""
    return Touched(changed["_id"], changed["version"], None, collection=USERS, changed=("state",))


def _duplicate(error: DuplicateKey) -> Exception:
    """Invalid DUPLICATE for our own indexes; anything else (a used idempotency key) stays what it is."""
    fields = {USERS_EMAIL: "email", DEPARTMENTS_KEY: "key"}
    field = fields.get(error.index)
    return Invalid.because(Code.DUPLICATE, field) if field else error
