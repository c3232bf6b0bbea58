"""Cases as they are read, and the one way in which they move: `advance`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from service.access.actor import Caller
from service.access.policy import Relation
from service.access.view import View
from service.cases.calendar import Calendar
from service.cases.history import History, NewEvent
from service.cases.model import CASE_FORM, CASE_QUESTIONS, CASE_SHAPE, CASES, CaseState
from service.cases.repository import CASES_UNIQUE, CaseRepository
from service.cases.rules import (
    REQUIRES,
    Step,
    next_state,
    stamped,
)
from service.clock import now
from service.crypto import BlindIndex
from service.customers.service import Customers
from service.customers.uniqueness import Uniqueness
from service.errors import Code, Problems
from service.identity.model import User
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.keys.service import Keys, SealedRecord
from service.storage import Database, UnitOfWork
from service.templates.model import Template
from service.templates.rules import Attributes, missing_at
from service.templates.service import Templates


class People(Protocol):
    """What cases need to know of users."""

    async def user(self, user: str) -> User | None: ...


class CaseRecords:
    """What `Cases`, evidence and the archive share. What a caller may not see is None."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        journal: Journal,
        templates: Templates,
        people: People,
        customers: Customers,
        calendar: Calendar,
        blind: BlindIndex,
    ) -> None:
        self._database = database
        self.repository = CaseRepository(database)
        self.history = History(self.repository, keys)
        self._keys = keys
        self._journal = journal
        self._templates = templates
        self._people = people
        self._customers = customers
        self._calendar = calendar
        self._uniqueness = Uniqueness(
            database, self.repository, journal, blind, customers.lookups, noun="case", index=CASES_UNIQUE
        )
        customers.on_new_owner(self._hand_over)

    async def reaches(self, caller: Caller, case: str) -> bool:
        """Whether there is such a case within the caller's reach."""
        return await self.repository.get(caller.reach, case) is not None

    # Reading

    async def get(self, caller: Caller, case: str) -> View | None:
        """One case, or None when there is none that the caller may see."""
        document = await self.repository.get(caller.reach, case)
        return (await self.views(caller, [document]))[0] if document else None

    async def load(self, caller: Caller, ids: Iterable[str], where: Mapping[str, Any] | None = None) -> dict[str, View]:
        """Several cases by id (those which still match `where`); those out of reach are missing."""
        documents = await self.repository.of_ids(caller.reach, set(ids), where or {})
        return {view.id: view for view in await self.views(caller, documents)}

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
        """A page of the cases within reach. `where` names what `CASE_QUESTIONS` does. Raises Refused."""
        CASE_QUESTIONS.permit(caller, ["id" if sort == "_id" else sort, *asked_by(where)])
        documents = await self.repository.listed(
            caller.reach, condition(where), sort=sort, descending=descending, after=after, limit=limit
        )
        return await self.views(caller, documents)

    async def first_of_customers(self, caller: Caller, customers: Sequence[str], limit: int) -> dict[str, list[View]]:
        """The newest cases, within reach, of each of some customers."""
        pages = await self.repository.first_of_customers(caller.reach, customers, limit=limit)
        views = await self.views(caller, [document for page in pages.values() for document in page])
        found: dict[str, list[View]] = {}
        for view in views:
            found.setdefault(view.document["customer"], []).append(view)
        return found

    async def count(self, caller: Caller, where: Mapping[str, Any]) -> int:
        """How many cases within reach match. Raises Refused."""
        CASE_QUESTIONS.permit(caller, asked_by(where))
        return await self.repository.count(caller.reach, condition(where))

    async def views(self, caller: Caller, documents: Sequence[Mapping[str, Any]]) -> list[View]:
        """Documents as the caller sees them."""
        await self._keys.load(document["customer"] for document in documents)
        templates = await self._templates.every()
        return [
            View(
                caller,
                self._sealed(document),
                CASE_SHAPE,
                relations(caller, document),
                templates[document["template"]].fields,
            )
            for document in documents
        ]

    async def ready(self, document: Mapping[str, Any]) -> None:
        """Makes what `advance` needs of keys ready for a case; call it before the unit of work."""
        await self._keys.load([document["customer"]])

    def _sealed(self, document: Mapping[str, Any]) -> SealedRecord:
        return SealedRecord(CASE_FORM, document, self._keys.versions(document["customer"]))

    async def at_version(self, caller: Caller, case: str, version: int) -> View | None:
        """The state that a case had at a version, through today's masks; None when it can't be seen."""
        current = await self.repository.get(caller.reach, case)
        if current is None or current["version"] == version:
            return (await self.views(caller, [current]))[0] if current else None
        states = await self._journal.repository.former_states(case, before_version=version + 1, limit=1)
        if not states or states[0]["version"] != version:
            return (await self.views(caller, [current]))[0]
        today = {name: current[name] for name in ("owner", "assignee", "department")}
        return (await self.views(caller, [{"_id": case, **states[0]["document"], **today}]))[0]

    def every_id(self) -> AsyncIterator[str]:
        """All ids, oldest first: for rebuilding the index."""
        return self.repository.every_id()

    async def sealed_for_index(self, ids: Iterable[str]) -> list[SealedRecord]:
        """Cases as the indexer reads them: without a caller, never for an answer."""
        documents = await self.repository.every_of(ids)
        await self._keys.load(document["customer"] for document in documents)
        return [self._sealed(document) for document in documents]

    # Moving

    def check_fields(
        self, document: Mapping[str, Any], template: Template, step: Step, attributes: Attributes | None = None
    ) -> None:
        """What the template requires at the nodes that a step passes is filled. `attributes` are those that the step
        writes; without them the stored ones count (the customer's keys are loaded). Raises Invalid REQUIRED.
        """
        nodes = [node.value for node in REQUIRES.get(step, ())]
        if not any(field.required_at in nodes for field in template.fields):
            return
        found = attributes if attributes is not None else self._sealed(document).values()["attributes"]
        problems = Problems()
        for key in dict.fromkeys(key for node in nodes for key in missing_at(template, found, node)):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        problems.raise_if_any()

    async def _hand_over(self, unit: UnitOfWork, customer: str, owner: str, department: str) -> list[Touched]:
        """The customer's cases follow it to its new owner; the entry of that names each of them."""
        cases = await self.repository.hand_over(unit, customer, owner, department)
        await self._recount_reach(unit, customer)
        return [
            Touched(
                case["_id"],
                case["version"],
                None,
                collection=CASES,
                changed=("owner",) if case["assignee"] else ("department", "owner"),
            )
            for case in cases
        ]

    async def _recount_reach(self, unit: UnitOfWork, customer: str) -> None:
        """Whom the customer's cases, as the unit of work sees them, bring into its reach."""
        agents, departments = await self.repository.reach_of(unit, customer)
        await self._customers.set_case_reach(unit, customer, agents, departments)

    async def advance(
        self,
        unit: UnitOfWork,
        caller: Caller,
        case: str,
        step: Step,
        document: Mapping[str, Any],
        template: Template | None,
        changes: Mapping[str, Any],
        event: NewEvent,
        *,
        right: str,
        appended: bool = False,
        first: Sequence[Touched] = (),
        others: Sequence[Touched] = (),
        repeatable: bool = True,
        unset: Sequence[str] = (),
    ) -> dict[str, Any] | None:
        """Writes a step inside a unit of work and returns the case after it; None when the guard failed.

        An appended step (a note, a communication, a file) does not move `version`: it disturbs nobody's edit, and
        needs no template. `unset` fields are removed. `first` is what the step is about, where that is not the case: a repeat finds it.
        """
        at, state = now(), CaseState(document["state"])
        reached = next_state(step, state)
        written: dict[str, Any] = {**changes, "state": reached.value, "updated_at": at, "updated_by": caller.actor.id}
        if not appended:
            assert template is not None  # noqa: S101 - only appended steps come without one
            by = document["archived_by"] if step is Step.SEAL else caller.actor.id
            written["nodes"] = stamped(document["nodes"], step, template, self._calendar, at, by)
        guard: dict[str, Any] = {"state": state.value}
        moved = {"search_version": 1, "events": 1}
        if not appended:
            guard["version"] = document["version"]
            moved["version"] = 1
        change: dict[str, Any] = {"$set": written, "$inc": moved}
        if unset:
            change["$unset"] = dict.fromkeys(unset, "")
        before = await self.repository.change(unit, caller.reach, case, guard, change)
        if before is None:
            return None
        after = {**before, **written, **{name: before[name] + 1 for name in moved}}
        for name in unset:
            after.pop(name, None)
        if state is not reached:
            event = event.between(state, reached)
        added = await self.history.add(unit, caller, after, after["events"], event)
        former = None if appended else before
        touched = Touched(case, after["version"], after, former, CASES, tuple(sorted(changes)))
        index = (case, before["customer"]) if step is Step.ASSIGN else (case,)
        work = Work(
            right if step is not Step.RETURN else "case.return",
            (*first, touched, added, *others),
            index=index,
            repeatable=repeatable,
        )
        await self._journal.append(unit, caller, work)
        return after


def relations(caller: Caller, document: Mapping[str, Any]) -> frozenset[Relation]:
    """How the caller stands to a case."""
    agents = [document["assignee"]] if document["assignee"] else []
    return caller.relations(document["owner"], agents, [document["department"]])


def asked_by(where: Mapping[str, Any]) -> list[str]:
    """The names by which is really asked."""
    return [name for name, value in where.items() if value is not None]


def condition(where: Mapping[str, Any]) -> dict[str, Any]:
    """Open fields as a filter: `state` (a list), `category`, `department`, `assignee`, `owner`, `customer`,
    `number`, `raised_from` and `raised_to` (UTC).
    """
    found: dict[str, Any] = {
        name: where[name]
        for name in ("category", "department", "assignee", "owner", "customer", "number")
        if where.get(name) is not None
    }
    if where.get("state") is not None:  # of no state is no case
        found["state"] = {"$in": list(where["state"])}
    raised = {
        operator: where[name] for name, operator in (("raised_from", "$gte"), ("raised_to", "$lt")) if where.get(name)
    }
    if raised:
        found["raised_at"] = raised
    return found
