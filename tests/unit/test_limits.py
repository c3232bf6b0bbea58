"""What is expensive is refused before it is validated (P1), and nothing that is asked costs more than was said (P2)."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_introspection_query, parse

from schema.budgets import EXPENSIVE, SOURCES, Budgets
from schema.documents import Checks, Registered, document_id
from schema.limits import COST_MOST, Costs, check_values
from schema.root import core
from service.errors import Code, Refused
from service.storage import Database
from service.storage.buckets import Buckets
from tests.fixtures.bombs import BOMBS, SIZE

HERE = "192.0.2.1"
HARMLESS = {"wide_list", "long_string", "comments"}
"""Within every limit: they are simply answered."""
BY_SYNTAX = {"deep_selection", "deep_list", "deep_object", "unclosed"}
BY_VALIDATION = {"huge_integer", "wrong_names"}


def cost_of(text: str, **variables: Any) -> int:
    document = parse(text)
    (operation,) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return Costs(core, document).of(operation)(variables)


def refusal(text: str) -> str | None:
    """Which limit refuses a document."""
    try:
        found = Checks(core)(text)
        if isinstance(found, list):
            return "syntax" if "Syntax" in found[0].message else "validation"
        return "cost" if cost_of(text) > COST_MOST else None
    except Refused as refused:
        return refused.problem.field if refused.problem.code is Code.TOO_COSTLY else refused.problem.code.value


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_defused(name: str) -> None:
    text = BOMBS[name]()
    assert len(text.encode()) <= SIZE
    found = refusal(text)
    if name in HARMLESS:
        assert found is None
    elif name in BY_SYNTAX:
        assert found == "syntax"
    elif name in BY_VALIDATION:
        assert found == "validation"
    else:
        assert found not in (None, "syntax", "validation")


def test_doubling_fragments_are_visited_once_each() -> None:
    """Twenty-two levels are a cost of two millions, found out in as many steps as there are fragments."""
    text = BOMBS["doubling_fragments"]()
    assert cost_of(text) == 2**21 + 1


def test_what_clients_ask_is_within_the_limits() -> None:
    assert refusal(get_introspection_query()) is None


@pytest.mark.parametrize("size", [0, -5, 1, 20, 200, 5_000, 2**40])
def test_a_page_costs_its_size_at_least_one_and_at_most_the_largest(size: int) -> None:
    one = cost_of("query($n: Int) { customers(first: $n) { nodes { id name } } }", n=1)
    page = cost_of("query($n: Int) { customers(first: $n) { nodes { id name } } }", n=size)
    assert page - one == (min(max(size, 1), 200) - 1) * 3
    assert page == cost_of(f"{{ customers(first: {size}) {{ nodes {{ id name }} }} }}")


def test_a_page_whose_size_is_no_number_costs_the_largest() -> None:
    text = "query($n: Int) { customers(first: $n) { nodes { id } } }"
    assert cost_of(text, n="many") == cost_of(text, n=200)
    assert cost_of(text, n=True) == cost_of(text, n=200)
    assert cost_of(text) == cost_of(text, n=20)
    assert cost_of("query($n: Int = 7) { customers(first: $n) { nodes { id } } }") == cost_of(text, n=7)


def test_pages_in_pages_multiply() -> None:
    flat = cost_of("{ customers(first: 10) { nodes { id } } }")
    deep = cost_of("{ customers(first: 10) { nodes { cases(first: 10) { nodes { id } } } } }")
    assert deep > 10 * flat / 2


def test_variables_are_counted_and_their_depth_is() -> None:
    check_values({"filter": {"states": ["RAISED"] * 5_000}})
    with pytest.raises(Refused) as many:
        check_values({"filter": {"states": ["RAISED"] * 10_001}})
    assert many.value.problem.field == "variables"
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Refused) as nested:
        check_values({"deep": deep})
    assert nested.value.problem.field == "depth of variables"


def test_a_refusal_says_by_how_much() -> None:
    with pytest.raises(Refused) as refused:
        Checks(core)(BOMBS["aliases"]())
    assert refused.value.problem.params == {"cost": 600, "limit": 100}
    assert "600" in refused.value.problem.message("en")
    assert "600" in refused.value.problem.message("zh-CN")


async def test_a_minute_is_spent_by_each_actor_alone(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    budgets, at = Budgets(100, Buckets(database)), [0.0]
    monkeypatch.setattr("schema.budgets.time.monotonic", lambda: at[0])
    assert await budgets.spend("usr_a", HERE, 60) == 40
    assert await budgets.spend("usr_b", HERE, 100) == 0
    with pytest.raises(Refused) as refused:
        await budgets.spend("usr_a", HERE, 41)
    assert refused.value.problem.params == {"cost": 101, "limit": 100}
    assert await budgets.spend("usr_a", HERE, 40) == 0, "what was refused was not spent"
    at[0] = 61.0
    assert await budgets.spend("usr_a", HERE, 100) == 0


async def test_budgets_are_bounded(database: Database) -> None:
    budgets = Budgets(10, Buckets(database))
    for number in range(30_000):
        await budgets.spend(f"usr_{number}", HERE, 1)
    assert len(budgets._minutes) <= 10_000


async def test_expensive_operations_have_one_budget_in_all_processes(database: Database) -> None:
    """P1: whoever spreads over two processes gets no more."""
    limit = 4 * EXPENSIVE
    budgets = [Budgets(limit, Buckets(database)) for _ in range(2)]
    for number in range(4):
        assert await budgets[number % 2].spend("usr_a", HERE, EXPENSIVE) > 0
    for process in budgets:
        with pytest.raises(Refused) as refused:
            await process.spend("usr_a", HERE, EXPENSIVE)
        assert refused.value.problem.code is Code.THROTTLED
        assert 10 <= refused.value.problem.params["seconds"] <= 16
        assert await process.spend("usr_a", HERE, EXPENSIVE - 1) > 0, "what is cheap goes on"
        assert await process.spend("usr_b", HERE, EXPENSIVE) > 0


async def test_many_accounts_of_one_source_have_no_endless_budget(database: Database) -> None:
    """P1: split accounts."""
    budgets = Budgets(EXPENSIVE, Buckets(database))
    for number in range(SOURCES):
        assert await budgets.spend(f"usr_{number}", HERE, EXPENSIVE) == 0
    with pytest.raises(Refused) as refused:
        await budgets.spend("usr_another", HERE, EXPENSIVE)
    assert refused.value.problem.code is Code.THROTTLED
    assert await budgets.spend("usr_elsewhere", "192.0.2.9", EXPENSIVE) == 0


@pytest.mark.parametrize("typo", ["{ viewr { id } }", "{ customers { nodes { nam } } }", "{ node(idd: 1) { id } }"])
def test_in_production_no_typo_is_answered_with_a_real_name(typo: str) -> None:
    """P3."""
    told, hidden = Checks(core)(typo), Checks(core, introspection=False)(typo)
    assert isinstance(told, list)
    assert isinstance(hidden, list)
    assert any("Did you mean" in error.message for error in told)
    assert not any("Did you mean" in error.message for error in hidden)


@pytest.mark.parametrize("question", ["{ __schema { types { name } } }", '{ __type(name: "User") { name } }'])
def test_introspection_is_a_setting(question: str) -> None:
    """P3."""
    assert not isinstance(Checks(core)(question), list)
    refused = Checks(core, introspection=False)(question)
    assert isinstance(refused, list)
    assert isinstance(refused[0], GraphQLError)


def test_documents_are_known_by_the_hash_of_their_text(tmp_path: Any) -> None:
    text = "query Viewer { viewer { id } }\n"
    (tmp_path / "viewer.graphql").write_text(text)
    registered = Registered(tmp_path, only=True)
    assert registered.text(None, f"sha256:{document_id(text)}") == text
    assert registered.text(text, None) == text
    for given, identifier in (("{ viewer { name } }", None), (None, document_id("{ viewer { name } }"))):
        with pytest.raises(Refused) as refused:
            registered.text(given, identifier)
        assert refused.value.problem.code is Code.UNKNOWN_DOCUMENT


def test_a_directory_that_is_not_there_is_named(tmp_path: Any) -> None:
    with pytest.raises(LookupError, match="ANJUAN_DOCUMENTS"):
        Registered(tmp_path / "missing")
