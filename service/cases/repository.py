"""Every query on cases and their events. The access filter is inside the query."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from service.access.actor import Reach
from service.cases.model import CASES, COUNTERS, EVENTS
from service.customers.model import CUSTOMERS, DUPLICATES
from service.storage import Database, Index, UnitOfWork
from service.storage.paging import counting, page_query, pages_of_each

CASES_UNIQUE = "cases_unique"
INDEXES = (
    Index(CASES, (("number", 1),), "cases_number", unique=True),
    Index(CASES, (("owner", 1), ("_id", -1)), "cases_owner"),
    Index(CASES, (("assignee", 1), ("_id", -1)), "cases_assignee"),
    Index(CASES, (("department", 1), ("_id", -1)), "cases_department"),
    Index(CASES, (("customer", 1), ("_id", -1)), "cases_customer"),
    Index(CASES, (("state", 1), ("_id", -1)), "cases_state"),
    Index(CASES, (("category", 1), ("_id", -1)), "cases_category"),
    Index(CASES, (("raised_at", -1), ("_id", -1)), "cases_raised"),
    Index(CASES, (("updated_at", -1), ("_id", -1)), "cases_updated"),
    Index(CASES, (("owner", 1), ("updated_at", -1), ("_id", -1)), "cases_owner_updated"),
    Index(CASES, (("assignee", 1), ("updated_at", -1), ("_id", -1)), "cases_assignee_updated"),
    Index(CASES, (("department", 1), ("updated_at", -1), ("_id", -1)), "cases_department_updated"),
    Index(CASES, (("state", 1), ("updated_at", -1), ("_id", -1)), "cases_state_updated"),
    Index(CASES, (("category", 1), ("updated_at", -1), ("_id", -1)), "cases_category_updated"),
    Index(CASES, (("unique", 1),), CASES_UNIQUE, unique=True, partial={"unique": {"$exists": True}}),
    Index(EVENTS, (("case", 1), ("sequence", 1)), "case_events_sequence", unique=True),
)
INDEXED = frozenset(index.keys[0][0] for index in INDEXES if index.collection == CASES)


def within(reach: Reach) -> dict[str, Any]:
    """The rows that a reach opens, as a filter."""
    return reach.rows(owner="owner", agent="assignee", department="department")


class CaseRepository:
    """Documents as they are stored; opening them is the service's."""

    def __init__(self, database: Database) -> None:
        self._cases = database.collection(CASES)
        self._events = database.collection(EVENTS)
        self._counters = database.collection(COUNTERS)
        self._customers = database.collection(CUSTOMERS)

    async def next_number(self, year: int) -> int:
        """Increasing within a year; outside any unit of work, so that nobody waits (gaps are allowed)."""
        found = await self._counters.find_one_and_update({"_id": f"case/{year}"}, {"$inc": {"value": 1}}, upsert=True)
        return int((found or {})["value"])

    async def get(self, reach: Reach, case: str) -> dict[str, Any] | None:
        """One case within reach."""
        return await self._cases.find_one({"_id": case, **within(reach)})

    async def of_ids(self, reach: Reach, ids: Iterable[str], where: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Cases within reach that (still) match, in no order."""
        clauses = [clause for clause in ({"_id": {"$in": list(ids)}}, within(reach), where) if clause]
        return await self._cases.find({"$and": clauses})

    async def every_of(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Cases by id whoever asks: for the indexer and the worker alone."""
        return await self._cases.find({"_id": {"$in": list(ids)}})

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
        return await self._cases.find(query, sort=order, limit=limit)

    async def count(self, reach: Reach, where: Mapping[str, Any]) -> int:
        """How many cases within reach match."""
        query, hint = counting([within(reach), where], INDEXED)
        return await self._cases.count(query, hint=hint)

    async def has_claim(self, token: bytes, but: str | None) -> bool:
        """Whether some other case has claimed this unique value."""
        return await self._cases.count({"unique": token, "_id": {"$ne": but}}, limit=1) > 0

    async def note_duplicate(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Puts a probable duplicate on the supervisor's list."""
        await unit.collection(DUPLICATES).insert_one(document)

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new case."""
        await unit.collection(CASES).insert_one(document)

    async def change(
        self, unit: UnitOfWork, reach: Reach, case: str, guard: Mapping[str, Any], change: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Changes one case if it is within reach and the guard (version, state) holds; returns its former state,
        or None when nothing was changed.
        """
        where = {"$and": [clause for clause in ({"_id": case, **guard}, within(reach)) if clause]}
        return await unit.collection(CASES).find_one_and_update(where, change, before=True)

    async def add_event(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """One more step of the history."""
        await unit.collection(EVENTS).insert_one(document)

    async def events(
        self, case: str, layers: Sequence[str], *, after: int | None, descending: bool, limit: int
    ) -> list[dict[str, Any]]:
        """A page of the history, only of these layers."""
        where: dict[str, Any] = {"case": case, "layer": {"$in": list(layers)}}
        if after is not None:
            where["sequence"] = {"$lt" if descending else "$gt": after}
        return await self._events.find(where, sort=[("sequence", -1 if descending else 1)], limit=limit)

    async def first_events(
        self, cases: Sequence[str], layers: Sequence[str], *, descending: bool, limit: int
    ) -> dict[str, list[dict[str, Any]]]:
        """The first page of the history of each of some cases, only of these layers."""
        pipeline = pages_of_each(
            cases,
            children=EVENTS,
            key="case",
            where={"layer": {"$in": list(layers)}},
            sort=[("sequence", -1 if descending else 1)],
            limit=limit,
        )
        return {found["_id"]: found["page"] for found in await self._cases.aggregate(pipeline)}

    async def first_of_customers(
        self, reach: Reach, customers: Sequence[str], *, limit: int
    ) -> dict[str, list[dict[str, Any]]]:
        """The newest cases, within reach, of each of some customers."""
        pipeline = pages_of_each(
            customers, children=CASES, key="customer", where=within(reach), sort=[("_id", -1)], limit=limit
        )
        return {found["_id"]: found["page"] for found in await self._customers.aggregate(pipeline)}

    async def count_events(self, case: str, layers: Sequence[str]) -> int:
        """How many steps the history has in these layers."""
        return await self._events.count({"case": case, "layer": {"$in": list(layers)}})

    async def event(self, event: str) -> dict[str, Any] | None:
        """One event."""
        return await self._events.find_one({"_id": event})

    async def events_of(self, cases: Iterable[str]) -> list[dict[str, Any]]:
        """The whole histories of some cases, in order: for the indexer alone."""
        return await self._events.find({"case": {"$in": list(cases)}}, sort=[("case", 1), ("sequence", 1)])

    async def reach_of(self, unit: UnitOfWork, customer: str) -> tuple[list[str], list[str]]:
        """Assignees and departments of all cases of a customer, as the unit of work sees them."""
        found = await unit.collection(CASES).aggregate(
            [
                {"$match": {"customer": customer}},
                {"$group": {"_id": None, "a": {"$addToSet": "$assignee"}, "d": {"$addToSet": "$department"}}},
            ]
        )
        if not found:
            return [], []
        return [agent for agent in found[0]["a"] if agent], found[0]["d"]

    async def hand_over(self, unit: UnitOfWork, customer: str, owner: str, department: str) -> list[dict[str, Any]]:
        """The customer's cases get its new owner; those that nobody handles yet follow it into its department.

        Owner and department decide who reaches a case and stand beside what is sealed: an archived case, too, gets
        its customer's new owner, and nothing else of it changes. Returns their ids and versions.
        """
        cases, of_customer = unit.collection(CASES), {"customer": customer}
        found = await cases.find(of_customer, projection={"version": 1, "assignee": 1})
        await cases.update_many(of_customer, {"$set": {"owner": owner}, "$inc": {"search_version": 1}})
        await cases.update_many({**of_customer, "assignee": None}, {"$set": {"department": department}})
        return found

    async def to_index_again(self, unit: UnitOfWork, ids: Sequence[str]) -> None:
        """Their index documents changed, because something beside them did."""
        await unit.collection(CASES).update_many({"_id": {"$in": list(ids)}}, {"$inc": {"search_version": 1}})

    async def ids_of_customer(self, customer: str) -> list[str]:
        """Ids of a customer's cases."""
        return [d["_id"] for d in await self._cases.find({"customer": customer}, projection={"_id": 1})]

    async def every_id(self) -> AsyncIterator[str]:
        """All ids, oldest first: for rebuilding the index."""
        async for document in self._cases.scan({}, sort=[("_id", 1)], projection={"_id": 1}):
            yield document["_id"]
