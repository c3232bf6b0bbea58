"""Every question of one viewer: each field by each way to it, each argument, input field, operator and enum value, each
list page by page, each mutation, each file, each subscription. Generated from the SDL; none is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLID,
    GraphQLInputObjectType,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

from tests.proof.inputs import UNKNOWN, Inputs
from tests.proof.values import NoBuilder
from tests.proof.walk import Route

CURRENT = "<current version>"
"""Stands for the version that the target has when the question is asked."""
FILLED = frozenset(
    {"CreateCustomerInput.owner", "CreateEvidenceInput.case", "CreateUserInput.department", "CreateUserInput.password"}
)
"""What an input can do without, but mostly does not; a password that is made for somebody would differ, too."""


@dataclass(frozen=True, slots=True)
class Question:
    """`pages`: the path to the connection whose pages are followed. `target`: the record whose version is sent."""

    surface: str
    text: str
    variables: Mapping[str, Any]
    names: frozenset[str]
    pages: tuple[str, ...] = ()
    target: str | None = None
    root: str = ""

    @property
    def label(self) -> str:
        return f"{self.surface}: {self.text} {self.variables}"


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """A request beside GraphQL."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None
    names: frozenset[str] = frozenset()
    surface: str = "file"
    root: str = "files"

    @property
    def label(self) -> str:
        return f"{self.method} {self.path} {dict(self.headers)}"


@dataclass(frozen=True, slots=True)
class SubscriptionQuestion:
    """What the first message is; silence is one too."""

    text: str
    variables: Mapping[str, Any]
    names: frozenset[str]
    surface: str = "subscription"
    root: str = ""

    @property
    def label(self) -> str:
        return f"{self.surface}: {self.text} {self.variables}"


AnyQuestion = Question | FileQuestion | SubscriptionQuestion
FILE_ROUTES = frozenset({("GET", "/files/{id}"), ("HEAD", "/files/{id}"), ("PUT", "/files/{id}")})


TOGETHER_MOST = 60
"""Combinations of the arguments that a root field can't do without."""


class Asked(Inputs):
    """Everything that one viewer asks of a pair of worlds."""

    # Questions

    def every(self) -> Iterator[AnyQuestion]:
        """All of them: what only reads first, then what may change something."""
        yield from self.fields()
        yield from self.ways()
        yield from self.lists()
        yield from self.nested_lists()
        yield from self.files()
        yield from self.subscriptions()
        yield from self.mutations()

    def fields(self) -> Iterator[Question]:
        """Each field of each record by the shortest way."""
        direct: dict[str, Route] = {}
        for route in self.walk.routes:
            if route.by_id and len(route.types) == 1:
                known = direct.get(route.target)
                if known is None or known.root == "node":
                    direct[route.target] = route
        for kind, route in direct.items():
            ids = self.ids[kind]
            ids = ids if len(ids) <= 16 else self._dice(kind).sample(ids, 16)
            for number, identifier in enumerate([*ids, f"{self.walk.prefix(kind)}_{UNKNOWN}"]):
                if number:
                    text, names = self.walk.selection(self.walk.nodes[kind])
                    yield self._read("field", route, text, names, identifier)
                    continue
                for name, definition in self.walk.nodes[kind].fields.items():
                    found = self.walk.field(self.walk.nodes[kind], name, definition)
                    assert found is not None
                    yield self._read("field", route, f"{{ {found[0]} }}", found[1], identifier)

    def ways(self) -> Iterator[Question]:
        """Every way to every type, with everything of it."""
        for route in self.walk.routes:
            text, names = self.walk.selection(self.walk.nodes[route.target])
            ids: list[str | None] = [None]
            if route.by_id:
                ids = list(
                    self._dice(route.text).sample(self.ids[route.types[0]], min(2, len(self.ids[route.types[0]])))
                )
            for identifier in ids:
                yield self._read("way", route, text, names, identifier)

    def _read(self, surface: str, route: Route, text: str, names: Iterable[str], identifier: str | None) -> Question:
        variables = {"id": identifier} if identifier else {}
        given = {f"Query.{route.root}(id)"} if route.by_id else set()
        return Question(
            surface, route.asking(text), variables, frozenset({*route.names, *names, *given}), root=route.root
        )

    def lists(self) -> Iterator[Question]:
        """Root fields with arguments (but those by id alone): each value of each, some together, and every page."""
        for name, definition in self.walk.query.fields.items():
            needed = [key for key, argument in definition.args.items() if is_required_argument(argument)]
            if needed == ["id"]:
                continue
            if not definition.args:
                found = self.walk.field(self.walk.query, name, definition)
                assert found is not None
                yield Question("list", f"{{ {found[0]} }}", {}, frozenset(found[1]), root=name)
                continue
            yield from self._list("Query", name, definition, lambda inner: f"{{ {inner} }}", {})

    def nested_lists(self) -> Iterator[Question]:
        """The same of lists that belong to a record."""
        direct = [route for route in self.walk.routes if len(route.types) == 1 and route.by_id and route.root != "node"]
        for route in direct:
            kind = self.walk.nodes[route.target]
            for name, definition in kind.fields.items():
                if not definition.args:
                    continue
                for identifier in self.ids[kind.name][:2]:
                    yield from self._list(
                        kind.name, name, definition,
                        lambda inner, route=route: f"{{ {route.text % ('{ ' + inner + ' }')} }}",
                        {"id": identifier}, root=route.root,
                    )  # fmt: skip

    def _list(
        self, owner: str, name: str, definition: Any, around: Any, fixed: dict[str, Any], root: str | None = None
    ) -> Iterator[Question]:
        selection, covered = self.walk.selection(get_named_type(definition.type))
        pages = (root, name) if root else (name,)
        declared = {argument: str(given.type).rstrip("!") for argument, given in definition.args.items()}

        def asked(given: dict[str, Any], names: Iterable[str], *, paged: bool = False) -> Question:
            heads = [
                f"${argument}: {declared[argument]}{'!' if str(definition.args[argument].type).endswith('!') else ''}"
                for argument in given
            ]
            heads += ["$id: ID!"] if "id" in fixed else []
            arguments = ", ".join(f"{argument}: ${argument}" for argument in given)
            inner = f"{name}({arguments}) {selection}" if arguments else f"{name} {selection}"
            head = f"query({', '.join(heads)}) " if heads else ""
            everything = frozenset({f"{owner}.{name}", *covered, *names, *(f"{owner}.{name}({a})" for a in given)})
            return Question(
                "pages" if paged else "list", head + around(inner), {**fixed, **given}, everything,
                pages if paged else (), root=root or name,
            )  # fmt: skip

        values: dict[str, list[tuple[Any, frozenset[str]]]] = {}
        for argument, given in definition.args.items():
            place = (f"{owner}.{name}({argument})",)
            values[argument] = list(self.values(given.type, place, 40))
        needed = [key for key, argument in definition.args.items() if is_required_argument(argument)]
        together = list(product(*(values[key] for key in needed)))
        for chosen in self._dice(owner, name, "needed").sample(together, min(TOGETHER_MOST, len(together))):
            given = {key: value for key, (value, _) in zip(needed, chosen, strict=True)}
            names = frozenset().union(*(more for _, more in chosen))
            yield asked(given, names)
        base = {key: values[key][0][0] for key in needed}
        for argument in values:
            for value, names in values[argument] if argument not in needed else ():
                yield asked({**base, argument: value}, names)
        paged = "after" in definition.args and "first" in definition.args
        others = [argument for argument in values if argument not in ("first", "after")]
        dice = self._dice(owner, name)
        for _ in range(12 if others else 0):
            chosen = {argument: dice.choice(values[argument]) for argument in others if dice.random() < 0.7}
            given = base | {argument: value for argument, (value, _) in chosen.items()}
            names = frozenset().union(*(names for _, names in chosen.values()))
            yield asked(given, names)
            if paged:
                yield asked({**given, "first": 2, "after": None}, names, paged=True)
        if paged:
            yield asked({**base, "first": 1, "after": None}, (), paged=True)

    # Changes

    def mutations(self) -> Iterator[Question]:
        """Each mutation on each record that it can be about; each input field with probes; enum values in pairs."""
        for name, definition in self.walk.mutation.fields.items():
            payload: Any = get_named_type(definition.type)
            text, covered = self.walk.selection(payload)
            for argument, given in definition.args.items():
                kind: Any = get_named_type(given.type)
                for value, names, target in self._inputs(name, kind, payload, f"Mutation.{name}({argument})"):
                    document = f"mutation($input: {given.type}) {{ {name}({argument}: $input) {text} }}"
                    everything = frozenset({f"Mutation.{name}", f"Mutation.{name}({argument})", *covered, *names})
                    yield Question("mutation", document, {"input": value}, everything, target=target, root=name)

    def _inputs(
        self, mutation: str, kind: GraphQLInputObjectType, payload: Any, place: str
    ) -> Iterator[tuple[Any, frozenset[str], str | None]]:
        about = next(
            (
                get_named_type(f.type).name
                for f in payload.fields.values()
                if get_named_type(f.type).name in self.walk.nodes
            ),
            None,
        )
        base, covered = self.base(kind, (place,))
        often = [name for name in kind.fields if f"{kind.name}.{name}" in FILLED]
        for name in often:
            base[name] = self.plausible(kind.fields[name].type, f"{kind.name}.{name}")
            covered |= {f"{kind.name}.{name}"}
        targets: list[str | None] = [None]
        if "id" in kind.fields and about is not None:
            targets = [*self.ids[about], f"{self.walk.prefix(about)}_{UNKNOWN}"]

        def filled(value: dict[str, Any], target: str | None) -> dict[str, Any]:
            given = dict(value)
            if target is not None:
                given["id"] = target
                if "version" in kind.fields:
                    given["version"] = CURRENT
            return given

        if "version" in kind.fields:
            covered |= {f"{kind.name}.version"}
        others = {name: given for name, given in kind.fields.items() if name not in ("id", "version")}
        chosen = [name for name, given in others.items() if isinstance(get_named_type(given.type), GraphQLEnumType)]
        for target in targets:
            yield filled(base, target), covered, target
            for name in chosen:
                if is_required_input_field(others[name]):
                    for value, names in self.values(others[name].type, (f"{kind.name}.{name}",), 1):
                        yield filled({**base, name: value}, target), covered | names, target
        for target in targets[:1] if len(targets) == 1 else (targets[0], targets[2 % len(targets)]):
            for name, given in others.items():
                for value, names in self.values(given.type, (place, f"{kind.name}.{name}"), 4):
                    yield filled({**base, name: value}, target), covered | names, target
                    if often and name not in often and get_named_type(given.type) is GraphQLID:
                        alone = {**base, **dict.fromkeys(often), name: value}
                        yield filled(alone, target), covered | names, target
            for name in chosen:
                for value, names in self.values(others[name].type, (f"{kind.name}.{name}",), 2):
                    for other, given in others.items():
                        if other != name and not is_required_input_field(given):
                            also = (
                                self.values(given.type, (f"{kind.name}.{other}",), 1)
                                if other in chosen
                                else [(self.plausible(given.type, f"{kind.name}.{other}"), {f"{kind.name}.{other}"})]
                            )
                            for pair, more in also:
                                yield filled({**base, name: value, other: pair}, target), covered | names | more, target
        if "version" in kind.fields and targets[0] is not None:
            yield {**filled(base, targets[0]), "version": 1}, covered, targets[0]

    # Files and subscriptions

    def files(self) -> Iterator[FileQuestion]:
        """Each file: read, its head, a part of it, and bytes of both worlds sent to it."""
        for key, identifier in [*self.first.made.evidence.items(), ("unknown", f"evd_{UNKNOWN}")]:
            path = f"/files/{identifier}"
            yield FileQuestion("GET", path, {}, names=frozenset({"GET /files/{id}"}))
            yield FileQuestion("HEAD", path, {}, names=frozenset({"HEAD /files/{id}"}))
            for part in ("bytes=0-9", "bytes=700-760", "bytes=999999-"):
                yield FileQuestion("GET", path, {"range": part}, names=frozenset({"GET /files/{id}"}))
            for body in (b"", self.first.made.bodies.get(key, b"%PDF-nothing")):
                yield FileQuestion(
                    "PUT", path, {"content-type": "application/pdf"}, body, frozenset({"PUT /files/{id}"})
                )

    def subscriptions(self) -> Iterator[SubscriptionQuestion]:
        """Each root field for each record that it can be about."""
        for name, definition in self.walk.subscription.fields.items():
            kind: Any = get_named_type(definition.type)
            text, covered = self.walk.selection(kind)
            arguments = list(definition.args)
            if len(arguments) != 1:
                raise NoBuilder(f"a subscription to {name} with {arguments}")
            (argument,) = arguments
            names = frozenset({f"Subscription.{name}", f"Subscription.{name}({argument})", *covered})
            document = f"subscription($id: ID!) {{ {name}({argument}: $id) {text} }}"
            for identifier in [*self.ids["Case"], f"cas_{UNKNOWN}"][:: 1 if name == "caseChanged" else 5]:
                yield SubscriptionQuestion(document, {"id": identifier}, names)

    def sampled(self, share: float, seed: int) -> list[AnyQuestion]:
        """Some of them, in their order."""
        dice = Random(repr((seed, self.viewer.key)))
        return [question for question in self.every() if dice.random() < share]
