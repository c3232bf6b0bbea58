"""Every query on users, departments, sessions, and what is counted of sign-ins.

A session document: `user`, `family_hash` and `turn_hash` (SHA-256 of the refresh token's halves), `version`
(how often it was refreshed), `created_at`, `refreshed_at`, `expires_at`, `ended_at` (None while it lives),
`ended_because`, `source` (the address that it began from), `until` (when it ends at the latest, if at all). An ended one stays until a day after its expiry, so that reuse is still recognised.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.access.policy import Role
from service.identity.model import DEPARTMENTS, FAILURES, KNOWN_SOURCES, REVEALS, SESSIONS, USERS, UserState
from service.storage import Database, DuplicateKey, Index, UnitOfWork

USERS_EMAIL = "users_email"
DEPARTMENTS_KEY = "departments_key"
INDEXES = (
    Index(USERS, (("email", 1),), USERS_EMAIL, unique=True),
    Index(USERS, (("department", 1), ("state", 1), ("_id", 1)), "users_department"),
    Index(USERS, (("roles", 1), ("state", 1)), "users_roles"),
    Index(SESSIONS, (("family_hash", 1),), "sessions_family", unique=True),
    Index(SESSIONS, (("user", 1), ("ended_at", 1), ("_id", -1)), "sessions_living"),
    Index(SESSIONS, (("expires_at", 1),), "sessions_expiry", expire_after_seconds=86_400),
    Index(DEPARTMENTS, (("key", 1),), DEPARTMENTS_KEY, unique=True),
    Index(FAILURES, (("minute", 1), ("source", 1)), "sign_in_failures_minute"),
    Index(KNOWN_SOURCES, (("known_until", 1),), "sign_in_sources_known", expire_after_seconds=0),
    Index(REVEALS, (("actor", 1), ("until", 1)), "reveals_actor"),
    Index(REVEALS, (("until", 1),), "reveals_expiry", expire_after_seconds=0),
)


class IdentityRepository:
    """Reads outside a unit of work; whatever changes or guards something takes the unit."""

    def __init__(self, database: Database) -> None:
        self._users = database.collection(USERS)
        self._sessions = database.collection(SESSIONS)
        self._departments = database.collection(DEPARTMENTS)
        self._failures = database.collection(FAILURES)
        self._sources = database.collection(KNOWN_SOURCES)

    async def user(self, user: str, unit: UnitOfWork | None = None) -> dict[str, Any] | None:
        """One user by id."""
        users = unit.collection(USERS) if unit else self._users
        return await users.find_one({"_id": user})

    async def user_by_email(self, email: str) -> dict[str, Any] | None:
        """One user by normalised e-mail address."""
        return await self._users.find_one({"email": email})

    async def users(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Those that exist."""
        return await self._users.find({"_id": {"$in": list(ids)}})

    async def active_users(
        self,
        *,
        query: str | None,
        department: str | None,
        role: Role | None,
        first: int,
        after_id: str | None,
    ) -> list[dict[str, Any]]:
        """Active users in the order of their ids; `query` is looked for in name and e-mail."""
        where = _active(query, department, role)
        if after_id:
            where["_id"] = {"$gt": after_id}
        return await self._users.find(where, sort=[("_id", 1)], limit=first)

    async def count_active_users(self, *, query: str | None, department: str | None, role: Role | None) -> int:
        """How many there are in all."""
        return await self._users.count(_active(query, department, role))

    async def insert_user(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Raises DuplicateKey."""
        await unit.collection(USERS).insert_one(document)

    async def change_user(
        self, unit: UnitOfWork, user: str, version: int, changes: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The changed user; None when the version is not the current one. Raises DuplicateKey."""
        return await unit.collection(USERS).find_one_and_update(
            {"_id": user, "version": version}, {"$set": changes, "$inc": {"version": 1}}
        )

    async def move_user(
        self, unit: UnitOfWork, user: str, states: tuple[UserState, UserState], at: datetime
    ) -> dict[str, Any] | None:
        """The user, moved from one state to another; None when they are not in the first."""
        former, state = states
        return await unit.collection(USERS).find_one_and_update(
            {"_id": user, "state": former.value},
            {"$set": {"state": state.value, "updated_at": at}, "$inc": {"version": 1}},
        )

    async def insert_reveal(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A field that somebody may see in full for a while."""
        await unit.collection(REVEALS).insert_one(document)

    async def other_administrators(self, unit: UnitOfWork, user: str) -> int:
        """How many active administrators there are besides this one, counted up to 1."""
        where = {"_id": {"$ne": user}, "roles": Role.ADMIN.value, "state": UserState.ACTIVE.value}
        return len(await unit.collection(USERS).find(where, limit=1, projection={"_id": 1}))

    async def role_sets(self, unit: UnitOfWork) -> Counter[frozenset[Role]]:
        """How many active accounts there are of each set of roles, as the unit of work sees them."""
        found = await unit.collection(USERS).aggregate(
            [
                {"$match": {"state": UserState.ACTIVE.value}},
                {"$group": {"_id": "$roles", "count": {"$sum": 1}}},
            ]
        )
        counts: Counter[frozenset[Role]] = Counter()
        for group in found:
            counts[frozenset(Role(role) for role in group["_id"])] += group["count"]
        return counts

    async def replace_password(
        self, unit: UnitOfWork, user: str, former: str, changes: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The user, if still active under the former password hash. Its write makes the unit conflict with
        every other one that changes this user, so nobody signs in while being disabled.
        """
        where = {"_id": user, "password": former, "state": UserState.ACTIVE.value}
        return await unit.collection(USERS).find_one_and_update(where, {"$set": changes})

    async def insert_session(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new session."""
        await unit.collection(SESSIONS).insert_one(document)

    async def turn_session(
        self, unit: UnitOfWork, family: bytes, turn: bytes, at: datetime, next_turn: bytes, expires: datetime
    ) -> dict[str, Any] | None:
        """The living session whose current secret this is, turned on; None otherwise. It lives until `expires`, but no
        longer than its own `until`.
        """
        where = {"family_hash": family, "turn_hash": turn, "ended_at": None, "expires_at": {"$gt": at}}
        change = {
            "turn_hash": next_turn,
            "refreshed_at": at,
            "expires_at": {"$min": [expires, "$until"]},  # of a null, $min takes no notice
            "version": {"$add": ["$version", 1]},
        }
        return await unit.collection(SESSIONS).find_one_and_update(where, [{"$set": change}])

    async def end_family(self, unit: UnitOfWork, family: bytes, at: datetime, because: str) -> dict[str, Any] | None:
        """The living session of this family, ended; None when there is none."""
        where = {"family_hash": family, "ended_at": None, "expires_at": {"$gt": at}}
        return await unit.collection(SESSIONS).find_one_and_update(
            where, {"$set": {"ended_at": at, "ended_because": because}}
        )

    async def end_session(
        self, unit: UnitOfWork, session: str, at: datetime, because: str, *, user: str | None = None
    ) -> dict[str, Any] | None:
        """The living session, ended; None when there is none, or, with `user`, none of theirs."""
        where: dict[str, Any] = {"_id": session, "ended_at": None, "expires_at": {"$gt": at}}
        if user is not None:
            where["user"] = user
        return await unit.collection(SESSIONS).find_one_and_update(
            where, {"$set": {"ended_at": at, "ended_because": because}}
        )

    async def living_sessions(
        self, user: str, at: datetime, *, first: int, after_id: str | None = None
    ) -> list[dict[str, Any]]:
        """A user's living sessions, newest first."""
        where: dict[str, Any] = {"user": user, "ended_at": None, "expires_at": {"$gt": at}}
        if after_id:
            where["_id"] = {"$lt": after_id}
        return await self._sessions.find(where, sort=[("_id", -1)], limit=first)

    async def end_sessions(
        self, unit: UnitOfWork, user: str, at: datetime, because: str, *, but: str | None = None
    ) -> int:
        """Ends every living session of a user, but one; how many they were."""
        where: dict[str, Any] = {"user": user, "ended_at": None}
        if but:
            where["_id"] = {"$ne": but}
        return await unit.collection(SESSIONS).update_many(where, {"$set": {"ended_at": at, "ended_because": because}})

    async def signed_in(self, session: str, user: str, at: datetime) -> dict[str, Any] | None:
        """The active user behind a living session, with what is `revealed` to them, in one round trip."""
        found = await self._sessions.aggregate(
            [
                {"$match": {"_id": session, "user": user, "ended_at": None, "expires_at": {"$gt": at}}},
                {"$lookup": {"from": USERS, "localField": "user", "foreignField": "_id", "as": "found"}},
                {"$replaceWith": {"$first": "$found"}},
                {"$match": {"state": UserState.ACTIVE.value}},
                {
                    "$lookup": {
                        "from": REVEALS,
                        "localField": "_id",
                        "foreignField": "actor",
                        "pipeline": [{"$match": {"until": {"$gt": at}}}],
                        "as": "revealed",
                    }
                },
                {"$project": {"name": 1, "roles": 1, "department": 1, "locale": 1, "revealed": 1}},
            ]
        )
        return found[0] if found else None

    async def departments(self, ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """All departments, or those named, by key."""
        where = {} if ids is None else {"_id": {"$in": list(ids)}}
        return await self._departments.find(where, sort=[("key", 1)])

    async def has_department(self, unit: UnitOfWork, department: str) -> bool:
        """Whether there is one of this id."""
        return await unit.collection(DEPARTMENTS).find_one({"_id": department}, {"_id": 1}) is not None

    async def insert_department(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Raises DuplicateKey."""
        await unit.collection(DEPARTMENTS).insert_one(document)

    async def count_failure(self, key: dict[str, Any]) -> bool:
        """Adds one to an existing counter; False when there is none."""
        return await self._failures.update_one(key, {"$inc": {"count": 1}}) == 1

    async def accounts_failing(self, minute: datetime, source: str, limit: int) -> int:
        """How many counters a source has in a minute, counted up to `limit`."""
        return await self._failures.count({"minute": minute, "source": source}, limit=limit)

    async def begin_failure(self, key: dict[str, Any]) -> None:
        """Adds one to a counter, making it when there is none."""
        try:
            await self._failures.update_one(key, {"$inc": {"count": 1}}, upsert=True)
        except DuplicateKey:  # another process made it in the same moment
            await self._failures.update_one(key, {"$inc": {"count": 1}})

    async def failures_before(self, minute: datetime, limit: int) -> list[dict[str, Any]]:
        """Counters of minutes that are over, oldest first."""
        return await self._failures.find({"minute": {"$lt": minute}}, sort=[("minute", 1)], limit=limit)

    async def take_failure(self, unit: UnitOfWork, counter: dict[str, Any]) -> bool:
        """Removes a counter as it was read; False when it changed or was taken meanwhile."""
        where = {"_id": counter["_id"], "count": counter["count"]}
        return await unit.collection(FAILURES).delete_many(where) == 1

    async def knows_source(self, key: str, at: datetime) -> bool:
        """Whether a source is known for an account; `key` names both."""
        return await self._sources.find_one({"_id": key, "known_until": {"$gt": at}}, {"_id": 1}) is not None

    async def know_source(self, key: str, until: datetime) -> None:
        """Remembers it until then."""
        change = {"$set": {"known_until": until}}
        try:
            await self._sources.update_one({"_id": key}, change, upsert=True)
        except DuplicateKey:  # another process made it in the same moment
            await self._sources.update_one({"_id": key}, change)


def _active(query: str | None, department: str | None, role: Role | None) -> dict[str, Any]:
    where: dict[str, Any] = {"state": UserState.ACTIVE.value}
    if department:
        where["department"] = department
    if role:
        where["roles"] = role.value
    if query:
        pattern = {"$regex": re.escape(query), "$options": "i"}
        where["$or"] = [{"name": pattern}, {"email": pattern}]
    return where
