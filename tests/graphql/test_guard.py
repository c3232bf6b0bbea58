"""No list and no search goes round the guard, and no name of a question does (R69, P12).

The gate of `service.access.questions` is closed: nobody may ask by anything. Then every filter field, every order,
every word that the schema knows is put to the real system, found by walking the schema: each must be refused. A list
or a filter field that somebody adds without the guard is answered here, and fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)

from schema.context import Context
from schema.root import core
from service.access import questions
from service.access.actor import Actor, Caller
from service.access.policy import Role
from service.errors import Refused
from service.system import System
from tests.fixtures.company import Company
from tests.fixtures.paths import operations_of, read

PAGING = {"first", "after"}
ONE_RECORD = {"id"}
ROOTS = {"Mutation", "Subscription"}
LITERALS = {
    "String": '"水泵"',
    "ID": '"usr_01jdm2000000000000000000aa"',
    "DateTime": '"2026-11-24T00:00:00Z"',
    "Boolean": "true",
    "Int": "1",
}


def _literal(kind: Any) -> str:
    kind = get_nullable_type(kind)
    if isinstance(kind, GraphQLList):
        return f"[{_literal(kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return "{" + ", ".join(f"{name}: {_literal(field.type)}" for name, field in kind.fields.items()) + "}"
    return LITERALS[kind.name]


def _values(argument: GraphQLArgument) -> Iterator[str]:
    """Each way to use an argument by itself: each field of a filter, each order."""
    kind = get_nullable_type(argument.type)
    if isinstance(kind, GraphQLInputObjectType):
        for name, field in kind.fields.items():
            yield f"{{{name}: {_literal(field.type)}}}"
    elif isinstance(kind, GraphQLEnumType):
        yield from kind.values
    else:
        yield _literal(kind)


def _leaf(kind: Any) -> str:
    """Something to select of a list."""
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    return "{ pageInfo { hasNextPage } }" if "pageInfo" in named.fields else "{ __typename }"


def _questions() -> dict[str, tuple[str, str]]:
    """Every question by name: the type that it is put to, and its text."""
    found = {}
    for kind in core.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__") or kind.name in ROOTS:
            continue
        for name, field in kind.fields.items():
            if set(field.args) >= ONE_RECORD:  # a record that is named, or what is told of it
                continue
            for argument_name, argument in field.args.items():
                if argument_name in PAGING:
                    continue
                for value in _values(argument):
                    text = f"{name}({argument_name}: {value}) {_leaf(field.type)}"
                    found[f"{kind.name}.{name}({argument_name}: {value})"] = (kind.name, text)
    return found


QUESTIONS = _questions()


def test_the_walk_finds_the_lists_that_can_be_asked() -> None:
    lists = {name.partition("(")[0] for name in QUESTIONS}
    assert lists >= {
        "Query.customers", "Query.cases", "Query.searchCases", "Query.users", "Query.auditEntries", "Query.sessions",
        "Query.alerts", "Case.events",
    }  # fmt: skip
    assert len(QUESTIONS) > 45


@pytest.fixture(scope="module")
def inside(company: Company, ids: dict[str, str]) -> Iterator[tuple[asyncio.Runner, System, Caller]]:
    with company.inside() as (runner, system):
        policy = runner.run(system.policies.current())
        # Whoever may call every list: what stops them is the guard alone.
        everybody = Actor(company.users["supervisor"], "周敏", frozenset(Role), company.departments["east"])
        yield runner, system, Caller(everybody, policy, locale="en")


def _codes(inside: tuple[asyncio.Runner, System, Caller], ids: dict[str, str], kind: str, text: str) -> list[str]:
    runner, system, caller = inside
    document = text if kind == "Query" else f'node(id: "{ids[kind]}") {{ ... on {kind} {{ {text} }} }}'
    operation = read(operations_of(core), f"{{ {document} }}")
    result = runner.run(operation.run(Context(system, caller, "request", "127.0.0.1", "en"), {}))
    return [
        error.original_error.problem.code.value if isinstance(error.original_error, Refused) else str(error)
        for error in result.errors or ()
    ]


@pytest.mark.parametrize("name", QUESTIONS)
def test_behind_a_closed_gate_nothing_is_answered(
    inside: tuple[asyncio.Runner, System, Caller], ids: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(questions, "may_ask", lambda *_: False)
    assert _codes(inside, ids, *QUESTIONS[name]) == ["QUESTION_REFUSED"]


def test_the_gate_is_what_refuses(inside: tuple[asyncio.Runner, System, Caller], ids: dict[str, str]) -> None:
    """The same questions with the gate as it is: somebody of every role may put each of them."""
    refused = {name for name, (kind, text) in QUESTIONS.items() if _codes(inside, ids, kind, text)}
    assert refused == {'Query.customers(query: "水泵")'}, (
        "an auditor's rows are among theirs, and an auditor sees no name"
    )
