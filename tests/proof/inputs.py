"""Values for every input of the SDL: what fits, and what somebody might try who wants to learn a hidden value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from random import Random
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLString,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)

from service.access.declared import Kind, Level, Sensitivity, camel
from service.access.identifiers import find
from service.access.masks import MASKS
from service.customers.model import QUESTIONS
from service.customers.rules import normal_lookup
from tests.proof.story import CATEGORIES, Hidden
from tests.proof.values import EQUAL_KINDS, NoBuilder
from tests.proof.viewers import Person
from tests.proof.walk import PREFIXES, Walk
from tests.proof.worlds import ASKED_AT, PASSWORD, TOLD_AT, World

UNKNOWN = "01jdm2000000000000000000aa"
IDS_BY_NAME = {
    "customer": "cus", "case": "cas", "owner": "usr", "assignee": "usr", "actor": "usr", "department": "dep", "user": "usr",
}  # fmt: skip
"""What an ID of this name (or its plural) is the id of; of another name, one of each type is tried."""
_BLIND = {camel(name): name for name in QUESTIONS.blind}


@dataclass(frozen=True)
class Probe:
    """A text that somebody might try, and the hidden value that it comes from."""

    text: str
    of: Hidden
    whole: bool


@dataclass
class Inputs:
    """What one viewer may put into questions to a pair of worlds. `first` is the one without a viewer."""

    walk: Walk
    viewer: Person
    first: World
    second: World
    ids: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        """Ids by type, as they are stored in the first world (they are the same in the second)."""
        self.ids = {}
        for kind in self.walk.nodes:
            prefix = self.walk.prefix(kind)
            found = [
                document["_id"]
                for documents in self.first.snapshot.values()
                for document in documents
                if str(document["_id"]).startswith(f"{prefix}_")
            ]
            self.ids[kind] = sorted(found)
        made = self.first.made
        self.ids["Customer"], self.ids["Case"] = list(made.customers.values()), list(made.cases.values())
        self.ids["Evidence"] = list(made.evidence.values())

    def _dice(self, *seed: object) -> Random:
        return Random(repr((self.viewer.key, *seed)))

    # Probes

    @cached_property
    def hidden(self) -> list[Hidden]:
        """One for each place, class and level, in reach and out of it: the one that was told last, so is stored now."""
        found: dict[Any, Hidden] = {}
        for one in self.second.teller.hidden:
            found[one.path, one.sensitivity, one.level, self.second.teller.reaches(one.record)] = one
        return list(found.values())

    @cached_property
    def probes(self) -> list[Probe]:
        """Whole values of both worlds, their parts, their masks, the identifiers and words inside texts."""
        found: dict[str, Probe] = {}

        def add(text: str, of: Hidden, *, whole: bool = False) -> None:
            if text and len(text) <= 190:
                found.setdefault(text, Probe(text, of, whole))

        for one in self.hidden:
            if one.kind is Kind.FILE or not isinstance(one.first, str):
                continue
            for value in (one.first, one.second):
                if one.kind is Kind.TEXT:
                    for identifier in find(value):
                        add(value[identifier.start : identifier.end], one, whole=True)
                        add(value[identifier.start : identifier.start + 7], one)
                    add(value[:4], one)
                    add(value.partition(" ")[0], one)
                add(value, one, whole=True)
                add(value[: max(1, len(value) * 2 // 3)], one)
                add(value[-4:], one)
                add(value[1:-1], one)
                add(MASKS[one.kind](value), one)
        return list(found.values())

    @cached_property
    def _levels(self) -> dict[Any, Level]:
        policy = self.first.base.policy
        return {sensitivity: policy.lowest(self.viewer.roles, sensitivity) for sensitivity in Sensitivity}

    @cached_property
    def number(self) -> str:
        """Some case's number."""
        return str((self.first.stored("cases", self.ids["Case"][0]) or {}).get("number"))

    @cached_property
    def _known(self) -> dict[str, set[str]]:
        """Normal forms of what a blind field holds in one world only, in records that this viewer reaches."""
        teller = self.second.teller
        values = {
            str(value)
            for one in teller.hidden
            if one.kind in EQUAL_KINDS and teller.reaches(one.record)
            for value in (one.first, one.second)
        }
        return {name: {normal_lookup(name, value) or "" for value in values} for name in QUESTIONS.blind}

    def is_equality(self, places: tuple[str, ...], probe: Probe) -> bool:
        """Whether design allows the answer to tell: the whole value, asked for by equality, by somebody who may.

        Such a question has two right answers in two worlds; every part, mask and neighbour of the value has one.
        """
        inputs = [place.partition(".")[2] for place in places if "(" not in place]
        for name in inputs:
            if name in _BLIND:
                may = all(self._levels[one] >= Level.BLIND for one in QUESTIONS.classes(_BLIND[name]))
                return may and normal_lookup(_BLIND[name], probe.text) in self._known[_BLIND[name]]
        in_search = any(place.endswith("(query)") for place in places)
        if not probe.whole and not (in_search and any(find(probe.text))):
            return False
        # By its tokens, a whole identifier inside a text may be found by those who see the text around it.
        level = self._levels[probe.of.sensitivity]
        is_masked = level in (Level.BLIND, Level.PARTIAL)
        if in_search:
            return is_masked and (probe.of.kind is Kind.TEXT or probe.of.kind in EQUAL_KINDS)
        # Uniqueness is a blind lookup, wherever the other record is; an edit to what is stored already changes nothing.
        is_change = any(place.startswith("Mutation.") for place in places)
        is_unique = probe.of.kind in EQUAL_KINDS or probe.of.path.startswith("attributes.")
        return is_change and (is_masked or (is_unique and level >= Level.BLIND))

    # Values of inputs

    def values(self, kind: Any, places: tuple[str, ...], most: int) -> Iterator[tuple[Any, frozenset[str]]]:
        """JSON values for a place, with what they cover. Raises NoBuilder."""
        if is_non_null_type(kind):
            kind = kind.of_type
        if is_list_type(kind):
            yield [], frozenset(places)
            for value, names in self.values(kind.of_type, places, most):
                yield [value], names
        elif isinstance(kind, GraphQLInputObjectType):
            yield from self._objects(kind, places, most)
        elif isinstance(kind, GraphQLEnumType):
            for value in kind.values:
                yield value, frozenset({*places, f"{kind.name}.{value}"})
        else:
            for value in self._scalars(kind, places, most):
                yield value, frozenset(places)

    def _objects(
        self, kind: GraphQLInputObjectType, places: tuple[str, ...], most: int
    ) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
        """With one field at a time, beside those that it needs."""
        base, covered = self.base(kind, places)
        yield base, covered
        yield from self._pairs(kind, places)
        for name, definition in kind.fields.items():
            below = (*places, f"{kind.name}.{name}")
            for value, names in self.values(definition.type, below, most):
                yield {**base, name: value}, covered | names

    def _pairs(
        self, kind: GraphQLInputObjectType, places: tuple[str, ...]
    ) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
        """Where a value says beside it what it is, by a key or a kind: each hidden value as what it is."""
        says = next((name for name in ("key", "kind") if {name, "value"} <= set(kind.fields)), None)
        if says is None:
            return
        kinds: Any = get_named_type(kind.fields[says].type)
        names = frozenset({*places, f"{kind.name}.{says}", f"{kind.name}.value"})
        for one in self.hidden:
            what = one.path.rpartition(".")[2]
            if what in kinds.values if isinstance(kinds, GraphQLEnumType) else one.path.startswith("attributes."):
                for value in (one.first, one.second):
                    if not self.is_equality((*places, f"{kind.name}.value"), Probe(str(value), one, whole=True)):
                        yield {says: what, "value": value}, names

    def base(self, kind: GraphQLInputObjectType, places: tuple[str, ...]) -> tuple[dict[str, Any], frozenset[str]]:
        """What an input object can't do without."""
        base, covered = {}, set(places)
        for name, definition in kind.fields.items():
            if is_required_input_field(definition) and (not kind.is_one_of):
                base[name] = self.plausible(definition.type, f"{kind.name}.{name}")
                covered.add(f"{kind.name}.{name}")
        return base, frozenset(covered)

    def _scalars(self, kind: Any, places: tuple[str, ...], most: int) -> list[Any]:
        name = re.split(r"[.(]", places[-1])[-1].rstrip(")")
        if kind is GraphQLBoolean:
            return [True, False]
        if kind is GraphQLInt:
            return [1, 3, 200, 0, 201]
        if kind is GraphQLFloat:
            return [0.0, 0.5]
        if kind is GraphQLID:
            return self._ids(name, places[-1])
        if kind is GraphQLString:
            return self._strings(name, places, most)
        if isinstance(kind, GraphQLScalarType) and kind.name == "DateTime":
            return [TOLD_AT.isoformat(), ASKED_AT.isoformat()]
        raise NoBuilder(f"a value of type {kind}")

    def _ids(self, name: str, place: str) -> list[str]:
        prefix = IDS_BY_NAME.get(name) or IDS_BY_NAME.get(name.removesuffix("s"))
        if prefix is None:
            return [ids[0] for ids in self.ids.values() if ids] + [f"cus_{UNKNOWN}", ""]
        kind = next(kind for kind, known in PREFIXES.items() if known == prefix)
        return [*self._dice(place).sample(self.ids[kind], min(4, len(self.ids[kind]))), f"{prefix}_{UNKNOWN}"]

    def _strings(self, name: str, places: tuple[str, ...], most: int) -> list[str]:
        """Probes that may be asked here, those of the place's own kind first; and what fits the place."""
        if name == "after":
            return ["x", "AAAA"]
        probes, dice = list(self.probes), self._dice(places)
        near = {
            "phone": Kind.PHONE,
            "email": Kind.EMAIL,
            "idNumber": Kind.ID_NUMBER,
            "registrationNumber": Kind.ID_NUMBER,
        }
        wanted = next((near[part] for place in places for part in near if place.endswith(f".{part}")), None)
        dice.shuffle(probes)
        probes.sort(key=lambda probe: probe.of.kind is not wanted)
        own = (PLAUSIBLE.get(places[-1]) or PLAUSIBLE.get(name) or (lambda _: None))(self)
        fitting = [own] if isinstance(own, str) else []
        asked = islice((probe.text for probe in probes if not self.is_equality(places, probe)), most)
        return list(dict.fromkeys([*fitting, *asked])) or ["文字"]

    def plausible(self, kind: Any, place: str) -> Any:
        """One value that could be right."""
        name = place.rpartition(".")[2]
        if is_non_null_type(kind):
            kind = kind.of_type
        made = PLAUSIBLE.get(place) or PLAUSIBLE.get(name)
        if made is not None and not isinstance(kind, GraphQLEnumType):
            return made(self)
        if is_list_type(kind):
            inner: Any = get_named_type(kind)
            return [self.plausible(kind.of_type, place)] if is_leaf_type(inner) else [self.base(inner, ())[0]]
        if isinstance(kind, GraphQLInputObjectType):
            return self.base(kind, ())[0]
        if isinstance(kind, GraphQLEnumType):
            return next(iter(kind.values))
        value, *_ = self._scalars(kind, (place,), 1) or ["文字"]
        return value


def _phone(asked: Inputs) -> str:
    return f"137{asked._dice('phone').randrange(10**8):08d}"


PLAUSIBLE: dict[str, Any] = {
    "version": lambda _: 1,
    "owner": lambda asked: asked.first.base.actors["account_manager"].id,
    "assignee": lambda asked: asked.first.base.actors["agent"].id,
    "department": lambda asked: asked.first.base.departments["north"],
    "customer": lambda asked: asked.ids["Customer"][0],
    "case": lambda asked: asked.ids["Case"][0],
    "channels": lambda asked: [{"kind": "PHONE", "value": _phone(asked)}],
    "value": lambda _: "Abcdefgh",
    "email": lambda asked: f"{asked.viewer.key}@example.com",
    "password": lambda _: PASSWORD,
    "currentPassword": lambda _: PASSWORD,
    "newPassword": lambda _: f"{PASSWORD} anew",
    "refreshToken": lambda asked: asked.first.base.refresh[asked.viewer.key],
    "category": lambda _: CATEGORIES[0][0],
    "categories": lambda _: [{"key": key, "label": {"zh": zh, "en": en}} for key, zh, en in CATEGORIES],
    "mediaType": lambda _: "application/pdf",
    "fileName": lambda _: "新文件.pdf",
    "size": lambda _: 100,
    "sha256": lambda _: "0" * 64,
    "dateOfBirth": lambda _: "1991-02-03",
    "disputedAmount": lambda _: "120.00",
    "satisfaction": lambda _: 4,
    "template": lambda _: "standard",
    "key": lambda _: "standard",
    "fields": lambda _: [],
    "schedule": lambda _: [],
    "locale": lambda _: "en",
    "tag": lambda _: "vip",
    "tags": lambda _: ["new"],
    "name": lambda _: "新客户",
    "idempotencyKey": lambda asked: f"key of {asked.viewer.key}",
    "pattern": lambda _: "[a-z]+",
    "hours": lambda _: 4,
    "node": lambda _: "HANDLE",
    "requiredAt": lambda _: "CREATE",
    "referenceTo": lambda _: "usr",
    "zh": lambda _: "新",
    "en": lambda _: "new",
    "happenedAt": lambda _: TOLD_AT.isoformat(),
    "number": lambda asked: asked.number,
    "months": lambda _: "2026-10",
    "CreateUserInput.email": lambda _: "somebody.new@example.com",
    "CaseSearchFilter.categories": lambda _: CATEGORIES[0][0],
    "numbers": lambda asked: asked.number,
}
"""By name of the field, or of its input and the field; whatever is not here gets a value by its type."""
