"""The static cost of an operation is never less than the resolvers that run for it (P2).

A thousand random queries over our schema are answered from nothing: every page is as large as was asked for, every
other list has three items, and each call of a resolver is counted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
    parse,
)

from schema.limits import COST_MOST, PAGE_DEFAULT, Costs
from schema.root import core
from tests.fixtures.operations import MISSING, Habits, draw

LEAVES = {
    "String": "x",
    "ID": "x",
    "Int": 1,
    "Float": 0.5,
    "Boolean": True,
    "DateTime": datetime(2026, 1, 1, tzinfo=UTC),
}
OTHER_LISTS = 3


class Thing(dict[str, Any]):
    """Any object; a connection among them knows how many items it has."""


KINDS = {name: type(name, (Thing,), {}) for name, kind in core.type_map.items() if is_composite_type(kind)}


def values(random: Random, kind: Any, name: str) -> Any:
    if name.endswith(".first"):
        return random.randint(1, 6)
    return {"ID": "x", "DateTime": "2026-01-01T00:00:00Z"}.get(get_named_type(kind).name, MISSING)


class Counting:
    """Answers instead of the resolvers, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def resolve(self, _next: Any, source: Any, info: Any, **arguments: Any) -> Any:
        self.calls += 1
        if "__" in info.field_name:
            return info.parent_type.name
        size = source.get("first", OTHER_LISTS) if isinstance(source, dict) else OTHER_LISTS
        return self._made(
            info.return_type, arguments, size if info.parent_type.name.endswith("Connection") else OTHER_LISTS
        )

    def _made(self, kind: Any, arguments: dict[str, Any], size: int) -> Any:
        inner = kind.of_type if is_non_null_type(kind) else kind
        if is_list_type(inner):
            return [self._made(inner.of_type, {}, size) for _ in range(size)]
        if isinstance(inner, GraphQLEnumType):
            return next(iter(inner.values.values())).value
        if is_abstract_type(inner):
            inner = core.get_possible_types(inner)[0]
        if is_composite_type(inner):
            made = KINDS[inner.name]()
            made["first"] = arguments.get("first") or PAGE_DEFAULT
            return made
        return LEAVES[inner.name]


def counted(text: str, name: str | None, variables: dict[str, Any]) -> int:
    counting = Counting()

    def instead(resolve: Any, source: Any, info: Any, /, **arguments: Any) -> Any:
        return counting.resolve(resolve, source, info, **arguments)

    result = execute(core, parse(text), None, None, variables, name, middleware=[instead])
    assert not result.errors, (result.errors, text)  # type: ignore[union-attr]
    return counting.calls


@pytest.mark.parametrize("block", range(10))
def test_a_cost_is_no_less_than_the_resolvers_that_run(block: int) -> None:
    habits = Habits(values=values, size=18, depth=5)
    for number in range(100):
        drawn = draw(core, f"cost {block} {number}", OperationType.QUERY, habits)
        document = parse(drawn.text)
        (operation,) = [
            node for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
            and (drawn.name is None or (node.name is not None and node.name.value == drawn.name))
        ]  # fmt: skip
        cost = Costs(core, document).of(operation)(drawn.variables)
        if cost <= COST_MOST / 10:
            assert counted(drawn.text, drawn.name, drawn.variables) <= cost, drawn.text
