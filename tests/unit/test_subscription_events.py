"""A subscription's events are executed by the compiled code, and answered as graphql-core's `subscribe` would (P5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import ExecutionResult, build_schema, parse, subscribe, validate

from schema.binding import Stored
from schema.execution import Operation, Source
from schema.execution.operations import fallen_back

schema = build_schema("""
type Query { nothing: Int }
type Subscription { thing(id: ID!, most: Int = 3): Thing }
type Thing { id: ID! name: String sure: Int! parts: [Thing!] }
""")
EVENTS: list[Any] = [
    {"id": "a", "name": "甲", "sure": 1, "parts": [{"id": "b", "sure": 2, "parts": None}]},
    None,
    {"id": "c", "name": None, "sure": None, "parts": []},
    {"id": "d", "name": 7, "sure": "x", "parts": [None]},
]
FIELDS = "{ __typename key: id name sure parts { id ... on Thing { sure } } }"
DOCUMENTS: list[tuple[str, str | None, dict[str, Any]]] = [
    (f"subscription {{ thing(id: 1) {FIELDS} }}", None, {}),
    (f"subscription($i: ID!, $m: Int) {{ seen: thing(id: $i, most: $m) {FIELDS} }}", None, {"i": "x"}),
    (f"subscription($i: ID!, $m: Int) {{ thing(id: $i, most: $m) {FIELDS} }}", None, {"i": 5, "m": None}),
    ("subscription($s: Boolean!) { thing(id: 1) { id name @skip(if: $s) ...F } } fragment F on Thing { sure }", None,
     {"s": True}),
    (f"subscription A {{ thing(id: 1) {FIELDS} }} subscription B {{ thing(id: 2) {{ id }} }}", "B", {}),
    (f"subscription A {{ thing(id: 1) {FIELDS} }} query C {{ nothing }}", "A", {}),
]  # fmt: skip
WRONG: list[tuple[str, str | None, dict[str, Any]]] = [
    ("subscription($i: ID!) { thing(id: $i) { id } }", None, {}),
    ("subscription($i: ID!) { thing(id: $i) { id } }", None, {"i": {}}),
    ("subscription($i: ID = null) { thing(id: $i) { id } }", None, {"i": None}),
    ("subscription A { thing(id: 1) { id } } subscription B { thing(id: 2) { id } }", None, {}),
    ("subscription A { thing(id: 1) { id } }", "B", {}),
]


def _resolved(root: Any, _: Any, **arguments: Any) -> Any:
    return root


async def _events(*_: Any, **arguments: Any) -> AsyncIterator[Any]:
    for event in EVENTS:
        yield event


@pytest.fixture(autouse=True, scope="module")
def bound() -> None:
    """Resolvers as `schema.binding` sets them."""
    schema.subscription_type.fields["thing"].resolve = _resolved  # type: ignore[union-attr]
    for name, field in schema.type_map["Thing"].fields.items():  # type: ignore[attr-defined]
        field.resolve = Stored(name)


def _shown(result: ExecutionResult) -> Any:
    return result.formatted


def _fallbacks() -> float:
    return sum(sample.value for metric in fallen_back.collect() for sample in metric.samples if "total" in sample.name)


@pytest.mark.parametrize(("document", "name", "variables"), DOCUMENTS)
async def test_each_event_is_answered_like_graphql_core(document: str, name: str | None, variables: Any) -> None:
    parsed = parse(document)
    assert validate(schema, parsed) == []
    operation = Operation(schema, parsed, name)
    source = await operation.source(None, variables)
    assert isinstance(source, Source)
    assert source.field == "thing"
    expected: Any = subscribe(schema, parsed, None, None, variables, name, subscribe_field_resolver=_events)
    compared = 0
    async for result in expected:
        assert _shown(await operation.run(None, variables, EVENTS[compared])) == _shown(result)
        compared += 1
    assert compared == len(EVENTS)
    before = _fallbacks()
    for event in EVENTS[:2]:
        await operation.run(None, variables, event)
    assert _fallbacks() == before, "what is right is compiled"


async def test_the_stream_is_asked_for_by_coerced_arguments() -> None:
    document = "subscription($i: ID!, $m: Int) { seen: thing(id: $i, most: $m) { id } }"
    operation = Operation(schema, parse(document), None)
    assert await operation.source(None, {"i": 5}) == Source("thing", {"id": "5", "most": 3})
    assert await operation.source(None, {"i": "5", "m": None}) == Source("thing", {"id": "5", "most": None})


@pytest.mark.parametrize(("document", "name", "variables"), WRONG)
async def test_what_is_wrong_is_said_in_graphql_cores_words(document: str, name: str | None, variables: Any) -> None:
    operation = Operation(schema, parse(document), name)
    found = await operation.source(None, variables)
    expected = subscribe(schema, parse(document), None, None, variables, name, subscribe_field_resolver=_events)
    if hasattr(expected, "__await__"):
        expected = await expected
    assert isinstance(found, ExecutionResult)
    assert isinstance(expected, ExecutionResult)
    assert found.errors
    assert _shown(found) == _shown(expected)
