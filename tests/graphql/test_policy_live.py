"""A confirmed policy holds at the next query in every process, whatever else stands still (B9, P14).

Here the worker is stopped, so nothing is indexed any more, and the API's processes may not open change streams at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from tests.fixtures.company import Company, another_process, dumped
from tests.fixtures.policy_company import Mongod
from tests.graphql.conftest import as_seen, assigned
from tests.graphql.policy_world import company, enact, propose, row, seeded, step
from tests.graphql.sockets import CASE, Client

__all__ = ["company", "seeded"]
SEARCH = """query($q: String!, $a: String) { searchCases(query: $q, first: 1, after: $a) { totalCount
    nodes { id title description } edges { highlights { parts { text } } } pageInfo { endCursor hasNextPage }
    facets { counts { value count } } } }"""
FIELDS = "id description disputedAmount customer { name channels { value } } maskedFields { field visibility }"
WORDS = "琥珀色水泵"


@pytest.fixture(scope="module")
def cases(company: Company, world: dict[str, Any]) -> list[str]:
    """Two cases of the agent's that a search finds."""
    made = [
        assigned(company, world["customer"]["id"], "agent", title=f"{WORDS}漏水", description="致电 13912345678",
                 disputedAmount="4321.00")["id"]
        for _ in range(2)
    ]  # fmt: skip
    company.eventually(lambda: company.data("agent", SEARCH, q=WORDS)["searchCases"]["totalCount"] == 2)
    return made


@pytest.fixture(scope="module")
def standing_still(company: Company, cases: list[str], policy_mongod: Mongod) -> Iterator[None]:
    """Here no worker runs, and whoever tries to follow changes is refused."""
    worker = company.processes.pop("worker")
    worker.terminate()
    worker.wait(20)
    assert company.settings.mongo_url is not None
    with MongoClient[dict[str, Any]](company.settings.mongo_url.get_secret_value()) as client:
        with pytest.raises(OperationFailure, match="changeStream|not authorized"):
            client[company.settings.database]["journal"].watch()
        assert client[company.settings.database]["journal"].find_one(), "though it may read"
    yield
    restricted = company.settings
    company.settings = restricted.model_copy(update={"mongo_url": SecretStr(policy_mongod.url)})
    company.start("worker")
    company.settings = restricted


@pytest.fixture(scope="module")
def processes(company: Company, standing_still: None) -> Iterator[tuple[Company, Company]]:
    """Two processes of the API; both have answered everybody, so both remember what they know of rights."""
    with another_process(company) as other:
        for one in (company, other):
            for person in ("agent", "manager", "clerk", "auditor", "admin", "compliance"):
                one.data(person, "{ viewer { id } }")
        yield company, other


def test_a_narrower_row_masks_in_both_processes_at_once(
    processes: tuple[Company, Company], cases: list[str], world: dict[str, Any]
) -> None:
    # Given both show the agent everything
    for one in processes:
        seen = as_seen(one, "agent", "case", cases[0], FIELDS)
        assert "13912345678" in seen["description"]
        assert world["phone"] in dumped(seen)
    # When a policy is confirmed in one of them
    enact(processes[0], grants=[row("AGENT", "ASSIGNED", CONTACT="HIDDEN", NARRATIVE="PARTIAL")])
    # Then the very next answer of the other is masked, and so is the one's
    for one in reversed(processes):
        seen = as_seen(one, "agent", "case", cases[0], FIELDS)
        assert "13912345678" not in seen["description"]
        assert "139****5678" in seen["description"]
        assert seen["customer"]["channels"] is None
        assert {"field": "description", "visibility": "PARTIAL"} in seen["maskedFields"]


def test_a_removed_row_takes_the_records_out_of_sight(processes: tuple[Company, Company], cases: list[str]) -> None:
    enact(processes[0], grants=[{"role": "AGENT", "relation": "ASSIGNED", "levels": None}])
    for one in reversed(processes):
        assert as_seen(one, "agent", "case", cases[0]) is None
        assert one.data("agent", "{ cases { nodes { id } totalCount } }")["cases"] == {"nodes": [], "totalCount": 0}
        assert as_seen(one, "supervisor", "case", cases[0]), "nobody else loses anything"


def test_a_wider_row_shows_at_once_what_is_not_indexed_for_it(
    processes: tuple[Company, Company], cases: list[str]
) -> None:
    for one in processes:
        assert as_seen(one, "other_agent", "case", cases[0]) is None
    enact(processes[0], grants=[row("AGENT", "ANY", NAME="FULL", NARRATIVE="FULL")])
    for one in reversed(processes):
        assert as_seen(one, "other_agent", "case", cases[0], "title")["title"]
        assert one.data("other_agent", SEARCH, q=WORDS)["searchCases"]["totalCount"] == 2


def test_a_denied_class_is_gone_whatever_grants_it(processes: tuple[Company, Company], world: dict[str, Any]) -> None:
    enact(processes[0], deny=[{"role": "ACCOUNT_MANAGER", "relation": "OWNER", "sensitivity": "FINANCIAL"}])
    for one in reversed(processes):
        seen = as_seen(one, "manager", "customer", world["customer"]["id"], "name bankAccounts { number }")
        assert (seen["bankAccounts"], bool(seen["name"])) == (None, True)


def test_a_step_that_is_taken_away_is_refused_at_once(processes: tuple[Company, Company], cases: list[str]) -> None:
    enact(processes[0], steps=[step("case.note", ("SUPERVISOR", "DEPARTMENT"))])
    for one in reversed(processes):
        given = {"id": cases[0], "kind": "INTERNAL_NOTE", "text": "内部"}
        assert one.refused("agent", "recordCaseStep", "case { id }", **given) == "NOT_PERMITTED"


def test_a_search_and_its_cursor_know_the_new_policy(processes: tuple[Company, Company], cases: list[str]) -> None:
    """P13: the second page of an old question is asked under the new rights, or not at all."""
    # Given the first page of a search, with words of the text in its highlights
    pages = [one.data("agent", SEARCH, q=WORDS)["searchCases"] for one in processes]
    assert all(page["pageInfo"]["hasNextPage"] for page in pages)
    assert all("琥珀" in dumped(page["edges"]) for page in pages)
    lists = [
        one.data("agent", "{ cases(first: 1) { pageInfo { endCursor } } }")["cases"]["pageInfo"] for one in processes
    ]
    # When the agent's narratives are hidden
    hidden = row("AGENT", "ASSIGNED", NAME="HIDDEN", NARRATIVE="HIDDEN", NEGOTIATION="HIDDEN")
    enact(processes[0], grants=[hidden])
    # Then neither the question nor its second page is answered, in either process, whether or not it would match
    for one, page, listed in zip(reversed(processes), reversed(pages), reversed(lists), strict=True):
        answers = [
            one.ask("agent", SEARCH, q=words, a=cursor)
            for words, cursor in ((WORDS, None), (WORDS, page["pageInfo"]["endCursor"]), ("无此词语", None))
        ]
        assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == ["QUESTION_REFUSED"] * 3
        assert all("琥珀" not in dumped(answer) for answer in answers)
        # A list by open fields goes on, without the words.
        document = "query($a: String) { cases(first: 1, after: $a) { nodes { id title description } } }"
        (node,) = one.data("agent", document, a=listed["endCursor"])["cases"]["nodes"]
        assert (node["title"], node["description"]) == (None, None)


def test_a_search_that_goes_on_shows_only_what_the_new_row_does(
    processes: tuple[Company, Company], cases: list[str]
) -> None:
    pages = [one.data("agent", SEARCH, q=WORDS)["searchCases"] for one in processes]
    enact(processes[0], grants=[row("AGENT", "ASSIGNED", NARRATIVE="PARTIAL")])
    for one, page in zip(reversed(processes), reversed(pages), strict=True):
        found = one.data("agent", SEARCH, q=WORDS, a=page["pageInfo"]["endCursor"])["searchCases"]
        assert len(found["nodes"]) == 1
        assert "13912345678" not in dumped(found)


def test_blind_questions_follow_the_new_row(processes: tuple[Company, Company], world: dict[str, Any]) -> None:
    document = "query($p: String!) { customers(filter: {phone: {eq: $p}}) { nodes { id } } }"
    for one in processes:
        assert one.data("clerk", document, p=world["phone"])["customers"]["nodes"]
    enact(processes[0], grants=[row("CLERK", "DEPARTMENT", CONTACT="HIDDEN")])
    for one in reversed(processes):
        for phone in (world["phone"], "13700000000"):
            (error,) = one.ask("clerk", document, p=phone)["errors"]
            assert error["extensions"] == {"code": "QUESTION_REFUSED", "field": "phone"}


def test_sessions_live_on_with_the_new_rights(processes: tuple[Company, Company]) -> None:
    """Another policy signs nobody out: the same token has other rights."""
    tokens = [one.token("auditor") for one in processes]
    enact(processes[0], steps=[step("audit.read", ("COMPLIANCE", "ANY"))])
    for one, token in zip(processes, tokens, strict=True):
        answer = one.ask("auditor", "{ auditEntries { nodes { id } } }")
        assert answer["errors"][0]["extensions"]["code"] == "NOT_PERMITTED"
        assert one.data("auditor", "{ viewer { id } }")["viewer"]
        assert one.token("auditor") == token


def test_a_proposal_alone_changes_nobodys_rights(processes: tuple[Company, Company], cases: list[str]) -> None:
    before = [as_seen(one, "agent", "case", cases[0], FIELDS) for one in processes]
    propose(processes[0], grants=[row("AGENT", "ASSIGNED", CONTACT="HIDDEN", NARRATIVE="HIDDEN")])
    assert [as_seen(one, "agent", "case", cases[0], FIELDS) for one in processes] == before


# Subscriptions

NARRATIVE = "subscription($i: ID!) { caseChanged(id: $i) { id description } }"


@pytest.fixture
def following(company: Company, cases: list[str], policy_mongod: Mongod) -> Iterator[Company]:
    """A process whose change stream works, so that it wakes nobody by breaking."""
    with another_process(company, mongo_url=SecretStr(policy_mongod.url)) as other:
        yield other


def test_an_open_subscription_follows_the_policy(following: Company, company: Company, cases: list[str]) -> None:
    with Client(following, "agent") as agent, Client(following, "supervisor") as supervisor:
        agent.subscribe(NARRATIVE, i=cases[0])
        assert "13912345678" in agent.data()["caseChanged"]["description"]
        supervisor.subscribe(CASE, i=cases[0])
        supervisor.data()
        assert agent.is_silent()
        # When the row is narrowed, in another process
        enact(company, grants=[row("AGENT", "ASSIGNED", NARRATIVE="PARTIAL")])
        # Then what is followed comes again, masked, within five seconds
        began = time.monotonic()
        assert "139****5678" in agent.data(seconds=5)["caseChanged"]["description"]
        # And when the row is gone, the subscription ends without a word; the connection, and others, stay
        enact(company, grants=[{"role": "AGENT", "relation": "ASSIGNED", "levels": None}])
        assert agent.next_message(5) == {"id": "1", "type": "complete"}
        assert time.monotonic() - began < 10
        agent.send(type="ping")
        assert agent.next_message() == {"type": "pong"}
        assert supervisor.data()["caseChanged"]["id"] == cases[0]
