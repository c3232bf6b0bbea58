"""What happened in a world: told once through the services, by the people themselves, with clock and ids pinned.

Every sealed field of every model is told, once with a former value; what is told comes from `Teller`, which knows who
will ask: in the first world always the first value, in the second what that viewer can't tell from it.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from random import Random
from typing import Any

from reportlab.pdfgen.canvas import Canvas

from infra.demo.templates import choices
from service.access.actor import Actor, Caller
from service.access.declared import Kind, Level, Sensitivity, shape_of
from service.access.policy import Policy
from service.cases.model import CaseState, Direction, EventKind
from service.clock import SetClock
from service.customers.model import Customer, IdentityKind
from service.evidence.model import READ
from service.evidence.texts import EvidenceTexts
from service.system import System
from service.templates.model import FieldType, TemplateField
from tests.proof.values import NoBuilder, Told, one_of, registration_number, told
from tests.proof.viewers import CASES, CUSTOMERS, CasePlan, Person, Standing

CATEGORIES = (("quality", "产品质量", "Quality"), ("delivery", "交货", "Delivery"))
OPTIONS = ("production", "planning")
UNIQUE_CLASSES = tuple(sensitivity for sensitivity in Sensitivity if sensitivity is not Sensitivity.OPEN)
REQUIRED = frozenset({"name", "channels"})
NOTHING_ABOUT = "c2"
"""In the second world this customer lacks whatever the viewer may not know that it has."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that differs between two worlds, or would have to if it were asked for."""

    record: str
    path: str
    sensitivity: Sensitivity
    kind: Kind
    level: Level
    first: Any
    second: Any


@dataclass
class Teller:
    """Chooses the values of one world. Without a viewer it is the first world.

    `only`: (path, class) of the one field that may differ, to find out which field a difference comes from.
    """

    policy: Policy
    people: dict[str, Person]
    viewer: Person | None = None
    only: tuple[str, Sensitivity] | None = None
    hidden: list[Hidden] = field(default_factory=list)

    def level(self, record: str, sensitivity: Sensitivity) -> Level:
        """What the viewer may see of a class in a record; of what is out of reach, nothing."""
        if self.viewer is None:
            return Level.FULL
        relations = Standing(self.people, self.viewer).relations(record)
        if not self.reaches(record):
            return Level.HIDDEN
        return self.policy.row(self.viewer.roles, relations)[sensitivity]

    def reaches(self, record: str) -> bool:
        """Whether the record is among the viewer's rows."""
        if self.viewer is None:
            return True
        relations = Standing(self.people, self.viewer).relations(record)
        return any(relation in relations for _, relation in self.policy.grants_of(self.viewer.roles))

    def pick(self, record: str, path: str, sensitivity: Sensitivity, kind: Kind, values: Told) -> Any:
        """The value that this world holds in this place."""
        level = self.level(record, sensitivity)
        if level is Level.FULL or (self.only is not None and self.only != (path, sensitivity)):
            return values.first
        second = values.alike if level is Level.PARTIAL else values.other
        if second != values.first:
            self.hidden.append(Hidden(record, path, sensitivity, kind, level, values.first, second))
        return second

    def knows_nothing(self, record: str, sensitivities: set[Sensitivity]) -> bool:
        """Whether a field of these classes may as well be absent."""
        return (
            record == NOTHING_ABOUT
            and self.only is None
            and all(self.level(record, sensitivity) <= Level.BLIND for sensitivity in sensitivities)
        )


def template_fields() -> list[dict[str, Any]]:
    """One field for every class and type; a text of each sealed class is unique."""
    found = []
    for sensitivity in Sensitivity:
        for kind in FieldType:
            key = f"{sensitivity.value}_{kind.value}".lower()
            found.append(
                {
                    "key": key,
                    "type": kind.value,
                    "label": {"zh": key, "en": key},
                    "sensitivity": sensitivity.value,
                    "required_at": None,
                    "pattern": None,
                    "unique": kind is FieldType.TEXT and sensitivity in UNIQUE_CLASSES,
                    "choices": choices((option, option, option) for option in OPTIONS)
                    if kind is FieldType.CHOICE
                    else None,
                    "reference_to": "usr" if kind is FieldType.REFERENCE else None,
                }
            )
    return found


def templates() -> list[dict[str, Any]]:
    """What the administrator publishes."""
    label = {"zh": "证明", "en": "Proof"}
    common = {"key": "standard", "label": label, "fields": template_fields()}
    return [
        {**common, "of": "CUSTOMER", "categories": [], "schedule": []},
        {**common, "of": "CASE", "categories": choices(CATEGORIES), "schedule": []},
    ]


def attribute_value(made: TemplateField, users: tuple[str, str], seed: object) -> Told:
    """Values of a template field. Raises NoBuilder for a type that has none."""
    kind = made.mask_kind
    match made.type:
        case FieldType.TEXT:
            return told(kind, seed)
        case FieldType.AMOUNT:
            return told(Kind.AMOUNT, seed)
        case FieldType.NUMBER:
            return one_of(kind, ("17", "120450"), seed)
        case FieldType.DATE:
            return told(Kind.DATE_OF_BIRTH, seed)
        case FieldType.CHOICE:
            return one_of(kind, OPTIONS, seed)
        case FieldType.BOOLEAN:
            return one_of(kind, ("true", "false"), seed)
        case FieldType.REFERENCE:
            return one_of(kind, users, seed)
    raise NoBuilder(f"a template field of type {made.type.value}")


def a_pdf(text: str) -> bytes:
    """A page with this text on it, of the same size for texts of one length."""
    target = io.BytesIO()
    canvas = Canvas(target, invariant=1, pageCompression=0)
    canvas.drawString(72, 720, text)
    canvas.save()
    return target.getvalue()


def _file(seed: object) -> Told:
    phone, number = told(Kind.PHONE, (seed, "phone")), told(Kind.ID_NUMBER, (seed, "number"))
    lines = [
        f"Pump {word} call {p} id {n} end"
        for word, p, n in (
            ("quartz", phone.first, number.first),
            ("quartz", phone.alike, number.alike),
            ("velvet", phone.other, number.other),
        )
    ]
    return Told(*(a_pdf(line) for line in lines))


@dataclass
class Made:
    """Ids of what the story made, by key, and the bytes of its files."""

    customers: dict[str, str] = field(default_factory=dict)
    cases: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)


class Story:
    """Tells it to one system. Raises what the services raise."""

    def __init__(
        self,
        system: System,
        teller: Teller,
        actors: dict[str, Actor],
        clock: SetClock,
        texts: EvidenceTexts,
    ) -> None:
        self._system = system
        self._teller = teller
        self._actors = actors
        self._clock = clock
        self._texts = texts
        self._policy = teller.policy
        self.made = Made()

    def _by(self, key: str) -> Caller:
        self._clock.advance(timedelta(seconds=7))
        return Caller(self._actors[key], self._policy, request_id="req_story", source="story", locale="en")

    async def tell(self) -> Made:
        """Everything, in a fixed order."""
        for plan in CUSTOMERS:
            values = await self._customer_values(plan.key, "then")
            view = await self._system.customers.create(self._by(plan.owner), values)
            self.made.customers[plan.key] = view.id
        for case in CASES:
            await self._live(case)
        for plan in CUSTOMERS[:3]:
            values = await self._customer_values(plan.key, "now")
            owner = self._by(plan.owner)
            current = await self._system.customers.get(owner, self.made.customers[plan.key])
            assert current is not None
            await self._system.customers.update(owner, current.id, current.document["version"], values)
        await self._file(customer="c1", key="own", by="account_manager")
        await self._file(customer="c3", key="south_own", by="south_account_manager")
        while await self._system.jobs.run_once({READ: self._texts.read}):
            self._clock.advance(timedelta(seconds=1))
        return self.made

    # Values

    def _value(self, record: str, path: str, sensitivity: Sensitivity, kind: Kind, when: str) -> Any:
        return self._teller.pick(record, path, sensitivity, kind, told(kind, (record, path, when)))

    def _text(self, record: str, path: str, sensitivity: Sensitivity, when: str = "") -> str:
        return str(self._value(record, path, sensitivity, Kind.TEXT, when))

    async def _customer_values(self, record: str, when: str) -> dict[str, Any]:
        values: dict[str, Any] = {"kind": "PERSON", "relation": "CUSTOMER"}
        shape = shape_of(Customer)
        for one in shape.fields:
            if one.item is not None and (one.sensitivity is not Sensitivity.OPEN or one.name in shape.composites):
                classes = {inner.sensitivity for inner in shape_of(one.item).fields} - {Sensitivity.OPEN}
                if one.name not in REQUIRED and self._teller.knows_nothing(record, classes):
                    continue
                values[one.name] = self._items(record, one.name, one.item, when)
            elif one.sensitivity is not Sensitivity.OPEN and (
                one.name in REQUIRED or not self._teller.knows_nothing(record, {one.sensitivity})
            ):
                values[one.name] = self._value(record, one.name, one.sensitivity, one.kind, when)
        values["attributes"] = await self._attributes(record, "CUSTOMER", when)
        out_of_reach = not self._teller.reaches(record) and self._teller.only is None
        values["tags"] = ["elsewhere", "vip"] if out_of_reach else ["vip", record]
        return values

    def _items(self, record: str, name: str, model: type, when: str) -> list[dict[str, Any]]:
        """One item for each of the kinds that an item may be of, else one."""
        shape = shape_of(model)
        kinds = next((f.python_type for f in shape.fields if _is_enum(f.python_type)), None)
        return [self._item(record, name, model, option, when) for option in (list(kinds) if kinds else [None])]

    def _item(self, record: str, name: str, model: type, option: Enum | None, when: str) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for inner in shape_of(model).fields:
            path = f"{name}.{inner.name}" + (f".{option.value}" if option else "")
            if option is not None and inner.python_type is type(option):
                item[inner.name] = option.value
            elif inner.python_type is not str:
                continue  # whether it was verified, when, by whom: the service's to say
            elif option is IdentityKind.USCC and inner.kind is Kind.ID_NUMBER:
                made = registration_number(_dice(record, path, when))
                item[inner.name] = self._teller.pick(record, path, inner.sensitivity, inner.kind, made)
            else:
                kind = Kind[str(option.value)] if option is not None and inner.kind is Kind.CHANNEL else inner.kind
                item[inner.name] = self._value(record, path, inner.sensitivity, kind, when)
        return item

    async def _attributes(self, record: str, of: str, when: str = "") -> list[dict[str, Any]]:
        found = []
        users = (self._actors["agent"].id, self._actors["south_agent"].id)
        for template in (await self._system.templates.every()).values():
            if template.of.value != of:
                continue
            for made in template.fields:
                values = attribute_value(made, users, (record, made.key, when))
                if self._teller.knows_nothing(record, {made.sensitivity}):
                    continue
                path = f"attributes.{made.key}"
                value = self._teller.pick(record, path, made.sensitivity, made.mask_kind, values)
                found.append({"key": made.key, "value": value})
        return found

    # Cases

    async def _live(self, plan: CasePlan) -> None:
        """From its raising to where it stands."""
        cases, teller, key = self._system.cases, self._teller, plan.key
        owner = next(one.owner for one in CUSTOMERS if one.key == plan.customer)
        supervisor = "south_supervisor" if owner.startswith("south_") else "supervisor"
        narrative, negotiation = Sensitivity.NARRATIVE, Sensitivity.NEGOTIATION
        far = not teller.reaches(key) and teller.only is None
        values = {
            "customer": self.made.customers[plan.customer],
            "category": CATEGORIES[1][0] if far else CATEGORIES[0][0],
            "title": self._text(key, "title", narrative),
            "description": self._text(key, "description", narrative),
            "product": self._text(key, "product", narrative),
            "disputed_amount": self._value(key, "disputed_amount", Sensitivity.FINANCIAL, Kind.AMOUNT, ""),
            "attributes": await self._attributes(key, "CASE"),
        }
        view = await cases.raise_case(self._by(owner), values)
        case = self.made.cases[key] = view.id
        version = view.document["version"]

        async def stepped(step: Callable[..., Any], *args: Any, **more: Any) -> None:
            nonlocal version
            after = await step(*args, **more)
            assert after is not None, (key, step)
            version = after.document["version"]

        if plan.assignee is None:
            return
        by, reached = plan.assignee, [state.value for state in CaseState].index(plan.state)
        reason = self._text(key, "events.assigned", negotiation)
        await stepped(cases.assign, self._by(supervisor), case, version, self._actors[by].id, reason)
        if reached >= 2:
            text = self._text(key, "events.measure", narrative)
            await stepped(cases.record, self._by(by), case, EventKind.MEASURE, version=version, text=text)
            for direction in Direction:
                text = self._text(key, f"events.{direction.value}", narrative)
                await stepped(
                    cases.record, self._by(by), case, EventKind.COMMUNICATION,
                    version=version, text=text, direction=direction,
                )  # fmt: skip
            note = self._text(key, "events.note", negotiation)
            await stepped(cases.record, self._by(by), case, EventKind.INTERNAL_NOTE, version=version, text=note)
            changed = {"title": self._text(key, "title", narrative, "now")}
            await stepped(cases.update, self._by(owner), case, version, changed)
        if reached >= 2 and plan.state == "HANDLING":
            await self._file(case=key, key=f"{key}_stored", by=by)
            await self._file(case=key, key=f"{key}_pending", by=by, sent=False)
            await self._file(
                case=key, key=f"{key}_withdrawn", by=by, withdrawn="supervisor" if key == "across" else supervisor
            )
        if reached >= 3:
            text = self._text(key, "events.feedback", narrative)
            await stepped(
                cases.record, self._by(owner), case, EventKind.CUSTOMER_FEEDBACK,
                version=version, text=text, satisfaction=2 if far else 4,
            )  # fmt: skip
        if reached >= 4:
            text = self._text(key, "resolution", narrative)
            await stepped(cases.close, self._by(owner), case, version, text)
        if reached >= 5:
            opinion = self._text(key, "events.review", negotiation)
            await stepped(cases.review, self._by(supervisor), case, version, True, opinion)
        if reached >= 7:
            await stepped(self._system.archive.archive, self._by(supervisor), case, version)

    async def _file(
        self, *, key: str, by: str, case: str | None = None, customer: str | None = None,
        sent: bool = True, withdrawn: str | None = None,
    ) -> None:  # fmt: skip
        """A file of a case or of a customer: named, sent and read, awaited, or withdrawn."""
        parent = case or customer or ""
        narrative, room = Sensitivity.NARRATIVE, self._system.evidence
        body = self._teller.pick(parent, "file", narrative, Kind.FILE, _file((parent, key)))
        name = self._text(parent, "file_name", narrative, key)
        announced = {
            "case": self.made.cases[case] if case else None,
            "customer": self.made.customers[customer] if customer else None,
            "file_name": f"{name}.pdf",
            "kind": "CONTRACT",
            "media_type": "application/pdf",
            "size": len(body),
            "paper": {"room": "A-1", "cabinet": "2", "box": "3"},
        }
        view = await room.create(self._by(by), announced)
        self.made.evidence[key], self.made.bodies[key] = view.id, body
        if sent:
            found = await room.put(self._by(by), view.id, len(body), _chunks(body))
            assert found is not None
            view = found
        if withdrawn:
            reason = self._text(parent, "withdrawal_reason", narrative, key)
            gone = await room.withdraw(self._by(withdrawn), view.id, view.document["version"], reason)
            assert gone is not None


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _dice(*seed: object) -> Random:
    return Random(repr(seed))
