"""Rights are today's: they change at the next query, and nothing made under others opens (P13, P14); the door (P4)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.company import PASSWORD, Company, dumped
from tests.graphql.conftest import Stores, as_seen, assigned, employed

# Rights change at the next query (P14)


def test_a_disabled_user_is_out_at_the_next_query(company: Company) -> None:
    name, user = employed(company, ["SUPERVISOR"])
    assert company.data(name, "{ viewer { id } }")["viewer"]["id"] == user["id"]
    company.change("admin", "disableUser", "user { id state }", id=user["id"], version=user["version"])
    answer = company.ask(name, "{ viewer { id } customers { nodes { id } } }")
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert answer.get("data") is None
    again = company.ask(
        None, "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken } userErrors { code } } }",
        i={"email": f"{name}@example.com", "password": PASSWORD},
    )  # fmt: skip
    assert again["data"]["signIn"]["session"] is None


def test_a_changed_role_holds_at_the_next_query(company: Company, world: dict[str, Any]) -> None:
    name, user = employed(company, ["SUPERVISOR"])
    fields = "bankAccounts { number } channels { value }"
    assert "6200000000000000018" in dumped(as_seen(company, name, "customer", world["customer"]["id"], fields))
    cursor = company.data(name, "{ customers(first: 1) { pageInfo { endCursor } } }")["customers"]["pageInfo"][
        "endCursor"
    ]
    user = (
        company.change(
            "admin", "updateUser", "user { version }", id=user["id"], version=user["version"], roles=["CLERK"]
        )
        | user
    )
    seen = as_seen(company, name, "customer", world["customer"]["id"], fields)
    assert seen["bankAccounts"] is None
    assert world["phone"] not in dumped(seen)
    # P13: nor does a cursor of the former role open.
    answer = company.ask(name, "query($a: String) { customers(first: 1, after: $a) { nodes { id } } }", a=cursor)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


def test_another_department_is_out_of_sight_at_the_next_query(company: Company, world: dict[str, Any]) -> None:
    name, user = employed(company, ["CLERK"])
    assert as_seen(company, name, "case", world["case"]["id"])
    company.change(
        "admin",
        "updateUser",
        "user { id }",
        id=user["id"],
        version=user["version"],
        department=company.departments["south"],
    )
    assert as_seen(company, name, "case", world["case"]["id"]) is None


def test_an_agent_loses_a_case_that_is_given_to_another(company: Company) -> None:
    # Given a case of the agent's, found by its words
    customer = company.new_customer(name="丹霞水务有限公司")
    case = assigned(company, customer["id"], "agent", title="玛瑙阀门漏水")
    ask = "query($q: String!) { searchCases(query: $q) { nodes { id } totalCount facets { counts { count } } } }"
    company.eventually(lambda: company.data("agent", ask, q="玛瑙阀门")["searchCases"]["nodes"])
    # When it is given to another
    company.change(
        "supervisor", "assignCase", "case { id }",
        id=case["id"], version=case["version"], assignee=company.users["other_agent"],
    )  # fmt: skip
    # Then the next query finds neither it nor its customer, however it is asked
    assert as_seen(company, "agent", "case", case["id"]) is None
    assert as_seen(company, "agent", "customer", customer["id"]) is None
    assert company.data("agent", ask, q="玛瑙阀门")["searchCases"]["nodes"] == []
    assert case["id"] not in dumped(company.data("agent", "{ cases(first: 200) { nodes { id } } }"))
    assert as_seen(company, "other_agent", "case", case["id"])
    assert as_seen(company, "other_agent", "customer", customer["id"])


def test_assigning_a_customer_hands_its_cases_over(company: Company) -> None:
    customer = company.new_customer(name="移交水务有限公司")
    case = company.new_case(customer["id"])
    assert as_seen(company, "other_manager", "customer", customer["id"]) is None
    company.change(
        "supervisor", "assignCustomer", "customer { id owner { id } }",
        id=customer["id"], version=customer["version"], owner=company.users["other_manager"],
    )  # fmt: skip
    assert as_seen(company, "manager", "customer", customer["id"]) is None
    assert as_seen(company, "manager", "case", case["id"]) is None
    seen = as_seen(
        company, "other_manager", "customer", customer["id"], "owner { id } cases { nodes { id owner { id } } }"
    )
    other = {"id": company.users["other_manager"]}
    assert seen == {"owner": other, "cases": {"nodes": [{"id": case["id"], "owner": other}]}}


# Cursors (P13)


def test_a_cursor_of_one_person_opens_for_nobody_else(company: Company, world: dict[str, Any]) -> None:
    company.new_case(world["customer"]["id"])
    document = "query($a: String) { cases(first: 1, after: $a) { nodes { id } pageInfo { endCursor } } }"
    cursor = company.data("manager", document)["cases"]["pageInfo"]["endCursor"]
    assert company.data("manager", document, a=cursor)["cases"]["nodes"]
    for person in ("agent", "supervisor", "clerk", "compliance", "auditor", "other_manager", "admin"):
        answer = company.ask(person, document, a=cursor)
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"
        assert answer["data"] is None


# The door (P4)

SIGN_OUT = "mutation { signOut { done } }"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "",
        "application/jsonp",
    ],
)
def test_only_json_reaches_the_schema(company: Company, stores: Stores, content_type: str) -> None:
    """What a form of another site could send changes nothing, cookies or not."""
    before = stores.everything()
    given = {
        "query": 'mutation { createCustomer(input: {kind: PERSON, name: "甲", channels: []}) { customer { id } } }'
    }
    answer = httpx.post(
        f"{company.url}/graphql", content=httpx.Request("POST", company.url, json=given).content,
        headers={**company.headers("manager"), "content-type": content_type},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert stores.everything() == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_no_other_method_changes_anything(company: Company, method: str) -> None:
    name, _ = employed(company, ["CLERK"])
    assert company.data(name, "{ viewer { id } }")
    answer = httpx.request(method, f"{company.url}/graphql", params={"query": SIGN_OUT}, headers=company.headers(name))
    assert b"done" not in answer.content
    assert company.data(name, "{ viewer { id } }")["viewer"], "the session goes on"
