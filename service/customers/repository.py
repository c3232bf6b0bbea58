"""Every query on customers. The access filter is inside the query; a caller's reach is a required argument."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from service.access.actor import Reach
from service.customers.model import CUSTOMERS, DUPLICATES, LOOKUPS
from service.storage import Database, DuplicateKey, Index, UnitOfWork
from service.storage.paging import counting, page_query

CUSTOMERS_UNIQUE = "customers_unique"
INDEXES = (
    Index(CUSTOMERS, (("owner", 1), ("_id", -1)), "customers_owner"),
    Index(CUSTOMERS, (("agents", 1), ("_id", -1)), "customers_agents"),
    Index(CUSTOMERS, (("departments", 1), ("_id", -1)), "customers_departments"),
    Index(CUSTOMERS, (("owner", 1), ("updated_at", -1), ("_id", -1)), "customers_owner_updated"),
    Index(CUSTOMERS, (("departments", 1), ("updated_at", -1), ("_id", -1)), "customers_departments_updated"),
    Index(CUSTOMERS, (("updated_at", -1), ("_id", -1)), "customers_updated"),
    Index(CUSTOMERS, (("agents", 1), ("updated_at", -1), ("_id", -1)), "customers_agents_updated"),
    Index(CUSTOMERS, (("blind.phone", 1),), "customers_phone", partial={"blind.phone": {"$exists": True}}),
    Index(CUSTOMERS, (("blind.email", 1),), "customers_email", partial={"blind.email": {"$exists": True}}),
    Index(CUSTOMERS, (("blind.id_number", 1),), "customers_id_number", partial={"blind.id_number": {"$exists": True}}),
    Index(
        CUSTOMERS,
        (("blind.registration_number", 1),),
        "customers_registration_number",
        partial={"blind.registration_number": {"$exists": True}},
    ),
    Index(CUSTOMERS, (("unique", 1),), CUSTOMERS_UNIQUE, unique=True, partial={"unique": {"$exists": True}}),
    Index(DUPLICATES, (("department", 1), ("_id", -1)), "duplicates_department"),
    Index(LOOKUPS, (("full_at", 1),), "lookups_full", expire_after_seconds=0),
)
INDEXED = frozenset(index.keys[0][0] for index in INDEXES if index.collection == CUSTOMERS)
# Tokens are asked for, never read.
READ = {"blind": 0, "unique": 0}


def within(reach: Reach) -> dict[str, Any]:
    """The rows that a reach opens, as a filter."""
    return reach.rows(owner="owner", agent="agents", department="departments")


class CustomerRepository:
    """Documents as they are stored; opening them is the service's."""

    def __init__(self, database: Database) -> None:
        self._customers = database.collection(CUSTOMERS)
        self._lookups = database.collection(LOOKUPS)

    async def get(self, reach: Reach, customer: str) -> dict[str, Any] | None:
        """One customer within reach."""
        return await self._customers.find_one({"_id": customer, **within(reach)}, READ)

    async def of_ids(self, reach: Reach, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Customers within reach, in no order."""
        return await self._customers.find({"_id": {"$in": list(ids)}, **within(reach)}, projection=READ)

    async def listed(
        self,
        reach: Reach,
        where: Mapping[str, Any],
        *,
        sort: str,
        descending: bool,
        after: tuple[Any, str] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """A page by (`sort`, id); `after` is the last one seen."""
        query, order = page_query([within(reach), where], sort=sort, descending=descending, after=after)
        return await self._customers.find(query, sort=order, limit=limit, projection=READ)

    async def count(self, reach: Reach, where: Mapping[str, Any]) -> int:
        """How many customers within reach match."""
        query, hint = counting([within(reach), where], INDEXED)
        return await self._customers.count(query, hint=hint)

    async def has_claim(self, token: bytes, but: str | None) -> bool:
        """Whether some other customer has claimed this unique value."""
        return await self._customers.count({"unique": token, "_id": {"$ne": but}}, limit=1) > 0

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new customer. Raises DuplicateKey for a unique value."""
        await unit.collection(CUSTOMERS).insert_one(document)

    async def change(
        self, unit: UnitOfWork, reach: Reach, customer: str, version: int | None, change: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Changes one customer if it is within reach and (unless None) still at `version`; returns its former
        state, or None when nothing was changed. Raises DuplicateKey.
        """
        where: dict[str, Any] = {"_id": customer, **within(reach)}
        if version is not None:
            where["version"] = version
        return await unit.collection(CUSTOMERS).find_one_and_update(where, change, before=True)

    async def touch(self, unit: UnitOfWork, reach: Reach, customer: str) -> dict[str, Any] | None:
        """The customer, if it is within reach, after a write that conflicts with every other one."""
        where = {"_id": customer, **within(reach)}
        return await unit.collection(CUSTOMERS).find_one_and_update(where, {"$inc": {"search_version": 1}})

    async def get_in(self, unit: UnitOfWork, customer: str) -> dict[str, Any] | None:
        """The customer as the unit of work sees it (no reach: the unit has checked it)."""
        return await unit.collection(CUSTOMERS).find_one({"_id": customer})

    async def every_of(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Customers by id whoever asks: for the indexer alone."""
        return await self._customers.find({"_id": {"$in": list(ids)}})

    async def every_id(self) -> AsyncIterator[str]:
        """All ids, oldest first: for rebuilding the index."""
        async for document in self._customers.scan({}, sort=[("_id", 1)], projection={"_id": 1}):
            yield document["_id"]

    async def set_reach(self, unit: UnitOfWork, customer: str, reach: Mapping[str, Any]) -> None:
        """Sets `agents`, `case_departments`, `departments` or some of them."""
        await unit.collection(CUSTOMERS).update_one(
            {"_id": customer}, {"$set": dict(reach), "$inc": {"search_version": 1}}
        )

    async def draw_lookups(
        self, actor: str, count: int, most: Mapping[str, tuple[int, int]], at: datetime
    ) -> dict[str, Any]:
        """Draws from an actor's buckets if each holds enough (`allowed`); what is left of each. `most`: size, and the
        seconds in which an empty bucket fills up. One step of the database: draws at the same moment see each other.
        """
        elapsed = {"$max": [0, {"$divide": [{"$subtract": [at, {"$ifNull": ["$at", at]}]}, 1000]}]}
        filled = {
            name: {
                "$min": [size, {"$add": [{"$ifNull": [f"${name}", size]}, {"$multiply": [elapsed, size / seconds]}]}]
            }
            for name, (size, seconds) in most.items()
        }
        needed = {name: min(count, size) for name, (size, _) in most.items()}
        allowed = {"$and": [{"$gte": [f"${name}", amount]} for name, amount in needed.items()]}
        drawn = {
            name: {"$cond": ["$allowed", {"$subtract": [f"${name}", n]}, f"${name}"]} for name, n in needed.items()
        }
        full_at = at + timedelta(seconds=max(seconds for _, seconds in most.values()))
        change: list[dict[str, Any]] = [
            {"$set": filled},
            {"$set": {"allowed": allowed}},
            {"$set": {**drawn, "at": at, "full_at": full_at}},
        ]
        try:
            found = await self._lookups.find_one_and_update({"_id": actor}, change, upsert=True)
        except DuplicateKey:  # another of this actor's first lookups made it meanwhile
            found = await self._lookups.find_one_and_update({"_id": actor}, change, upsert=True)
        return found or {}

    async def note_duplicate(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Puts a probable duplicate on the supervisor's list."""
        await unit.collection(DUPLICATES).insert_one(document)
