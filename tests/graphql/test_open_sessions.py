"""Where one is signed in, over HTTP: seen and ended, and nobody else's."""

from __future__ import annotations

import pytest

from service.clock import new_id
from tests.fixtures.company import Company
from tests.graphql.conftest import employed, lives, signed_in

LIST = "query($u: ID) { sessions(user: $u) { nodes { id user source current lastUsedAt } pageInfo { hasNextPage } } }"


def ended(company: Company, person: str, session: str) -> list[tuple[str, str]]:
    payload = company.attempt(person, "endSession", "done", id=session)
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


def test_one_ends_a_session_that_one_sees(company: Company) -> None:
    name, user = employed(company, ["CLERK"])
    company.token(name)
    lost = signed_in(company, name)
    newest, mine = company.data(name, LIST)["sessions"]["nodes"]
    assert (newest["current"], mine["current"]) == (False, True)
    assert (newest["user"], newest["source"]) == (user["id"], "127.0.0.1")

    assert ended(company, name, newest["id"]) == []

    assert not lives(company, lost)
    assert [one["id"] for one in company.data(name, LIST)["sessions"]["nodes"]] == [mine["id"]]
    assert ended(company, name, newest["id"]) == [("NOT_FOUND", "id")]
    assert ended(company, name, user["id"]) == [("INVALID_ID", "id")]


def test_an_administrator_ends_anybodys(company: Company) -> None:
    name, user = employed(company, ["AGENT"])
    token = signed_in(company, name)
    (session,) = company.data("admin", LIST, u=user["id"])["sessions"]["nodes"]
    assert not session["current"]

    assert company.change("admin", "endSession", "done", id=session["id"], idempotencyKey=session["id"]) is True
    assert company.change("admin", "endSession", "done", id=session["id"], idempotencyKey=session["id"]) is True

    assert not lives(company, token)


@pytest.mark.parametrize("person", ["agent", "supervisor", "compliance", "auditor"])
def test_anothers_session_is_like_one_that_there_is_not(company: Company, person: str) -> None:
    name, user = employed(company, ["CLERK"])
    token = signed_in(company, name)
    (session,) = company.data("admin", LIST, u=user["id"])["sessions"]["nodes"]

    for identifier in (session["id"], new_id("ses")):
        assert ended(company, person, identifier) == [("NOT_FOUND", "id")]
    answer = company.ask(person, LIST, u=user["id"])

    assert answer["errors"][0]["extensions"]["code"] == "NOT_PERMITTED"
    assert company.ask(None, LIST)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert lives(company, token)
