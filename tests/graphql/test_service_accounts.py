"""Programs with keys of their own, over HTTP: scoped, journalled, dead when revoked; and what guessers are told (P11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, employed, new_phone

ACCOUNT = "serviceAccount { id steps roles department { key } keys { id expiresAt lastUsedAt revokedAt } }"
CREATE = f"""mutation($i: CreateServiceAccountInput!) {{ createServiceAccount(input: $i) {{
  {ACCOUNT} key userErrors {{ code field }} }} }}"""
NEW_CUSTOMER = """mutation($i: CreateCustomerInput!) { createCustomer(input: $i) {
  customer { id name } userErrors { code field } } }"""


def made(company: Company, **values: Any) -> Any:
    given = {"name": "门户网站", "roles": ["SUPERVISOR"], "department": company.departments["east"], **values}
    payload = company.data("admin", CREATE, i=given)["createServiceAccount"]
    assert payload["userErrors"] == []
    return payload


def asked(company: Company, key: str, document: str, **variables: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "accept-language": "en"}
    body = {"query": document, "variables": variables}
    found: dict[str, Any] = httpx.post(f"{company.url}/graphql", json=body, headers=headers, timeout=30).json()
    return found


def code_of(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


def test_a_program_does_what_it_may_and_the_journal_names_it(
    company: Company, world: dict[str, Any], stores: Stores
) -> None:
    # Given a program that reads a department's cases and makes customers
    payload = made(company, steps=["customer.create"])
    key, account = payload["key"], payload["serviceAccount"]
    assert account["department"] == {"key": "east"}
    # Then it reads what its role reads
    seen = asked(company, key, "query($i: ID!) { case(id: $i) { id title } }", i=world["case"]["id"])
    assert seen["data"]["case"]["id"] == world["case"]["id"]
    assert asked(company, key, "{ viewer { id } }")["data"] == {"viewer": None}, "it is no colleague"
    # And makes a customer for somebody
    given = {
        "kind": "PERSON", "name": "程序录入", "channels": [{"kind": "PHONE", "value": new_phone()}],
        "attributes": [{"key": "industry", "value": "water"}], "owner": company.users["manager"],
    }  # fmt: skip
    answer = asked(company, key, NEW_CUSTOMER, i=given)
    assert answer["data"]["createCustomer"]["userErrors"] == [], answer
    entries = stores.find("journal", {"facets.actor": account["id"], "facets.action": "customer.create"})
    assert len(entries) == 1
    # But takes no other step, though its role may
    refused = asked(
        company, key, "mutation($i: AssignCaseInput!) { assignCase(input: $i) { userErrors { code } } }",
        i={"id": world["case"]["id"], "version": 1, "assignee": company.users["agent"]},
    )  # fmt: skip
    assert code_of(refused) == "NOT_PERMITTED"
    assert [entry["details"]["steps"] for entry in stores.refusals(account["id"])] == [["case.assign"]]
    # And is known by when it was used, until its key is revoked
    (own,) = [
        one
        for one in company.data("admin", f"{{ serviceAccounts(first: 200) {{ nodes {ACCOUNT[15:]} }} }}")[
            "serviceAccounts"
        ]["nodes"]
        if one["id"] == account["id"]
    ]
    assert own["keys"][0]["lastUsedAt"]
    company.change("admin", "revokeServiceKey", "serviceAccount { id }", key=own["keys"][0]["id"])
    assert code_of(asked(company, key, "{ departments { id } }")) == "UNAUTHENTICATED"


def test_a_key_is_told_once_for_one_idempotency_key(company: Company) -> None:
    name, _ = employed(company, ["CLERK"])
    first = made(company, idempotencyKey=f"svc-{name}")
    again = made(company, idempotencyKey=f"svc-{name}")
    assert first["key"].startswith("ak_")
    assert again["key"] is None
    assert again["serviceAccount"]["id"] == first["serviceAccount"]["id"]
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    document = f"mutation($i: CreateServiceKeyInput!) {{ createServiceKey(input: $i) {{ {ACCOUNT} key }} }}"
    second = company.data("admin", document, i={"id": first["serviceAccount"]["id"], "expiresAt": later})
    assert second["createServiceKey"]["key"] not in (None, first["key"])
    assert len(second["createServiceKey"]["serviceAccount"]["keys"]) == 2


@pytest.mark.parametrize("is_known", [True, False])
def test_aliases_of_one_document_are_guesses_one_by_one(company: Company, is_known: bool) -> None:
    """P11: five sign-ins in a document are five guesses; known and unknown accounts are told the same."""
    email = f"{employed(company, ['CLERK'])[0] if is_known else 'nobody.at.all'}@example.com"
    one = 'g%d: signIn(input: {email: "%s", password: "wrong"}) { session { accessToken } userErrors { code } }'
    document = "mutation {" + " ".join(one % (number, email) for number in range(5)) + "}"
    told = []
    for _ in range(3):
        answer = company.ask(None, document)
        for alias in (f"g{number}" for number in range(5)):
            guess = (answer.get("data") or {}).get(alias)
            told.append(guess["userErrors"][0]["code"] if guess else "THROTTLED")
        refusals = [error["extensions"]["code"] for error in answer.get("errors", ())]
        assert set(refusals) <= {"THROTTLED"}
    assert told == ["INVALID_CREDENTIALS"] * 10 + ["THROTTLED"] * 5
