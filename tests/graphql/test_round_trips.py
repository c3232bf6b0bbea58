"""A list costs as many questions of the database as one record does: relations of a level are read together (no N+1)."""

from __future__ import annotations

import pytest

from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, assigned

# Asked or written whatever the question is, or by the worker.
ASIDE = {"journal", "jobs", "epoch", "unindexed", "sessions", "meta", "policies", "templates"}
QUESTIONS = {
    "cases": """cases(first: $n) { nodes {
        events(first: 3) { nodes { kind by { name department { key } } } } evidence(first: 3) { nodes { id text pages { number } } }
        customer { name } owner { name } assignee { name } department { key } } }""",
    "customers": """customers(first: $n) { nodes {
        cases(first: 3) { nodes { number } } revisions(first: 3) { nodes { version customer { name } } }
        evidence(first: 3) { nodes { id } } owner { name } department { key } } }""",
    "searchCases": 'searchCases(query: "水泵", first: $n) { edges { node { id events(first: 2) { nodes { id } } } highlights { field } } }',
    "evidence": "cases(first: $n) { nodes { evidence { nodes { case { number } customer { name } } } } }",
}  # fmt: skip


@pytest.fixture(scope="module")
def many(company: Company, stores: Stores) -> None:
    """Enough customers, cases and files of the supervisor's department, all of them findable."""
    for number in range(12):
        customer = company.new_customer(name=f"往返水务{number}")
        company.change(
            "manager", "updateCustomer", "customer { id }", id=customer["id"], version=1, name=f"往返水务{number}号"
        )
        case = assigned(company, customer["id"], "agent", title=f"水泵往返{number}")
        company.change(
            "clerk", "createEvidence", "evidence { id }",
            case=case["id"], kind="CONTRACT", fileName="a.pdf", mediaType="application/pdf", size=10,
        )  # fmt: skip
    company.eventually(lambda: not stores.find("journal", {"progress.todo": True}, limit=1))


def asked(company: Company, stores: Stores, question: str, size: int) -> list[str]:
    """What the database was asked for this question, by collection."""
    native = stores.system.database.native
    company.data("supervisor", f"query($n: Int!) {{ {question} }}", n=size)  # keys are remembered from here on
    stores.runner.run(native.command("profile", 2))
    try:
        company.data("supervisor", f"query($n: Int!) {{ {question} }}", n=size)
    finally:
        stores.runner.run(native.command("profile", 0))
    where = {"op": {"$in": ["query", "command", "getmore"]}}
    found = stores.runner.run(native["system.profile"].find(where).to_list(None))
    stores.runner.run(native["system.profile"].drop())
    names = [entry["ns"].partition(".")[2] for entry in found]
    return sorted(name for name in names if name not in ASIDE and not name.startswith(("system", "$cmd")))


@pytest.mark.parametrize("name", QUESTIONS)
def test_twelve_records_are_asked_for_as_one_is(company: Company, stores: Stores, many: None, name: str) -> None:
    # The worker asks too, when it finds something to do: the smallest of three counts is the question's own.
    one, twelve = (min((asked(company, stores, QUESTIONS[name], size) for _ in range(3)), key=len) for size in (1, 12))
    assert twelve == one
    assert 1 <= len(twelve) <= 16
