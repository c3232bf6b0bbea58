"""Accounts and sessions: enabling again, signing out of one or all, one change for one key (P10, P14)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.company import PASSWORD, PEOPLE, Company, dumped
from tests.graphql.conftest import Stores, as_seen, employed, lives, signed_in


def test_a_disabled_user_is_enabled_again(company: Company, stores: Stores) -> None:
    name, user = employed(company, ["CLERK"])
    before = signed_in(company, name)
    disabled = company.change("admin", "disableUser", "user { version }", id=user["id"], version=user["version"])
    assert signed_in(company, name) is None
    enabled = company.change(
        "admin", "updateUser", "user { state version }", id=user["id"], version=disabled["version"], state="ACTIVE"
    )
    assert enabled["state"] == "ACTIVE"
    assert lives(company, signed_in(company, name))
    assert not lives(company, before), "sessions that were ended stay ended"
    # The other way works as disableUser does.
    token = signed_in(company, name)
    company.change("admin", "updateUser", "user { id }", id=user["id"], version=enabled["version"], state="DISABLED")
    assert not lives(company, token)
    # Nobody's state is cleared, and the last administrator keeps theirs.
    document = "mutation($i: UpdateUserInput!) { updateUser(input: $i) { userErrors { code field } } }"
    given = {"id": user["id"], "version": enabled["version"] + 1, "state": None}
    assert company.data("admin", document, i=given)["updateUser"]["userErrors"] == [
        {"code": "REQUIRED", "field": "state"}
    ]
    admin = stores.one("users", company.users["admin"])
    given = {"id": admin["_id"], "version": admin["version"], "state": "DISABLED"}
    assert company.data("admin", document, i=given)["updateUser"]["userErrors"] == [
        {"code": "VALIDATION", "field": "state"}
    ]


@pytest.mark.parametrize("document", [
    "mutation { signOut { done userErrors { code } } }",
    "mutation { signOut(input: {}) { done userErrors { code } } }",
    "mutation { signOut(input: {everywhere: false}) { done userErrors { code } } }",
    "mutation { signOut(input: {everywhere: true}) { done userErrors { code } } }",
])  # fmt: skip
def test_signing_out_ends_this_session_or_all(company: Company, document: str) -> None:
    name, _ = employed(company, ["CLERK"])
    mine, others = signed_in(company, name), signed_in(company, name)
    assert lives(company, mine)
    assert lives(company, others)
    headers = {"authorization": f"Bearer {mine}"}
    answer = company.client.post(f"{company.url}/graphql", json={"query": document}, headers=headers).json()
    assert answer["data"] == {"signOut": {"done": True, "userErrors": []}}
    assert "errors" not in answer
    assert not lives(company, mine)
    assert lives(company, others) == ("true" not in document)


def test_a_password_is_changed_once_for_one_key(company: Company, stores: Stores) -> None:
    name, user = employed(company, ["CLERK"])
    company.token(name)
    new = f"{PASSWORD} 新"
    change = {"currentPassword": PASSWORD, "newPassword": new, "idempotencyKey": f"key-{name}"}
    document = "mutation($i: ChangePasswordInput!) { changePassword(input: $i) { done userErrors { code field } } }"
    assert company.data(name, document, i=change)["changePassword"] == {"done": True, "userErrors": []}
    others = signed_in(company, name, new)
    changed = stores.one("users", user["id"])
    # When the answer was lost and the client sends the same again
    again = company.data(name, document, i=change)["changePassword"]
    # Then it is told the same, and nothing happens again: neither to the password nor to newer sessions
    assert again == {"done": True, "userErrors": []}
    assert stores.one("users", user["id"]) == changed
    assert lives(company, others)
    entries = stores.find("journal", {"facets.action": "user.change_password", "facets.actor": user["id"]})
    assert len(entries) == 1
    # Another password under this key is no repeat.
    other = company.data(name, document, i={**change, "newPassword": f"{new} 新"})["changePassword"]
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_MISMATCH", "field": "idempotencyKey"}]
    for secret in (PASSWORD, new):
        assert secret.encode() not in bytes(entries[0]["entry"])


ACCOUNT = "email roles locale state version createdAt updatedAt"
BRIEF = dict.fromkeys(ACCOUNT.split())


@pytest.mark.parametrize("person", PEOPLE)
def test_more_than_who_and_where_somebody_is_is_told_to_whom_may_list_them(company: Company, person: str) -> None:
    """By id, through relations and in lists alike."""
    _, roles, department = PEOPLE[person]
    for other, (name, _, where) in PEOPLE.items():
        may = (
            person == other
            or bool({"SUPERVISOR", "COMPLIANCE", "ADMIN"} & set(roles))
            or (department is not None and department == where and "AUDITOR" not in roles)
        )
        document = f"query($i: ID!) {{ node(id: $i) {{ ... on User {{ id name department {{ id }} {ACCOUNT} }} }} }}"
        seen = company.data(person, document, i=company.users[other])["node"]
        assert (seen["id"], seen["name"]) == (company.users[other], name)
        assert seen["department"] == ({"id": company.departments[where]} if where else None)
        shown = {field: seen[field] for field in BRIEF}
        assert all(shown.values()) if may else shown == BRIEF, (person, other)
        if may:
            assert seen["email"] == f"{other}@example.com"


def test_a_relation_shows_no_more_of_a_user_than_their_id_does(company: Company, world: dict[str, Any]) -> None:
    fields = f"owner {{ name {ACCOUNT} }} assignee {{ name {ACCOUNT} }} events {{ nodes {{ by {{ name email }} }} }}"
    seen = as_seen(company, "auditor", "case", world["case"]["id"], fields)
    assert seen["owner"] == {"name": "陈思雨", **BRIEF}
    assert seen["assignee"] == {"name": "吴浩然", **BRIEF}
    assert "@" not in dumped(seen)
    assert as_seen(company, "clerk", "case", world["case"]["id"], fields)["owner"]["email"] == "manager@example.com"


def test_whoever_signs_in_sees_their_own_account(company: Company) -> None:
    document = "mutation($i: SignInInput!) { signIn(input: $i) { session { user { email roles } refreshToken } } }"
    answer = company.ask(None, document, i={"email": "auditor@example.com", "password": PASSWORD})
    session = answer["data"]["signIn"]["session"]
    assert session["user"] == {"email": "auditor@example.com", "roles": ["AUDITOR"]}
    document = "mutation($i: RefreshSessionInput!) { refreshSession(input: $i) { session { user { email } } } }"
    answer = company.ask(None, document, i={"refreshToken": session["refreshToken"]})
    assert answer["data"]["refreshSession"]["session"]["user"] == {"email": "auditor@example.com"}
