"""Who may do what, role by role, from the attacker's side, with a look into the stores that nothing changed.

P4 (no state change but by JSON), P6 (ids), P12, P15, R68–R69, B2 (blind lookup); design "Who sees what".
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from service.clock import new_id
from tests.fixtures.company import ROLES, Company, dumped
from tests.graphql.conftest import FIND, Stores, as_seen

LABEL = {"zh": "标准", "en": "Standard"}


# Roles. Each attempt is also wrong in itself (a stale version, an empty text), so that nobody's changes anything:
# "+" gets as far as that mistake, "-" is NOT_PERMITTED, "0" finds nothing there.
#                     agent manager supervisor clerk compliance auditor admin
MATRIX = """
createCustomer        -     +       +          +     -          -       -
updateCustomer        -     +       +          +     -          -       0
assignCustomer        -     -       +          -     -          -       0
raiseCase             +     +       +          +     -          -       0
updateCase            +     +       +          -     -          -       0
assignCase            -     -       +          -     -          -       0
MEASURE               +     -       -          -     -          -       0
COMMUNICATION         +     +       +          -     -          -       0
INTERNAL_NOTE         +     +       +          -     -          -       0
CUSTOMER_FEEDBACK     -     +       -          -     -          -       0
closeCase             -     +       -          -     -          -       0
reviewCase            -     -       +          -     -          -       0
archiveCase           -     -       +          -     +          -       0
createEvidence        +     +       -          +     -          -       0
withdrawEvidence      -     -       +          +     -          -       0
createUser            -     -       -          -     -          -       +
updateUser            -     -       -          -     -          -       +
disableUser           -     -       -          -     -          -       +
publishTemplate       -     -       -          -     -          -       +
revealField           -     -       -          -     +          +       -
acknowledgeAlert      -     -       -          -     0          -       -
unlockUser            -     -       -          -     +          -       -
"""
CELLS = [
    (line.split()[0], person, cell)
    for line in MATRIX.strip().splitlines()
    for person, cell in zip(ROLES, line.split()[1:], strict=True)
]


def _attempt_of(row: str, company: Company, world: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Mutation, what it returns, and an input that is wrong in a way of its own."""
    customer, case, evidence = (world[name]["id"] for name in ("customer", "case", "evidence"))
    users, stale = company.users, {"version": 0}
    on_customer, on_case = {"id": customer, **stale}, {"id": case, **stale}
    if row in ("MEASURE", "CUSTOMER_FEEDBACK"):
        return "recordCaseStep", "case { id }", {**on_case, "kind": row, "text": "电话", "satisfaction": 5}
    if row in ("COMMUNICATION", "INTERNAL_NOTE"):
        return "recordCaseStep", "case { id }", {"id": case, "kind": row, "text": "", "direction": "TO_CUSTOMER"}
    inputs: dict[str, tuple[str, dict[str, Any]]] = {
        "createCustomer": ("customer", {"kind": "PERSON", "name": "", "channels": [], "owner": users["manager"]}),
        "updateCustomer": ("customer", {**on_customer, "tags": ["x"]}),
        "assignCustomer": ("customer", {**on_customer, "owner": users["other_manager"]}),
        "raiseCase": ("case", {"customer": customer, "category": "damaged_goods", "title": "", "description": ""}),
        "updateCase": ("case", {**on_case, "title": "新标题"}),
        "assignCase": ("case", {**on_case, "assignee": users["other_agent"]}),
        "closeCase": ("case", {**on_case, "resolution": "完成"}),
        "reviewCase": ("case", {**on_case, "decision": "APPROVE", "opinion": "好"}),
        "archiveCase": ("case", on_case),
        "createEvidence": ("evidence", {"case": case, "kind": "OTHER", "fileName": "x.pdf", "mediaType": "application/pdf", "size": 0}),
        "withdrawEvidence": ("evidence", {"id": evidence, **stale, "reason": "放错了"}),
        "createUser": ("user", {"email": "nobody", "name": "某人", "roles": ["ADMIN"]}),
        "updateUser": ("user", {"id": users["agent"], **stale, "roles": ["ADMIN"]}),
        "disableUser": ("user", {"id": users["agent"], **stale}),
        "revealField": ("revealed", {"id": customer, "field": "identityNumbers", "reason": ""}),
        "acknowledgeAlert": ("alert", {"id": new_id("alr"), **stale, "note": "误报"}),
        "unlockUser": ("user", {"id": users["agent"], **stale, "reason": "误报,已核实"}),
        "publishTemplate": ("template", {"of": "CASE", "key": "NOT A KEY", "label": LABEL, "fields": []}),
    }  # fmt: skip
    returned, values = inputs[row]
    return row, f"{returned} {{ {'record' if returned == 'revealed' else 'id'} }}", values


@pytest.mark.parametrize(("row", "person", "cell"), CELLS, ids=[f"{row}-{person}" for row, person, _ in CELLS])
def test_each_role_may_do_what_the_matrix_says_and_nothing_changes(
    company: Company, stores: Stores, world: dict[str, Any], row: str, person: str, cell: str
) -> None:
    """P15: a refusal changes nothing and is written down (R69)."""
    mutation, returns, values = _attempt_of(row, company, world)
    before, refusals = stores.everything(), stores.refusals(company.users[person])
    if cell == "-":
        assert company.refused(person, mutation, returns, **values) == "NOT_PERMITTED"
        newest, *_ = stores.refusals(company.users[person])
        assert newest not in refusals
        assert newest["details"]["steps"]
        assert newest["actor"] == company.users[person]
    else:
        payload = company.attempt(person, mutation, returns, **values)
        codes = {error["code"] for error in payload["userErrors"]}
        assert codes
        assert ("NOT_FOUND" in codes) == (cell == "0"), codes
        assert stores.refusals(company.users[person]) == refusals
    assert stores.everything() == before


def test_nobody_signed_in_may_do_anything(company: Company, stores: Stores, world: dict[str, Any]) -> None:
    before = stores.everything()
    for row in MATRIX.split("\n"):
        if not row:
            continue
        mutation, returns, values = _attempt_of(row.split()[0], company, world)
        kind = f"{mutation[0].upper()}{mutation[1:]}Input"
        document = f"mutation($i: {kind}!) {{ {mutation}(input: $i) {{ {returns} userErrors {{ code }} }} }}"
        answer = company.ask(None, document, i=values)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    for question in (
        "viewer",
        "departments",
        "caseTemplates",
        "customers { nodes",
        "auditEntries { nodes",
        "users { nodes",
    ):
        document = f"{{ {question} {{ id }} }}" + (" }" if "{" in question else "")
        assert company.ask(None, document)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert stores.everything() == before


def test_another_departments_people_change_nothing_and_learn_nothing(
    company: Company, stores: Stores, world: dict[str, Any]
) -> None:
    before = stores.everything()
    for person in ("other_agent", "other_manager", "other_supervisor", "other_clerk"):
        for row in ("updateCustomer", "assignCustomer", "raiseCase", "updateCase", "assignCase", "MEASURE", "closeCase",
                    "reviewCase", "archiveCase", "createEvidence", "withdrawEvidence"):  # fmt: skip
            mutation, returns, values = _attempt_of(row, company, world)
            payload = company.attempt(person, mutation, returns, **values)
            assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"], (person, row)
    assert stores.everything() == before


# Invisible is absent


@pytest.mark.parametrize(("name", "prefix"), [("customer", "cus"), ("case", "cas"), ("evidence", "evd")])
@pytest.mark.parametrize("person", ["other_manager", "other_clerk", "other_supervisor", "admin"])
def test_what_is_out_of_reach_answers_byte_for_byte_like_what_there_is_not(
    company: Company, world: dict[str, Any], person: str, name: str, prefix: str
) -> None:
    """P12: neither answer, nor status, nor length tells that it exists."""
    for question in (f"{name}(id: $i) {{ id }}", "node(id: $i) { __typename id }"):
        document = f"query($i: ID!) {{ {question} }}"
        answers = {
            re.sub(  # what is left of the minute falls with each question
                rb'"left":\d+',
                b"",
                company.client.post(
                    f"{company.url}/graphql",
                    json={"query": document, "variables": {"i": identifier}},
                    headers=company.headers(person),
                ).content,
            )
            for identifier in (world[name]["id"], new_id(prefix))
        }
        assert len(answers) == 1, answers
        assert b"null" in answers.pop()


def test_a_change_to_what_is_out_of_reach_is_like_one_to_nothing(company: Company, world: dict[str, Any]) -> None:
    there = company.attempt(
        "other_manager", "updateCustomer", "customer { id }", id=world["customer"]["id"], version=1, name="甲"
    )
    absent = company.attempt(
        "other_manager", "updateCustomer", "customer { id }", id=new_id("cus"), version=1, name="甲"
    )
    assert there == absent


def test_a_file_out_of_reach_is_like_none(company: Company, world: dict[str, Any]) -> None:
    answers = {
        (answer.status_code, answer.content)
        for answer in (
            httpx.get(f"{company.url}/files/{identifier}", headers=company.headers("other_agent"))
            for identifier in (world["evidence"]["id"], new_id("evd"), "nothing")
        )
    }
    assert len(answers) == 1


def test_lists_hold_only_what_is_within_reach(company: Company, world: dict[str, Any]) -> None:
    document = "{ customers(first: 200) { nodes { id } totalCount } cases(first: 200) { nodes { id } totalCount } }"
    for person in ("other_agent", "other_manager", "other_supervisor", "other_clerk", "admin"):
        found = company.data(person, document)
        assert world["customer"]["id"] not in dumped(found)
        assert world["case"]["id"] not in dumped(found)
    assert company.data("admin", document)["customers"] == {"nodes": [], "totalCount": 0}


# Ids (P6)


def test_a_node_is_always_of_its_ids_type(company: Company, world: dict[str, Any]) -> None:
    for name, kind in (("customer", "Customer"), ("case", "Case"), ("evidence", "Evidence")):
        found = company.data("supervisor", "query($i: ID!) { node(id: $i) { __typename id } }", i=world[name]["id"])
        assert found["node"] == {"__typename": kind, "id": world[name]["id"]}


def test_an_id_with_another_prefix_yields_nothing(company: Company, world: dict[str, Any]) -> None:
    suffix = world["customer"]["id"].partition("_")[2]
    for prefix in ("cas", "evd", "evt", "usr", "dep", "tpl", "jrn", "pag", "key", "pol", "job", "CUS", "", "cus_cus"):
        answer = company.ask("auditor", "query($i: ID!) { node(id: $i) { id } }", i=f"{prefix}_{suffix}")
        assert answer["data"]["node"] is None
        assert "errors" not in answer
    upper = company.ask("auditor", "query($i: ID!) { node(id: $i) { id } }", i=world["customer"]["id"].upper())
    assert upper["data"]["node"] is None


# What may be asked


def test_an_auditor_may_not_search_by_name(company: Company, stores: Stores) -> None:
    for query in ("欧阳", "没有这个人"):
        answer = company.ask("auditor", "query($q: String!) { customers(query: $q) { nodes { id } } }", q=query)
        assert answer["errors"][0]["extensions"]["code"] == "QUESTION_REFUSED"
        assert answer["data"] is None
    newest, *_ = stores.refusals(company.users["auditor"])
    assert newest["details"]["questions"]


def test_a_clerk_finds_by_the_whole_phone_and_not_by_a_part(
    company: Company, stores: Stores, world: dict[str, Any]
) -> None:
    """B2: the masked number is found by its full value; a prefix finds nothing; each lookup is written down."""
    phone = world["phone"]
    for typed in (phone, f"+86 {phone}", f"{phone[:3]} {phone[3:7]} {phone[7:]}"):
        found = company.data("clerk", FIND, f={"phone": {"eq": typed}})["customers"]
        assert [node["id"] for node in found["nodes"]] == [world["customer"]["id"]]
        assert found["nodes"][0]["channels"][0]["value"] == f"{phone[:3]}****{phone[-4:]}"
    for part in (phone[:10], phone[:7], phone[1:], f"{phone[:3]}****{phone[-4:]}", f"{phone[:10]}*", "", ".*"):
        found = company.data("clerk", FIND, f={"phone": {"eq": part}})["customers"]
        assert (found["nodes"], found["totalCount"]) == ([], 0)
    lookups = stores.find("journal", {"facets.action": "customer.lookup", "facets.actor": company.users["clerk"]})
    assert len(lookups) >= 10
    assert not any(phone.encode() in bytes(entry["entry"]) for entry in lookups)


def test_blind_lookup_reaches_no_further_than_the_rows(company: Company, world: dict[str, Any]) -> None:
    for person in ("other_clerk", "other_manager", "other_agent"):
        assert company.data(person, FIND, f={"phone": {"eq": world["phone"]}})["customers"]["nodes"] == []
    found = company.data("clerk", FIND, f={"idNumber": {"eq": world["card"]}})["customers"]
    assert len(found["nodes"]) == 1


def test_masked_fields_names_everything_that_is_not_shown_in_full(company: Company, world: dict[str, Any]) -> None:
    fields = "maskedFields { field visibility kind }"
    shown = {
        entry["field"]: entry["visibility"]
        for entry in as_seen(company, "clerk", "customer", world["customer"]["id"], fields)["maskedFields"]
    }
    assert shown == {
        "channels": "PARTIAL", "addresses": "PARTIAL", "contacts.phone": "PARTIAL", "contacts.email": "PARTIAL",
        "identityNumbers": "BLIND", "dateOfBirth": "BLIND", "bankAccounts": "HIDDEN",
        "attributes.wechat_group": "PARTIAL", "attributes.credit_limit": "HIDDEN", "attributes.payment_days": "HIDDEN",
        "attributes.memo": "PARTIAL",
    }  # fmt: skip
    full = as_seen(company, "manager", "customer", world["customer"]["id"], fields)["maskedFields"]
    assert {entry["visibility"] for entry in full} == {"PARTIAL"}
    assert len(full) == 2, "identity alone is masked for its owner"


@pytest.mark.parametrize("person", ["clerk", "auditor", "compliance", "agent"])
def test_no_spelling_of_a_question_shows_what_is_masked(company: Company, world: dict[str, Any], person: str) -> None:
    """Aliases, fragments, relations, lists and history all pass the same masks."""
    answer = company.data(
        person,
        """query($c: ID!, $k: ID!) {
             customer(id: $c) { ...C cases { nodes { customer { ...C } } } revisions { nodes { customer { ...C } } } }
             node(id: $c) { ... on Customer { again: identityNumbers { x: value } } }
             case(id: $k) { customer { ...C } }
             customers(first: 200) { nodes { ...C } edges { node { ...C } } } }
           fragment C on Customer { a: identityNumbers { v: value } bankAccounts { number } d: dateOfBirth }""",
        c=world["customer"]["id"], k=world["case"]["id"],
    )  # fmt: skip
    text = dumped(answer)
    for secret in (world["card"], "6200000000000000018", "1990-03-07"):
        assert secret not in text
