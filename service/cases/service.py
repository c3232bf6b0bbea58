"""Use cases of cases: raise, assign, handle, answer, close, review. Sealing is `service.archive`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import Binary

from service.access.actor import Caller
from service.access.declared import Kind, Sensitivity
from service.access.masks import is_mask
from service.access.policy import Role
from service.access.view import View
from service.cases.history import NewEvent
from service.cases.model import CASE_FORM, CASE_SHAPE, CASES, PREFIX, CaseState, Direction, EventKind
from service.cases.records import CaseRecords, relations
from service.cases.rules import (
    PRODUCT_MOST,
    TITLE_MOST,
    Step,
    check_recorded,
    check_review,
    first_nodes,
    next_state,
    stamped,
    text_of,
)
from service.clock import is_id, new_id, now
from service.errors import Code, Invalid, Problems
from service.identity.model import User
from service.journal.model import Touched, Work
from service.keys.rules import separate
from service.keys.service import seal_sections
from service.storage import UnitOfWork
from service.templates.model import Template, TemplateOf
from service.templates.rules import amount, check_attributes, missing_at


class Cases(CaseRecords):
    """See the module's docstring. Methods raise NotPermitted and Invalid; what a caller may not see is None."""

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
        nodes_passed = ("RAISE", "ASSIGN") if values.get("assignee") else ("RAISE",)
        stored = self._described(template, values, {}, problems, nodes=nodes_passed)
        await self._templates.check_references(caller, template, stored["attributes"], {}, problems)
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
            "assignee": assignee.id if assignee else None,
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
        document["sealed"] = seal_sections(CASE_FORM, key, case, sections)
        event = NewEvent(EventKind.RAISED, to_state=state)

        async def work(unit: UnitOfWork, unique: list[Binary]) -> None:
            document.pop("unique", None)
            if unique:
                document["unique"] = unique
            held = await self._customers.hold(unit, caller, customer.id, "case.raise")
            if held is None:  # it was handed over meanwhile
                raise Invalid.because(Code.NOT_FOUND, "customer")
            document["owner"] = held["owner"]
            document["department"] = assignee.department if assignee else held["department"]
            await self.repository.insert(unit, document)
            added = await self.history.add(unit, caller, document, 1, event)
            await self._recount_reach(unit, customer.id)
            touched = (Touched(case, 1, document, collection=CASES), added)
            await self._journal.append(unit, caller, Work("case.raise", touched, index=(case, customer.id)))

        claims = self._uniqueness.of_attributes(template, stored["attributes"], "case")
        await self._uniqueness.claimed(caller, case, customer.document["department"], claims, work)
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
        passed = tuple(node["node"] for node in document["nodes"] if node["done_at"])
        stored = self._described(template, values, former, problems, nodes=passed)
        await self._templates.check_references(caller, template, stored["attributes"], former["attributes"], problems)
        problems.raise_if_any()
        next_state(Step.UPDATE, CaseState(document["state"]))
        if all(stored[name] == former[name] for name in _DESCRIBED):
            return (await self.views(caller, [document]))[0]
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
        given = {"happenedAt": happened_at, "direction": direction, "satisfaction": satisfaction}
        check_recorded(kind, given, document["raised_at"], at, problems)
        problems.raise_if_any()
        change: dict[str, Any] = {}
        if kind is EventKind.MEASURE:
            happened_at = happened_at or at
            change["handlers"] = sorted({*document["handlers"], caller.actor.id})
        if kind is EventKind.CUSTOMER_FEEDBACK:
            change["satisfaction"] = satisfaction
        event = NewEvent(kind, text=body, happened_at=happened_at, direction=direction, satisfaction=satisfaction)
        return await self._step(caller, document, step, right, change=change, event=event, appended=appended)

    async def close(self, caller: Caller, case: str, version: int, resolution: str | None) -> View | None:
        """Ends the handling; the archive's clock starts (R41)."""
        document = await self._reached(caller, case, "case.close", version)
        if document is None:
            return None
        problems = Problems()
        text = text_of(resolution, "resolution", problems)
        problems.raise_if_any()
        stored = self._with_resolution(document, text)
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
        if approve:
            change, event = {"reviewed_by": caller.actor.id}, NewEvent(EventKind.APPROVED, text=text)
            return await self._step(caller, document, Step.APPROVE, "case.review", change=change, event=event)
        # How it ended is open again; the former text stays in the history.
        stored, event = self._with_resolution(document, None), NewEvent(EventKind.RETURNED, text=text)
        return await self._step(
            caller, document, Step.RETURN, "case.review", stored=stored, change={"closed_at": None}, event=event
        )

    # Parts of the above

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
        self,
        template: Template,
        values: Mapping[str, Any],
        former: Mapping[str, Any],
        problems: Problems,
        *,
        nodes: Sequence[str],
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
        for name in ("title", "description", "product"):
            if former and name in values and is_mask(Kind.TEXT, stored[name] or "", former[name]):
                problems.add(Code.MASKED_VALUE, name)
        if "category" in values or not former:
            stored["category"] = values.get("category")
            if not any(choice.key == stored["category"] for choice in template.categories):
                problems.add(Code.VALIDATION if stored["category"] else Code.REQUIRED, "category",
                             reason=", ".join(choice.key for choice in template.categories))  # fmt: skip
        if "disputed_amount" in values:
            text = values["disputed_amount"]
            stored["disputed_amount"] = amount(text) if text is not None else None
            if text is not None and is_mask(Kind.AMOUNT, text):
                problems.add(Code.MASKED_VALUE, "disputedAmount")
            elif text is not None and stored["disputed_amount"] is None:
                problems.add(Code.WRONG_TYPE, "disputedAmount", expected="AMOUNT")
        attributes = check_attributes(
            template, values.get("attributes") or (), former.get("attributes") or {}, problems
        )
        for key in dict.fromkeys(key for node in nodes for key in missing_at(template, attributes, node)):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        stored["attributes"] = attributes
        return stored

    def _with_resolution(self, document: Mapping[str, Any], text: str | None) -> dict[str, Any]:
        """The descriptive fields as they are, with another resolution."""
        former = self._sealed(document).values()
        return {**{name: former[name] for name in _DESCRIBED}, "resolution": text}

    async def _agent(self, user: str, problems: Problems) -> User | None:
        if not is_id(user, "usr"):
            problems.add(Code.INVALID_ID, "assignee")
            return None
        found = await self._people.user(user)
        if found is None or found.state != "ACTIVE" or Role.AGENT not in found.roles or not found.department:
            problems.add(Code.NOT_FOUND, "assignee")
            return None
        return found

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
        self.check_fields(document, template, step, stored["attributes"] if stored is not None else None)
        claims, former = [], []
        if stored is not None:
            claims = self._uniqueness.of_attributes(template, stored["attributes"], "case")
            former = self._uniqueness.of_attributes(template, self._sealed(document).values()["attributes"], "case")

        async def work(unit: UnitOfWork, unique: list[Binary]) -> dict[str, Any] | None:
            changes = dict(change or {})
            if stored is not None:
                if unique:
                    changes["unique"] = unique
                openly, sections = separate(CASE_SHAPE, stored)
                key = self._keys.current(document["customer"])
                changes |= {**openly, "sealed": seal_sections(CASE_FORM, key, case, sections)}
            unset = ("unique",) if stored is not None and not unique and "unique" in document else ()
            after = await self.advance(
                unit,
                caller,
                case,
                step,
                document,
                template,
                changes,
                event,
                right=right,
                appended=appended,
                unset=unset,
            )
            if after is not None and step is Step.ASSIGN:
                await self._recount_reach(unit, document["customer"])
            return after

        held = document.get("unique", ())
        after = await self._uniqueness.claimed(
            caller, case, document["department"], claims, work, former=former, held=held
        )
        if after is None:
            current = await self.repository.get(caller.reach, case)
            if current is None:
                return None
            raise Invalid.because(Code.CONFLICT, "version", current=current["version"])
        return (await self.views(caller, [after]))[0]


_RECORDED = {
    EventKind.MEASURE: Step.MEASURE,
    EventKind.COMMUNICATION: Step.COMMUNICATE,
    EventKind.CUSTOMER_FEEDBACK: Step.FEEDBACK,
    EventKind.INTERNAL_NOTE: Step.NOTE,
}
_DESCRIBED = ("title", "description", "resolution", "disputed_amount", "category", "product", "attributes")
