"""Thousands of random operations over a nasty schema: compiled functions answer as graphql-core does, byte for byte.

Each operation is answered by graphql-core alone and by `Operation.run`, from sources of their own, and the bytes of data
and errors are compared, and what mutations did, in order (P2, P7).

The order of errors, and which of several errors in a part of the answer that became null is told, is in graphql-core the
order in which they happened. It is fixed by the document for whatever is known at once, and depends on timing between
resolvers that wait side by side. So the bytes are compared in two ways:

- while nothing takes a turn of the event loop, they are always equal;
- while each resolver takes its own number of turns, they are equal wherever nothing fails or nothing waits side by side;
  elsewhere graphql-core takes over from the compiled functions, and the answer is exactly its own for the case that
  what had been awaited before takes no time. The data are the same in any case.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLSchema, OperationType, get_named_type

from schema.execution import Operation
from tests.fixtures.nasty import CALM, SDL, Told, nasty_schema
from tests.fixtures.operations import MISSING, Drawn, Habits, draw
from tests.fixtures.paths import by_core, counts, few_objects, operations_of, read, served

# graphql-core cancels what waits beside something that became null, at times before it has begun.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine '_later' was never awaited:RuntimeWarning")
BLOCK = 100
HOWS = SDL[SDL.index("FINE LATER") : SDL.index("}", SDL.index("FINE LATER"))].split()


def hows(share: float) -> Callable[[Random, Any, str], Any]:
    """Values of arguments; this share of what resolvers are told is any of their ways, the others are harmless."""

    def values(random: Random, kind: Any, _name: str) -> Any:
        name = get_named_type(kind).name
        if name == "How":
            return random.choice(HOWS if random.random() < share else CALM)
        if name == "Odd" and kind is get_named_type(kind):
            return random.choice((1, 2, "x", 0.5))
        return MISSING

    return values


WILD = Habits(hows(0.3), size=12, width=4, wrong=0.02)
WILDEST = Habits(hows(0.9), size=12, width=4)
HARMLESS = Habits(hows(0.0), size=16, width=4)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return nasty_schema()


@pytest.fixture(scope="module", autouse=True)
def collector() -> Iterator[None]:
    with few_objects():
        yield


def uneven(seed: int) -> Callable[[str], int]:
    """None to three turns, by the name of what is waited for."""
    return lambda name: zlib.crc32(f"{seed} {name}".encode()) % 4


class Pair:
    """One operation, and both answers to it."""

    def __init__(self, schema: GraphQLSchema, drawn: Drawn, seed: int, *, validated: bool) -> None:
        self.schema = schema
        self.drawn = drawn
        self.given = drawn.variables
        self.seed = seed
        self.operation: Operation = read(operations_of(schema, validated=validated), drawn.text, drawn.name)

    async def by_core(self, told: Told) -> ExecutionResult:
        try:
            return await by_core(self.schema, self.operation, told, self.given)
        finally:
            await told.end()

    async def ours(self, told: Told) -> ExecutionResult:
        try:
            return await self.operation.run(told, self.given)
        finally:
            await told.end()

    def turn_conditions(self) -> None:
        """What was skipped is included, and the other way round."""
        self.given = {name: not value if isinstance(value, bool) else value for name, value in self.given.items()}

    async def agree_at_once(self) -> ExecutionResult:
        """Nothing takes a turn: everything is equal."""
        theirs, ours = Told(), Told()
        expected, found = await self.by_core(theirs), await self.ours(ours)
        assert served(found) == served(expected), self
        assert ours.log == theirs.log, self
        return expected

    async def agree_unevenly(self) -> None:
        """Each resolver takes its own time; the conditions are turned, for the same operation."""
        self.turn_conditions()
        pace = uneven(self.seed)
        theirs, ours = Told(pace), Told(pace)
        expected, found = await self.by_core(theirs), await self.ours(ours)
        assert served(ExecutionResult(found.data, None)) == served(ExecutionResult(expected.data, None)), self
        assert ours.log == theirs.log, self
        if expected.errors and theirs.waits > 1:
            expected = await self.by_core(Told(pace, slow=frozenset(ours.asked)))
        assert served(found) == served(expected), self

    def __repr__(self) -> str:
        return f"seed {self.seed}, {self.drawn.name}, {self.given}:\n{self.drawn.text}"


def pairs(schema: GraphQLSchema, block: int, kind: OperationType, habits: Habits) -> list[Pair]:
    """What is drawn is valid by construction; every tenth operation is validated, to show it."""
    return [
        Pair(schema, draw(schema, f"{kind.value} {seed}", kind, habits), seed, validated=seed % 10 == 0)
        for seed in range(block * BLOCK, (block + 1) * BLOCK)
    ]


@pytest.mark.parametrize("block", range(12))
async def test_queries_are_answered_as_by_graphql_core(schema: GraphQLSchema, block: int) -> None:
    for pair in pairs(schema, block, OperationType.QUERY, WILD):
        await pair.agree_at_once()
        await pair.agree_unevenly()


# Where one of a mutation's fields fails, graphql-core leaves coroutines of its neighbours behind; Python says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("block", range(7))
async def test_mutations_are_answered_as_by_graphql_core_and_do_the_same_in_the_same_order(
    schema: GraphQLSchema, block: int
) -> None:
    for pair in pairs(schema, block, OperationType.MUTATION, WILD):
        await pair.agree_at_once()
        await pair.agree_unevenly()


@pytest.mark.parametrize("block", range(4))
async def test_queries_where_nearly_everything_fails_are_answered_as_by_graphql_core(
    schema: GraphQLSchema, block: int
) -> None:
    for pair in pairs(schema, block, OperationType.QUERY, WILDEST):
        await pair.agree_at_once()
        await pair.agree_unevenly()


@pytest.mark.parametrize("kind", [OperationType.QUERY, OperationType.MUTATION], ids=lambda kind: kind.value)
@pytest.mark.parametrize("block", range(100, 103))
async def test_harmless_operations_are_all_compiled(schema: GraphQLSchema, block: int, kind: OperationType) -> None:
    """Lists, tuples and what comes later are compiled, whatever is asked of them; an error needs graphql-core."""
    for pair in pairs(schema, block, kind, HARMLESS):
        before, _ = counts()
        expected = await pair.agree_at_once()
        await pair.agree_unevenly()
        after, _ = counts()
        assert (after - before == 2) == (expected.errors is None), pair


async def test_nearly_every_wild_operation_without_an_error_is_compiled(schema: GraphQLSchema) -> None:
    """What is left are generators, awaitables as items, and types that are known later."""
    clean = answered = 0
    for pair in pairs(schema, 200, OperationType.QUERY, WILD):
        before, _ = counts()
        if (await pair.agree_at_once()).errors is None:
            clean += 1
            answered += counts()[0] - before
    assert clean > BLOCK / 2
    assert answered > 0.9 * clean
