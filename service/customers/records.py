"""Customers as they are read, and held while something of theirs is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from bson import Binary

from service.access.actor import Caller
from service.access.declared import camel
from service.access.policy import Relation
from service.access.view import View
from service.crypto import BlindIndex
from service.customers.lookups import Lookups
from service.customers.model import CUSTOMERS, FORM, QUESTIONS, SHAPE
from service.customers.repository import CUSTOMERS_UNIQUE, CustomerRepository
from service.customers.rules import normal_lookup
from service.customers.uniqueness import Uniqueness
from service.identity.model import User
from service.jobs.service import Jobs
from service.journal.model import Touched
from service.journal.service import Journal
from service.keys.service import Keys, SealedRecord
from service.storage import Database, UnitOfWork
from service.storage.buckets import Buckets
from service.templates.service import Templates

_STORED = {"tag": "tags"}

OwnerFollower = Callable[[UnitOfWork, str, str, str], Awaitable[Sequence[Touched]]]


class People(Protocol):
    """What customers need to know of users."""

    async def user(self, user: str) -> User | None: ...


class CustomerRecords:
    """What `Customers` and everything above it share. What a caller may not see is None."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        blind: BlindIndex,
        journal: Journal,
        jobs: Jobs,
        templates: Templates,
        people: People,
        *,
        lookups_per_minute: int,
        lookups_per_day: int,
    ) -> None:
        self._database = database
        self._repository = CustomerRepository(database)
        self.lookups = Lookups(Buckets(database), per_minute=lookups_per_minute, per_day=lookups_per_day)
        self._keys = keys
        self._blind = blind
        self._uniqueness = Uniqueness(
            database, self._repository, journal, blind, self.lookups, noun="customer", index=CUSTOMERS_UNIQUE
        )
        self._journal = journal
        self._jobs = jobs
        self._templates = templates
        self._people = people
        self._followers: list[OwnerFollower] = []

    def on_new_owner(self, follow: OwnerFollower) -> None:
        """`follow(unit, customer, owner, department)` runs in the unit of work that hands a customer over; it returns
        the records that it wrote, which the entry names and the index learns.
        """
        self._followers.append(follow)

    async def reaches(self, caller: Caller, customer: str) -> bool:
        """Whether there is such a customer within the caller's reach."""
        return await self._repository.get(caller.reach, customer) is not None

    # Reading

    async def get(self, caller: Caller, customer: str) -> View | None:
        """One customer, or None when there is none that the caller may see."""
        document = await self._repository.get(caller.reach, customer)
        return (await self._views(caller, [document]))[0] if document else None

    async def load(self, caller: Caller, ids: Iterable[str]) -> dict[str, View]:
        """Several customers by id, for loaders; those out of reach are missing."""
        documents = await self._repository.of_ids(caller.reach, set(ids))
        return {view.id: view for view in await self._views(caller, documents)}

    async def listed(
        self,
        caller: Caller,
        *,
        where: Mapping[str, Any],
        sort: str = "_id",
        descending: bool = True,
        after: tuple[Any, str] | None = None,
        limit: int,
    ) -> list[View]:
        """A page of the customers within reach. `where` names what `QUESTIONS` does. Raises Refused."""
        QUESTIONS.permit(caller, ["id" if sort == "_id" else sort])
        condition = await self._condition(caller, where)
        if condition is None:
            return []
        documents = await self._repository.listed(
            caller.reach, condition, sort=sort, descending=descending, after=after, limit=limit
        )
        return await self._views(caller, documents)

    async def count(self, caller: Caller, where: Mapping[str, Any]) -> int:
        """How many customers within reach match."""
        condition = await self._condition(caller, where)
        return await self._repository.count(caller.reach, condition) if condition is not None else 0

    async def _condition(self, caller: Caller, where: Mapping[str, Any]) -> dict[str, Any] | None:
        """Open conditions, and blind equality (B2); None can match nothing. Raises Refused before anything is asked."""
        asked = {name: value for name, value in where.items() if value is not None}
        QUESTIONS.permit(caller, asked)
        lookups = {name: value for name, value in asked.items() if name in QUESTIONS.blind}
        condition = {_STORED.get(name, name): value for name, value in asked.items() if name not in lookups}
        for name, value in lookups.items():
            if caller.looked_up(name, value, QUESTIONS.classes(name)[0]):  # a page and its total ask once
                await self.lookups.spend(caller, camel(name))
            normal = normal_lookup(name, value)
            if normal is None:
                return None
            condition[f"blind.{name}"] = Binary(self._blind.token(name, normal))
        return condition

    async def _views(self, caller: Caller, documents: Sequence[Mapping[str, Any]]) -> list[View]:
        await self._keys.load([document["_id"] for document in documents])
        templates = await self._templates.every()
        return [
            View(
                caller,
                self._sealed(document),
                SHAPE,
                relations(caller, document),
                templates[document["template"]].fields,
            )
            for document in documents
        ]

    async def _view(self, caller: Caller, document: Mapping[str, Any]) -> View:
        return (await self._views(caller, [document]))[0]

    def _sealed(self, document: Mapping[str, Any]) -> SealedRecord:
        return SealedRecord(FORM, document, self._keys.versions(document["_id"]))

    async def revisions(self, caller: Caller, customer: str, *, before_version: int | None, limit: int) -> list[View]:
        """This and earlier states, newest first, through today's masks. The caller must reach the customer now."""
        current = await self._repository.get(caller.reach, customer)
        if current is None:
            return []
        states: list[dict[str, Any]] = []
        if before_version is None or current["version"] < before_version:
            states.append(current)
        former = await self._journal.repository.former_states(customer, before_version=before_version, limit=limit)
        return await self._views(caller, [*states, *_earlier(current, states, former)][:limit])

    async def first_revisions(self, caller: Caller, customers: Sequence[str], limit: int) -> dict[str, list[View]]:
        """The same for each of some customers, from the newest on, in one question for all."""
        current = await self._repository.of_ids(caller.reach, customers)
        former = await self._journal.repository.first_former_states(
            CUSTOMERS, [document["_id"] for document in current], limit=limit
        )
        states = [
            [document, *_earlier(document, [document], former.get(document["_id"], ()))][:limit] for document in current
        ]
        views = iter(await self._views(caller, [state for one in states for state in one]))
        return {one[0]["_id"]: list(islice(views, len(one))) for one in states}

    async def at_version(self, caller: Caller, customer: str, version: int | None) -> View | None:
        """The state that a customer had at a version, through today's masks; None when it can't be seen."""
        before = version + 1 if version is not None else None
        found = await self.revisions(caller, customer, before_version=before, limit=1)
        return found[0] if found else None

    async def hold(self, unit: UnitOfWork, caller: Caller, customer: str, right: str) -> dict[str, Any] | None:
        """The customer as the unit of work sees it, written so that whoever hands it over at the same moment
        conflicts: what the unit takes from it (owner, department) and whom it asks (the reach, the right) still
        holds when it commits. None when it is out of reach (by now). The unit names the customer to be indexed.

        Raises NotPermitted.
        """
        document = await self._repository.touch(unit, caller.reach, customer)
        if document is not None:
            caller.require(right, relations(caller, document), customer)
        return document

    async def set_case_reach(
        self, unit: UnitOfWork, customer: str, agents: Sequence[str], departments: Sequence[str]
    ) -> None:
        """Whom the customer's cases bring into reach. Always written, so that two units of work which change two
        cases of one customer conflict and the later one counts again.
        """
        document = await self._repository.get_in(unit, customer)
        if document is None:
            raise LookupError(customer)
        reach = {
            "agents": sorted(agents),
            "case_departments": sorted(departments),
            "departments": sorted({document["department"], *departments}),
        }
        await self._repository.set_reach(unit, customer, reach)

    def every_id(self) -> AsyncIterator[str]:
        """All ids, oldest first: for rebuilding the index."""
        return self._repository.every_id()

    async def sealed_for_index(self, ids: Iterable[str]) -> dict[str, SealedRecord]:
        """Customers as the indexer reads them: without a caller, never for an answer."""
        documents = await self._repository.every_of(ids)
        await self._keys.load(document["_id"] for document in documents)
        return {document["_id"]: self._sealed(document) for document in documents}


def relations(caller: Caller, document: Mapping[str, Any]) -> frozenset[Relation]:
    """How the caller stands to a customer."""
    return caller.relations(document["owner"], document["agents"], document["departments"])


def _earlier(
    current: Mapping[str, Any], known: Sequence[Mapping[str, Any]], former: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Former states as documents, with today's reach; one for each version that is not known yet."""
    today = {name: current[name] for name in ("owner", "agents", "departments")}
    seen, found = {state["version"] for state in known}, []
    for state in former:
        if state["version"] not in seen:
            seen.add(state["version"])
            found.append({"_id": current["_id"], **state["document"], **today})
    return found
