"""Resolvers straight on the graphql-core schema: `input` reaches them as coerced dicts on every path.

Strawberry declares the types; its argument conversion and its resolver wrappers are off. Arguments and input
fields get their snake_case names at coercion, enums arrive as their values, and every leaf is read by one
function. `schema/execution.py` compiles from the same bindings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    get_named_type,
)
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_snake_case

from service.access.view import View

Resolver = Callable[..., Any]


def value_of(source: Any, name: str) -> Any:
    """One stored field of whatever a resolver returned: a record's View, a plain dict, or an object."""
    if isinstance(source, View):
        return source.shown(name)
    if isinstance(source, dict):
        return source.get(name)
    return getattr(source, name)


@dataclass(frozen=True, slots=True)
class Stored:
    """Resolver of a field that is simply read. `enum`: records store an enum's value; graphql-core wants the member."""

    name: str
    enum: type[Enum] | None = None

    def __call__(self, source: Any, _: Any) -> Any:
        value, enum = value_of(source, self.name), self.enum
        if enum is None or value is None or isinstance(value, enum):
            return value
        if isinstance(value, (list, tuple, frozenset, set)):
            return sorted((enum(item) for item in value), key=lambda member: str(member.name))
        return enum(value)


Guard = Callable[[Any, Any], bool]
"""`(context, source)` → whether this request may see more of the source than everybody may."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Resolver of a stored field that not everybody may see: null where the guard says no, the same as absent."""

    stored: Stored
    guard: Guard

    def __call__(self, source: Any, info: Any) -> Any:
        return self.stored(source, info) if self.guard(info.context, source) else None


@dataclass(frozen=True, slots=True)
class Relation:
    """Resolver of a field that leads to another record, by a loader: a whole list's records are read together, so that
    N+1 can't be written by accident. `key` is the other record's id, or None.
    """

    loader: str
    key: Callable[[Any], str | None]

    def __call__(self, source: Any, info: Any) -> Any:
        key = self.key(source)
        return None if key is None else info.context.loaders.one(self.loader, key)


@dataclass(frozen=True, slots=True)
class Batched:
    """Resolver of a field that is answered for all sources of a level at once: `function([source, …], info, …)`
    gives as many results, in the same order.
    """

    function: Callable[..., Awaitable[Sequence[Any]]]

    def __call__(self, source: Any, info: Any, **arguments: Any) -> Any:
        return info.context.loaders.together(self.function, source, info, arguments)


def batched(function: Callable[..., Awaitable[Sequence[Any]]]) -> Any:
    """Marks a resolver as such. Its first parameter, `root`, is the list of sources."""
    function.batched = Batched(function)  # type: ignore[attr-defined]
    return function


def relation(loader: str, key: Callable[[Any], str | None], description: str) -> Any:
    """Declares a field like this, with its loader and its key; the annotation gives its type."""

    def resolve(root: Any, info: strawberry.Info) -> Any:
        raise LookupError  # never called: `bind` puts the Relation in its place

    resolve.relation = Relation(loader, key)  # type: ignore[attr-defined]
    return strawberry.field(resolver=resolve, description=description)


def type_name_of(value: Any) -> str:
    """Which object type a value behind an interface is."""
    return value.shape.model.__name__ if isinstance(value, View) else type(value).__name__


def _moment(value: Any) -> datetime:
    """An RFC 3339 date-time as UTC. One without its offset would mean another moment to everybody, and one
    outside the years 1 to 9999 in UTC can't be stored.
    """
    try:
        found = datetime.fromisoformat(value)
        if found.utcoffset() is None:
            raise ValueError
        return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise GraphQLError("DateTime must be an RFC 3339 date-time with its offset.") from None


def bind(schema: strawberry.Schema) -> GraphQLSchema:
    """Rebinds a Strawberry schema in place and returns its graphql-core schema."""
    core: GraphQLSchema = schema._schema  # noqa: SLF001 - the declared way to graphql-core (as_graphql)
    for kind in core.type_map.values():
        if kind.name.startswith("__"):
            continue
        if isinstance(kind, GraphQLObjectType):
            kind.is_type_of = None
            for field_name, field in kind.fields.items():
                _bind_field(field_name, field)
        elif isinstance(kind, GraphQLScalarType) and kind.name == "DateTime":
            kind.coerce_input_value = _moment  # type: ignore[method-assign]
        elif isinstance(kind, GraphQLInterfaceType):
            kind.resolve_type = lambda value, _info, _type: type_name_of(value)
        elif isinstance(kind, GraphQLInputObjectType):
            for field_name, input_field in kind.fields.items():
                input_field.out_name = to_snake_case(field_name)
    return core


def _bind_field(field_name: str, field: GraphQLField) -> None:
    definition = field.extensions.get("strawberry-definition")
    for argument_name, argument in field.args.items():
        argument.out_name = to_snake_case(argument_name)
    if not isinstance(definition, StrawberryField):
        return
    if definition.base_resolver is not None:
        function: Any = definition.base_resolver.wrapped_func
        field.resolve = getattr(function, "relation", None) or getattr(function, "batched", function)
        return
    named = get_named_type(field.type)
    enum = named.wrapped_cls if isinstance(named, GraphQLEnumType) else None  # type: ignore[attr-defined]
    stored, guard = Stored(definition.python_name, enum), definition.metadata.get("guard")
    field.resolve = Guarded(stored, guard) if guard else stored


def plain(value: Any) -> Any:
    """Coerced input with enum members as their stored values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
