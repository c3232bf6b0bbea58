"""Use cases of cases: raise, assign, handle, answer, close, review. Sealing is `service.archive`'s."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from service.access.actor import Caller
from service.access.declared import Sensitivity
from service.access.policy import Relation, Role
from service.access.view import View
from service.cases.calendar import Calendar
from service.cases.history import History, NewEvent
from service.cases.model import CASE_SHAPE, CASES, PREFIX, CaseState, Direction, EventKind
from service.cases.repository import CaseRepository
from service.cases.rules import (
    PRODUCT_MOST,
    TITLE_MOST,
    Step,
    check_review,
    first_nodes,
    next_state,
    stamped,
    text_of,
)
from service.clock import is_id, new_id, now
from service.customers.service import Customers
from service.errors import Code, Invalid, Problems
from service.identity.model import User
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.keys.rules import separate
from service.keys.service import Keys, SealedRecord, seal_sections
from service.storage import Database, UnitOfWork
from service.templates.model import Template, TemplateOf
from service.templates.rules import amount, check_attributes, missing_at
from service.templates.service import Templates


class People(Protocol):
    """What cases need to know of users."""

    async def user(self, user: str) -> User | None: ...


class Cases:
    """See the module's docstring. Methods raise NotPermitted and Invalid; what a caller may not see is None."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        journal: Journal,
        templates: Templates,
        people: People,
        customers: Customers,
        calendar: Calendar,
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
        customers.on_new_owner(self.repository.hand_over)

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
        """A page of the cases within reach; `where` holds open fields only."""
        documents = await self.repository.listed(
            caller.reach, condition(where), sort=sort, descending=descending, after=after, limit=limit
        )
        return await self.views(caller, documents)

    async def count(self, caller: Caller, where: Mapping[str, Any]) -> int:
        """How many cases within reach match."""
        return await self.repository.count(caller.reach, condition(where))

    async def views(self, caller: Caller, documents: Sequence[Mapping[str, Any]]) -> list[View]:
        """Documents as the caller sees them."""
        await self._keys.load(document["customer"] for document in documents)
        found = []
        for document in documents:
            template = await self._templates.by_id(document["template"])
            found.append(View(caller, self._sealed(document), CASE_SHAPE, relations(caller, document), template.fields))
        return found

    async def ready(self, document: Mapping[str, Any]) -> None:
        """Makes what `advance` needs of keys ready for a case; call it before the unit of work."""
        await self._keys.load([document["customer"]])

    def _sealed(self, document: Mapping[str, Any]) -> SealedRecord:
        return SealedRecord(document, CASES, CASE_SHAPE, self._keys.versions(document["customer"]))

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

    # Steps

    async def raise_case(self, caller: Caller, values: Mapping[str, Any]) -> View:
        """Creates the record at once (R30): customer, category, title and description are needed (R33)."""
        problems, at, case = Problems(), now(), new_id(PREFIX)
        customer = await self._customers.get(caller, values["customer"])
        if customer is None:
            raise Invalid.because(Code.NOT_FOUND, "customer")
        caller.require("case.raise", customer.relations, customer.id)
        template = await self._templates.newest(TemplateOf.CASE, values.get("template") or "standard")
        if template is None:
            raise Invalid.because(Code.NOT_FOUND, "template")
        stored = self._described(template, values, {}, problems, node="RAISE")
        assignee = None
        if values.get("assignee"):
            caller.require("case.assign", customer.relations, customer.id)
            assignee = await self._agent(values["assignee"], problems)
        problems.raise_if_any()
        nodes = first_nodes(template, self._calendar, at, caller.actor.id)
        state = CaseState.RAISED
        if assignee:
            state = next_state(Step.ASSIGN, state)
            nodes = stamped(nodes, Step.ASSIGN, template, self._calendar, at, caller.actor.id)
        openly, sections = separate(CASE_SHAPE, stored)
        year = at.astimezone(self._calendar.zone).year
        number = f"AJ{year}-{await self.repository.next_number(year):06d}"
        document: dict[str, Any] = {
            "_id": case,
            **openly,
            "number": number,
            "state": state.value,
            "customer": customer.id,
            "template": template.id,
            "owner": customer.document["owner"],
            "assignee": assignee.id if assignee else None,
            "department": assignee.department if assignee else customer.document["department"],
            "handlers": [],
            "nodes": nodes,
            "events": 1,
            "version": 1,
            "search_version": 1,
            "raised_at": at,
            "raised_by": caller.actor.id,
            "updated_at": at,
            "updated_by": caller.actor.id,
        }
        key = self._keys.current(customer.id)
        document["sealed"] = seal_sections(key, CASES, case, CASE_SHAPE, sections)
        event = NewEvent(EventKind.RAISED, to_state=state)

        async def work(unit: UnitOfWork) -> None:
            await self.repository.insert(unit, document)
            added = await self.history.add(unit, caller, document, 1, event)
            if assignee:
                await self._recount_reach(unit, customer.id)
            index = (case, customer.id) if assignee else (case,)
            touched = (Touched(case, 1, document, collection=CASES), added)
            await self._journal.append(unit, caller, Work("case.raise", touched, index=index))

        await self._database.transact(work)
        return (await self.views(caller, [document]))[0]

    async def update(self, caller: Caller, case: str, version: int, values: Mapping[str, Any]) -> View | None:
        """Corrects what was raised: absent means unchanged, null means cleared."""
        document = await self._reached(caller, case, "case.update", version)
        if document is None:
            return None
        problems = Problems()
        row = caller.row(relations(caller, document))
        former = self._sealed(document).values()
        template = await self._templates.by_id(document["template"])
        if "disputed_amount" in values and row[Sensitivity.FINANCIAL].name != "FULL":
            problems.add(Code.FIELD_NOT_EDITABLE, "disputedAmount")
        for item in values.get("attributes") or ():
            field = template.field(item["key"])
            if field is not None and row[field.sensitivity].name != "FULL":
                problems.add(Code.FIELD_NOT_EDITABLE, f"attributes.{field.key}")
        stored = self._described(template, values, former, problems, node="RAISE")
        problems.raise_if_any()
        return await self._step(
            caller, document, Step.UPDATE, "case.update", stored=stored, event=NewEvent(EventKind.UPDATED)
        )

    async def assign(self, caller: Caller, case: str, version: int, assignee: str, reason: str | None) -> View | None:
        """Gives the case to an agent; its department becomes theirs."""
        document = await self._reached(caller, case, "case.assign", version)
        if document is None:
            return None
        problems = Problems()
        agent = await self._agent(assignee, problems)
        text = text_of(reason, "reason", problems, required=False)
        problems.raise_if_any()
        assert agent is not None  # noqa: S101 - raise_if_any told otherwise
        change = {"assignee": agent.id, "department": agent.department}
        event = NewEvent(EventKind.ASSIGNED, text=text or None, details={"assignee": agent.id})
        return await self._step(caller, document, Step.ASSIGN, "case.assign", change=change, event=event)

    async def record(
        self,
        caller: Caller,
        case: str,
        kind: EventKind,
        *,
        version: int | None,
        text: str | None,
        happened_at: datetime | None = None,
        direction: Direction | None = None,
        satisfaction: int | None = None,
    ) -> View | None:
        """A measure, a communication, the customer's feedback, or an internal note (R31, R33, R36)."""
        step = _RECORDED[kind]
        right = f"case.{step.value}"
        appended = step in (Step.COMMUNICATE, Step.NOTE)
        document = await self._reached(caller, case, right, version, version_needed=not appended)
        if document is None:
            return None
        problems, at = Problems(), now()
        body = text_of(text, "text", problems)
        change: dict[str, Any] = {}
        if kind is EventKind.MEASURE:
            happened_at = happened_at or at
            if happened_at > at:
                problems.add(Code.VALIDATION, "happenedAt", reason={"en": "is in the future", "zh-CN": "不能晚于现在"})
            change["handlers"] = sorted({*document["handlers"], caller.actor.id})
        if kind is EventKind.COMMUNICATION and direction is None:
            problems.add(Code.REQUIRED, "direction")
        if kind is EventKind.CUSTOMER_FEEDBACK:
            if satisfaction is None:
                problems.add(Code.REQUIRED, "satisfaction")
            elif not 1 <= satisfaction <= 5:
                problems.add(Code.VALIDATION, "satisfaction", reason="1–5")
            change["satisfaction"] = satisfaction
        problems.raise_if_any()
        event = NewEvent(kind, text=body, happened_at=happened_at, direction=direction, satisfaction=satisfaction)
        return await self._step(caller, document, step, right, change=change, event=event, appended=appended)

    async def close(self, caller: Caller, case: str, version: int, resolution: str | None) -> View | None:
        """Ends the handling; the archive's clock starts (R41)."""
        document = await self._reached(caller, case, "case.close", version)
        if document is None:
            return None
        problems = Problems()
        text = text_of(resolution, "resolution", problems)
        template = await self._templates.by_id(document["template"])
        former = self._sealed(document).values()
        for key in missing_at(template, former["attributes"], "CLOSE"):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        problems.raise_if_any()
        stored = {**{k: v for k, v in former.items() if k in _DESCRIBED}, "resolution": text}
        event = NewEvent(EventKind.CLOSED, text=text)
        change = {"closed_at": now()}
        return await self._step(caller, document, Step.CLOSE, "case.close", stored=stored, change=change, event=event)

    async def review(self, caller: Caller, case: str, version: int, approve: bool, opinion: str | None) -> View | None:
        """A supervisor who did not handle it approves, or returns it to be handled again (R39)."""
        document = await self._reached(caller, case, "case.review", version)
        if document is None:
            return None
        check_review(document, caller)
        problems = Problems()
        text = text_of(opinion, "opinion", problems)
        problems.raise_if_any()
        change: dict[str, Any] = {"reviewed_by": caller.actor.id} if approve else {"closed_at": None}
        event = NewEvent(EventKind.APPROVED if approve else EventKind.RETURNED, text=text)
        step = Step.APPROVE if approve else Step.RETURN
        return await self._step(caller, document, step, "case.review", change=change, event=event)

    # Parts of the above; `advance` also serves evidence and the archive

    async def _reached(
        self, caller: Caller, case: str, right: str, version: int | None, *, version_needed: bool = True
    ) -> dict[str, Any] | None:
        document = await self.repository.get(caller.reach, case)
        if document is None:
            return None
        caller.require(right, relations(caller, document), case)
        if version is None and version_needed:
            raise Invalid.because(Code.REQUIRED, "version")
        if version is not None and document["version"] != version:
            raise Invalid.because(Code.CONFLICT, "version", current=document["version"])
        await self._keys.load([document["customer"]])
        return document

    def _described(
        self, template: Template, values: Mapping[str, Any], former: Mapping[str, Any], problems: Problems, *, node: str
    ) -> dict[str, Any]:
        """The descriptive fields: former ones with the given laid over, checked."""
        stored = {name: former.get(name) for name in _DESCRIBED}
        if "title" in values or not former:
            stored["title"] = text_of(values.get("title"), "title", problems, most=TITLE_MOST)
        if "description" in values or not former:
            stored["description"] = text_of(values.get("description"), "description", problems)
        if "product" in values:
            stored["product"] = (
                text_of(values["product"], "product", problems, most=PRODUCT_MOST, required=False) or None
            )
        if "category" in values or not former:
            stored["category"] = values.get("category")
            if not any(choice.key == stored["category"] for choice in template.categories):
                problems.add(Code.VALIDATION if stored["category"] else Code.REQUIRED, "category",
                             reason=", ".join(choice.key for choice in template.categories))  # fmt: skip
        if "disputed_amount" in values:
            text = values["disputed_amount"]
            stored["disputed_amount"] = amount(text) if text is not None else None
            if text is not None and stored["disputed_amount"] is None:
                problems.add(Code.WRONG_TYPE, "disputedAmount", expected="AMOUNT")
        attributes = check_attributes(
            template, values.get("attributes") or (), former.get("attributes") or {}, problems
        )
        for key in missing_at(template, attributes, node):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        stored["attributes"] = attributes
        return stored

    async def _agent(self, user: str, problems: Problems) -> User | None:
        found = await self._people.user(user) if is_id(user, "usr") else None
        if found is None or found.state != "ACTIVE" or Role.AGENT not in found.roles or not found.department:
            problems.add(Code.NOT_FOUND, "assignee")
            return None
        return found

    async def _recount_reach(self, unit: UnitOfWork, customer: str) -> None:
        agents, departments = await self.repository.reach_of(unit, customer)
        await self._customers.set_case_reach(unit, customer, agents, departments)

    async def _step(
        self,
        caller: Caller,
        document: dict[str, Any],
        step: Step,
        right: str,
        *,
        event: NewEvent,
        change: Mapping[str, Any] | None = None,
        stored: Mapping[str, Any] | None = None,
        appended: bool = False,
    ) -> View | None:
        """One step in one unit of work: the case (guarded by version and state), its event, the entry."""
        case = document["_id"]
        next_state(step, CaseState(document["state"]))  # before anything is written
        template = await self._templates.by_id(document["template"])

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            changes = dict(change or {})
            if stored is not None:
                openly, sections = separate(CASE_SHAPE, stored)
                key = self._keys.current(document["customer"])
                changes |= {**openly, "sealed": seal_sections(key, CASES, case, CASE_SHAPE, sections)}
            after = await self.advance(
                unit, caller, case, step, document, template, changes, event, right=right, appended=appended
            )
            if after is not None and step is Step.ASSIGN:
                await self._recount_reach(unit, document["customer"])
            return after

        after = await self._database.transact(work)
        if after is None:
            current = await self.repository.get(caller.reach, case)
            if current is None:
                return None
            raise Invalid.because(Code.CONFLICT, "version", current=current["version"])
        return (await self.views(caller, [after]))[0]

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
    ) -> dict[str, Any] | None:
        """Writes a step inside a unit of work and returns the case after it; None when the guard failed.

        An appended step (a note, a communication, a file) does not move `version`: it disturbs nobody's edit, and
        needs no template. `first` is what the step is about, where that is not the case: a repeat finds it.
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
        before = await self.repository.change(unit, caller.reach, case, guard, {"$set": written, "$inc": moved})
        if before is None:
            return None
        after = {**before, **written, **{name: before[name] + 1 for name in moved}}
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


_RECORDED = {
    EventKind.MEASURE: Step.MEASURE,
    EventKind.COMMUNICATION: Step.COMMUNICATE,
    EventKind.CUSTOMER_FEEDBACK: Step.FEEDBACK,
    EventKind.INTERNAL_NOTE: Step.NOTE,
}
_DESCRIBED = ("title", "description", "resolution", "disputed_amount", "category", "product", "attributes")


def relations(caller: Caller, document: Mapping[str, Any]) -> frozenset[Relation]:
    """How the caller stands to a case."""
    agents = [document["assignee"]] if document["assignee"] else []
    return caller.relations(document["owner"], agents, [document["department"]])


def condition(where: Mapping[str, Any]) -> dict[str, Any]:
    """Open fields as a filter: `state` (a list), `category`, `department`, `assignee`, `owner`, `customer`,
    `number`, `raised_from` and `raised_to` (UTC).
    """
    found: dict[str, Any] = {
        name: where[name]
        for name in ("category", "department", "assignee", "owner", "customer", "number")
        if where.get(name) is not None
    }
    if where.get("state"):
        found["state"] = {"$in": list(where["state"])}
    raised = {
        operator: where[name] for name, operator in (("raised_from", "$gte"), ("raised_to", "$lt")) if where.get(name)
    }
    if raised:
        found["raised_at"] = raised
    return found
