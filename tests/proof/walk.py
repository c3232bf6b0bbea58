"""The SDL, read: what can be asked, and how to get there. Nothing here knows a type, a field or an argument by name,
but for the prefix of each type's ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from tests.proof.values import NoBuilder

SDL_FILE = Path(__file__).parents[2] / "schema" / "schema.graphql"
PREFIXES = {
    "Customer": "cus",
    "Case": "cas",
    "CaseEvent": "evt",
    "Evidence": "evd",
    "User": "usr",
    "Department": "dep",
    "Template": "tpl",
    "AuditEntry": "jrn",
}
"""By type of node; a type without its prefix can't be asked for by id, and fails the suite."""
HOPS_MOST = 3


@dataclass(frozen=True, slots=True)
class Route:
    """A way from a root field to a type: `text` has a hole for the selection. `root` is what it begins with."""

    root: str
    text: str
    target: str
    names: frozenset[str]
    types: tuple[str, ...]
    by_id: str | None

    def asking(self, selection: str) -> str:
        """The whole query."""
        variables = "query($id: ID!) " if self.by_id else ""
        return f"{variables}{{ {self.text % selection} }}"


class Walk:
    """Of a schema as its SDL says it."""

    def __init__(self, sdl: str | None = None) -> None:
        self.schema: GraphQLSchema = build_schema(sdl or SDL_FILE.read_text("utf-8"))
        self.query: Any = self.schema.query_type
        self.mutation: Any = self.schema.mutation_type
        self.subscription: Any = self.schema.subscription_type
        node = self.schema.type_map["Node"]
        assert isinstance(node, GraphQLInterfaceType)
        self.nodes = {kind.name: kind for kind in self.schema.get_possible_types(node)}

    def prefix(self, kind: str) -> str:
        """How the ids of a type begin. Raises NoBuilder."""
        if kind not in PREFIXES:
            raise NoBuilder(f"the prefix of ids of type {kind}")
        return PREFIXES[kind]

    # What is selected

    def selection(self, kind: Any, seen: tuple[str, ...] = ()) -> tuple[str, set[str]]:
        """Everything of an object type: its leaves and what is made of leaves; of records their ids."""
        parts, names = [], set()
        for name, definition in kind.fields.items():
            if any(is_required_argument(argument) for argument in definition.args.values()):
                raise NoBuilder(f"a selection of {kind.name}.{name}, which needs an argument")
            found = self.field(kind, name, definition, seen)
            if found is not None:
                parts.append(found[0])
                names |= found[1]
        return "{ " + " ".join(parts) + " }", names

    def field(
        self, kind: Any, name: str, definition: GraphQLField, seen: tuple[str, ...] = ()
    ) -> tuple[str, set[str]] | None:
        """One field of a type with all below it; None where that would go round in a circle."""
        inner: Any = get_named_type(definition.type)
        names = {f"{kind.name}.{name}"}
        if is_leaf_type(inner):
            return name, names
        if inner.name in self.nodes or isinstance(inner, GraphQLInterfaceType):
            return f"{name} {{ __typename id }}", names
        if inner.name in seen:
            return None
        text, below = self.selection(inner, (*seen, inner.name))
        return f"{name} {text}", names | below

    # How to get there

    @cached_property
    def routes(self) -> list[Route]:
        """Every way to every type of node, over at most HOPS_MOST records, none of a type twice. Raises NoBuilder."""
        found: list[Route] = []
        frontier = [
            Route(root, text, target, names, (target,), by_id) for root, text, target, names, by_id in self._roots()
        ]
        for _ in range(HOPS_MOST):
            found += frontier
            frontier = [
                Route(
                    route.root,
                    route.text % f"{{ {text} }}",
                    target,
                    route.names | names,
                    (*route.types, target),
                    route.by_id,
                )
                for route in frontier
                for text, target, names in self._hops(self.nodes[route.target], frozenset())
                if target not in route.types
            ]
        return found

    def _roots(self) -> Iterator[tuple[str, str, str, frozenset[str], str | None]]:
        for name, definition in self.query.fields.items():
            required = [key for key, argument in definition.args.items() if is_required_argument(argument)]
            if required and required != ["id"]:
                continue  # asked as a list is, by the values of its arguments
            given = "(id: $id)" if required else ""
            for text, target, names in self._through(self.query, name, definition, frozenset(), given):
                yield name, text, target, names, target if required else None

    def _hops(self, kind: Any, seen: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
        for name, definition in kind.fields.items():
            yield from self._through(kind, name, definition, seen, "")

    def _through(
        self, kind: Any, name: str, definition: GraphQLField, seen: frozenset[str], given: str
    ) -> Iterator[tuple[str, str, frozenset[str]]]:
        """From one field to the next records behind it."""
        inner: Any = get_named_type(definition.type)
        names = frozenset({f"{kind.name}.{name}"})
        if is_leaf_type(inner) or inner.name in seen:
            return
        if inner.name in self.nodes:
            yield f"{name}{given} %s", inner.name, names
        elif isinstance(inner, GraphQLInterfaceType):
            for possible in self.schema.get_possible_types(inner):
                yield f"{name}{given} {{ ... on {possible.name} %s }}", possible.name, names
        else:
            for text, target, below in self._hops(inner, seen | {inner.name}):
                yield f"{name}{given} {{ {text} }}", target, names | below

    # What there is to be covered

    def everything(self, *, of_changes: bool = True) -> set[str]:
        """Every root field, output field, argument, input field and input enum value: each must be in a question.
        `of_changes`: with the fields of the mutations' inputs.
        """
        found: set[str] = set()
        inputs: list[Any] = []
        for kind in self.schema.type_map.values():
            if kind.name.startswith("__") or not isinstance(kind, GraphQLObjectType):
                continue
            for name, definition in kind.fields.items():
                found.add(f"{kind.name}.{name}")
                for argument, given in definition.args.items():
                    found.add(f"{kind.name}.{name}({argument})")
                    if of_changes or kind is not self.mutation:
                        inputs.append(get_named_type(given.type))
        seen: set[str] = set()
        while inputs:
            kind = inputs.pop()
            if kind.name in seen:
                continue
            seen.add(kind.name)
            if isinstance(kind, GraphQLEnumType):
                found |= {f"{kind.name}.{value}" for value in kind.values}
            elif isinstance(kind, GraphQLInputObjectType):
                for name, definition in kind.fields.items():
                    found.add(f"{kind.name}.{name}")
                    inputs.append(get_named_type(definition.type))
        return found
