"""Leaves: values that are written as they are where their class says so, and coerced by graphql-core otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

from graphql import GraphQLBoolean, GraphQLEnumType, GraphQLID, GraphQLInt, GraphQLLeafType, GraphQLString, Undefined
from graphql.pyutils import is_awaitable

from schema.execution.surprise import Surprise

LISTS = frozenset({list, tuple})


@dataclass(frozen=True, slots=True)
class Test:
    """A condition under which a value needs no coercion. `{value}` stands for the value the first time, `{name}`
    for it later; the other names are bound.
    """

    text: str
    bound: Mapping[str, Any] = field(default_factory=dict)


_TESTS = {
    GraphQLString: Test("{value}.__class__ is str"),
    GraphQLID: Test("{value}.__class__ is str"),
    GraphQLBoolean: Test("{value}.__class__ is bool"),
    GraphQLInt: Test("{value}.__class__ is int and -2147483648 <= {name} <= 2147483647"),
}
# A datetime stays what it is: orjson writes one in UTC as `isoformat` does.
_MOMENT = Test("{value}.__class__ is {moment} and {name}.tzinfo is {utc}", {"moment": datetime, "utc": UTC})
_SOME_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def leaf_test(kind: GraphQLLeafType) -> Test | None:
    """The test of a scalar, None where each value is coerced."""
    if kind.name == "DateTime" and kind.coerce_output_value(_SOME_MOMENT) == _SOME_MOMENT.isoformat():
        return _MOMENT
    return _TESTS.get(kind)  # type: ignore[arg-type]


def nothing() -> Any:
    """There is no value where there must be one."""
    raise Surprise("null")


def whatever(kind: GraphQLLeafType, *, required: bool) -> Callable[[Any], Any]:
    """graphql-core's coercion of a leaf's value; None is None, if it may be."""
    coerce = kind.coerce_output_value

    def completed(value: Any) -> Any:
        if value is None or value is Undefined:
            return nothing() if required else None
        if isinstance(value, Exception) or is_awaitable(value):
            raise Surprise("value")
        found = coerce(value)
        if found is None or found is Undefined:
            raise Surprise("value")
        return found

    return completed


@cache
def enum_names(kind: GraphQLEnumType) -> dict[Any, str] | None:
    """Names by member and by stored value, of an enum that is made from a Python one."""
    wrapped = getattr(kind, "wrapped_cls", None)
    if wrapped is None:
        return None
    found: dict[Any, str] = {}
    for name, value in kind.values.items():
        member = value.value if isinstance(value.value, wrapped) else wrapped(value.value)
        found[member] = name
        found[member.value] = name
    return found


def sorted_names(names: dict[Any, str] | None, *, required: bool) -> Callable[[Any], Any]:
    """A stored set of an enum's values, as names in order."""
    assert names is not None  # noqa: S101 - stored enums are Python's
    known = names

    def completed(value: Any) -> Any:
        if value is None:
            return nothing() if required else None
        if value.__class__ is str or isinstance(value, (dict, Enum)):
            raise Surprise("value")
        return sorted(known[item] for item in value)

    return completed


def no_list(*, required: bool) -> Callable[[Any], Any]:
    """What a value is that is no list: None, or something for graphql-core, which has not been touched yet."""

    def completed(value: Any) -> Any:
        if value is None or value is Undefined:
            return nothing() if required else None
        raise Surprise("value")

    return completed
