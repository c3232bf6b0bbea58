"""An attacker with a clerk's rights looks for what is hidden from them on every surface there is (P12, P13, B1).

Each hidden value is a canary that stands nowhere else. Money is HIDDEN from a clerk, identity BLIND, what colleagues
say among themselves HIDDEN; the canaries are looked for in whatever comes back, headers, cursors and errors included.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import pytest

from tests.fixtures.company import Company, dumped
from tests.graphql.conftest import Stores, assigned, new_id_card, step
from tests.graphql.sockets import Client, say

CUSTOMER = """id name relation tags version dateOfBirth identityNumbers { kind value verified } bankAccounts { bank number holder }
    attributes { key value visibility } maskedFields { field visibility }"""
CASE = """id number title state disputedAmount attributes { key value } maskedFields { field visibility }
    events(first: 20, newestFirst: true) { totalCount nodes { id layer text internalText } }"""


@pytest.fixture(scope="module")
def hidden(company: Company) -> dict[str, Any]:
    """A customer and a case with canaries in everything that a clerk may not see; they were changed twice, so that
    there are earlier states with canaries of their own.
    """
    stamp = time.time_ns()
    card, birth = new_id_card(), "1961-02-13"
    banks, notes = ([f"{what}{stamp}{n}" for n in range(2)] for what in ("银行鳄", "密谈鲸"))
    amounts = [f"{71_000_000 + stamp % 1_000_000 + n}.17" for n in range(2)]
    customer = company.new_customer(
        kind="PERSON", name=f"雁栖{stamp}", dateOfBirth=birth, identityNumbers=[{"kind": "ID_CARD", "value": card}],
        bankAccounts=[{"bank": banks[0], "number": "6217000012345678909", "holder": "鲁班"}],
    )  # fmt: skip
    customer = company.change(
        "manager", "updateCustomer", "customer { id version }", id=customer["id"], version=customer["version"],
        bankAccounts=[{"bank": banks[1], "number": "6228480012345678904", "holder": "鲁班"}],
    )  # fmt: skip
    case = assigned(company, customer["id"], "agent", title=f"雁栖{stamp}漏水", disputedAmount=amounts[0])
    case = step(company, case, "manager", "updateCase", disputedAmount=amounts[1])
    for note in notes:
        company.change(
            "agent", "recordCaseStep", "case { id }", id=case["id"], kind="INTERNAL_NOTE", text=f"{note} 可以让步"
        )
    canaries = [
        card, birth, "6217000012345678909", "6228480012345678904", "鲁班", *banks, *amounts, *notes,
        "可以让步",
    ]  # fmt: skip
    return {
        "customer": customer, "case": case, "card": card, "birth": birth, "banks": banks, "amounts": amounts, "notes": notes,
        "canaries": canaries, "word": f"雁栖{stamp}",
    }  # fmt: skip


def _looked(company: Company, person: str, document: str, **variables: Any) -> tuple[Any, str]:
    """An answer, and everything of it that could tell something, decoded where it is in some form of base64."""
    body = {"query": document, "variables": variables}
    answer = company.client.post(f"{company.url}/graphql", json=body, headers=company.headers(person))
    found = answer.json()
    return found, f"{answer.status_code} {dict(answer.headers)} {dumped(found)} {_decoded(found)}"


def _decoded(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(_decoded(item) for item in value.values())
    if isinstance(value, list):
        return " ".join(_decoded(item) for item in value)
    if not isinstance(value, str) or len(value) < 20:
        return ""
    try:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("utf-8", "replace")
    except ValueError:
        return ""


def _nothing(hidden: dict[str, Any], *texts: str, but: str = "") -> None:
    for text in texts:
        for canary in hidden["canaries"]:
            if canary != but:
                assert canary not in text, canary


def test_the_canaries_are_there_for_whoever_may_see_them(company: Company, hidden: dict[str, Any]) -> None:
    """Otherwise the other tests would find nothing anywhere."""
    company.eventually(lambda: _hits(company, "agent", hidden["notes"][1]) == 1)
    _, text = _looked(
        company, "supervisor", f"query($i: ID!) {{ customer(id: $i) {{ {CUSTOMER} }} }}", i=hidden["customer"]["id"]
    )
    assert hidden["banks"][1] in text
    _, text = _looked(company, "supervisor", f"query($i: ID!) {{ case(id: $i) {{ {CASE} }} }}", i=hidden["case"]["id"])
    assert all(canary in text for canary in (hidden["amounts"][1], *hidden["notes"]))


def _hits(company: Company, person: str, query: str) -> int:
    return int(
        company.data(person, "query($q: String!) { searchCases(query: $q) { totalCount } }", q=query)["searchCases"][
            "totalCount"
        ]
    )


@pytest.mark.parametrize("order", ["CREATED_AT_DESC", "CREATED_AT_ASC", "UPDATED_AT_DESC", "UPDATED_AT_ASC"])
def test_lists_in_every_order_with_their_cursors_and_history(
    company: Company, hidden: dict[str, Any], order: str
) -> None:
    document = f"""query($o: CustomerOrder) {{ customers(first: 4, orderBy: $o) {{ totalCount pageInfo {{ startCursor endCursor }}
        edges {{ cursor node {{ {CUSTOMER} revisions(first: 3) {{ edges {{ cursor node {{ version customer {{ {CUSTOMER} }} }} }} }} }} }} }} }}"""
    found, text = _looked(company, "clerk", document, o=order)
    assert "errors" not in found
    _nothing(hidden, text)


def test_one_record_by_every_way_and_its_earlier_states(company: Company, hidden: dict[str, Any]) -> None:
    document = f"""query($c: ID!, $k: ID!) {{ node(id: $c) {{ ... on Customer {{ {CUSTOMER} }} }}
        customer(id: $c) {{ {CUSTOMER} revisions(first: 10) {{ nodes {{ customer {{ {CUSTOMER} }} }} }} cases {{ nodes {{ {CASE} }} }} }}
        case(id: $k) {{ {CASE} customer {{ {CUSTOMER} }} }} cases(first: 5) {{ edges {{ cursor node {{ {CASE} }} }} }} }}"""
    found, text = _looked(company, "clerk", document, c=hidden["customer"]["id"], k=hidden["case"]["id"])
    assert "errors" not in found
    assert hidden["word"] in text
    _nothing(hidden, text)
    # Of the history the clerk counts what they see, and an internal event is nothing to them by its id either.
    events = found["data"]["case"]["events"]
    assert events["totalCount"] == len(events["nodes"])
    assert {event["layer"] for event in events["nodes"]} <= {"WITH_CUSTOMER", "FROM_CUSTOMER"}
    document = f"query($i: ID!) {{ case(id: $i) {{ {CASE} }} }}"
    everything = company.data("agent", document, i=hidden["case"]["id"])["case"]["events"]["nodes"]
    internal = next(event["id"] for event in everything if event["layer"] == "INTERNAL")
    there, _ = _looked(company, "clerk", "query($i: ID!) { node(id: $i) { id } }", i=internal)
    absent, _ = _looked(company, "clerk", "query($i: ID!) { node(id: $i) { id } }", i=internal[:-2] + "00")
    assert there["data"] == absent["data"] == {"node": None}


def test_search_its_totals_facets_order_and_highlights(company: Company, hidden: dict[str, Any]) -> None:
    document = """query($q: String!, $o: CaseSearchOrder!) { searchCases(query: $q, orderBy: $o) { totalCount facets { field counts { value count } }
        edges { cursor node { id } highlights { field parts { text } } } } }"""
    company.eventually(lambda: _hits(company, "clerk", hidden["word"]) == 1)
    for order in ("RELEVANCE", "RAISED_AT_DESC", "RAISED_AT_ASC", "UPDATED_AT_DESC", "UPDATED_AT_ASC"):
        found, text = _looked(company, "clerk", document, q=hidden["word"], o=order)
        assert found["data"]["searchCases"]["totalCount"] == 1
        _nothing(hidden, text)
        # What stands in a hidden text, and a number that is a hidden field, find as little as what is nowhere.
        missing, _ = _looked(company, "clerk", document, q="没有这样的词", o=order)
        for canary in (*hidden["notes"], *hidden["amounts"], *hidden["banks"], "可以让步", "鲁班", hidden["card"]):
            found, _ = _looked(company, "clerk", document, q=canary, o=order)
            for answer in (found, missing):
                answer["extensions"] = {}
            assert found == missing, canary
        together, _ = _looked(company, "clerk", document, q=f"{hidden['word']} {hidden['notes'][0]}", o=order)
        assert together["data"]["searchCases"]["totalCount"] == 0


def test_changes_that_are_refused_tell_nothing(company: Company, hidden: dict[str, Any]) -> None:
    """Whether the value sent is the stored one or another, the answer to whoever may not see it is the same."""
    returns = f"customer {{ {CUSTOMER} }}"
    document = f"mutation($i: UpdateCustomerInput!) {{ updateCustomer(input: $i) {{ {returns} userErrors {{ code field message }} }} }}"
    given = {"id": hidden["customer"]["id"], "version": hidden["customer"]["version"]}
    for right, wrong in (
        ({"bankAccounts": [{"bank": hidden["banks"][1], "number": "6228480012345678904", "holder": "鲁班"}]}, {"bankAccounts": [{"bank": "x", "number": "6228480012345678904"}]}),
        ({"dateOfBirth": hidden["birth"]}, {"dateOfBirth": "1999-09-09"}),
        ({"dateOfBirth": hidden["birth"]}, {"dateOfBirth": None}),
        ({"identityNumbers": [{"kind": "ID_CARD", "value": hidden["card"]}]}, {"identityNumbers": []}),
    ):  # fmt: skip
        answers = []
        for values in (right, wrong):
            found, text = _looked(company, "clerk", document, i={**given, **values})
            _nothing(hidden, text)
            answers.append(found["data"])
        assert answers[0] == answers[1]
        assert answers[0]["updateCustomer"]["userErrors"][0]["code"] == "FIELD_NOT_EDITABLE"
    # A change that is allowed shows the record by the same masks.
    found, text = _looked(company, "clerk", document, i={**given, "tags": ["雁"]})
    assert found["data"]["updateCustomer"]["userErrors"] == []
    _nothing(hidden, text)


def test_an_error_repeats_no_value(company: Company, hidden: dict[str, Any]) -> None:
    """Not even the attacker's own guess comes back, which would stand in logs and screens from then on."""
    wrong = [
        ("createCustomer", {"kind": "PERSON", "name": "", "channels": [{"kind": "PHONE", "value": f"x{hidden['card']}"}],
                            "owner": company.users["manager"], "dateOfBirth": f"{hidden['birth']}x"}),
        ("updateCustomer", {"id": hidden["customer"]["id"], "version": 0, "tags": [hidden["card"]]}),
    ]  # fmt: skip
    for mutation, values in wrong:
        kind = f"{mutation[0].upper()}{mutation[1:]}Input"
        document = f"mutation($i: {kind}!) {{ {mutation}(input: $i) {{ userErrors {{ code field message }} }} }}"
        found, text = _looked(company, "clerk", document, i=values)
        assert found["data"][mutation]["userErrors"]
        _nothing(hidden, text)
    for document in (
        f'{{ customers(after: "{hidden["card"]}") {{ nodes {{ id }} }} }}',
        f'{{ searchCases(query: "\\"{hidden["card"]}") {{ totalCount }} }}',
        f'{{ customers(filter: {{dateOfBirth: "{hidden["birth"]}"}}) {{ nodes {{ id }} }} }}',
    ):
        found, _ = _looked(company, "clerk", document)
        assert found["errors"]
        _nothing(hidden, " ".join(error["message"] + dumped(error["extensions"]) for error in found["errors"]))


def test_the_journal_holds_no_value_for_whoever_reads_it(
    company: Company, stores: Stores, hidden: dict[str, Any]
) -> None:
    records = [hidden["customer"]["id"], hidden["case"]["id"]]
    document = "query($r: ID!) { auditEntries(filter: {record: $r}, first: 100) { edges { cursor node { id action records reason details } } } }"
    for record in records:
        for person in ("auditor", "compliance"):
            found, text = _looked(company, person, document, r=record)
            assert len(found["data"]["auditEntries"]["edges"]) > 2
            _nothing(hidden, text)
    # And in none of this module's entries, lookups and refusals included, as they are stored.
    for entry in stores.find("journal", {}, sort=[("_id", -1)], limit=400):
        _nothing(hidden, json.dumps(json.loads(bytes(entry["entry"])), ensure_ascii=False))


def test_a_subscription_tells_no_more_than_a_query(company: Company, hidden: dict[str, Any]) -> None:
    document = f"subscription($i: ID!) {{ caseChanged(id: $i) {{ {CASE} customer {{ {CUSTOMER} }} }} }}"
    with Client(company, "clerk") as clerk:
        clerk.subscribe(document, i=hidden["case"]["id"])
        _nothing(hidden, dumped(clerk.data()))
        say(company, hidden["case"]["id"])
        _nothing(hidden, dumped(clerk.data()))


def test_files_answer_a_clerk_without_the_bytes(company: Company, hidden: dict[str, Any]) -> None:
    for record in (hidden["case"]["id"], hidden["customer"]["id"], "evd_01jdm2000000000000000000aa"):
        answer = httpx.get(f"{company.url}/files/{record}", headers=company.headers("clerk"))
        assert answer.status_code == 404
        _nothing(hidden, str(answer.headers) + answer.text)


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ('{ customers(filter: {dateOfBirth: "V"}) { nodes { id } } }', {}),
        ('{ customers(first: "V") { nodes { id } } }', {}),
        ('{ cases(orderBy: "V") { nodes { id } } }', {}),
        ('{ customers "V" { nodes { id } } }', {}),
        ("query($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }", {"f": {"phone": "V"}}),
        ("query($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }", {"f": {"phone": {"starts": "V"}}}),
        ("query($n: Int) { customers(first: $n) { nodes { id } } }", {"n": "V"}),
        ("query($o: CustomerOrder) { customers(orderBy: $o) { nodes { id } } }", {"o": "V"}),
    ],
)
def test_what_is_wrong_with_a_document_is_told_without_its_values(
    company: Company, document: str, variables: dict[str, Any]
) -> None:
    secret = "秘密13812349876"
    given = json.loads(json.dumps(variables).replace("V", secret))
    found, _ = _looked(company, "clerk", document.replace("V", secret), **given)
    assert found["errors"]
    assert secret not in dumped(found["errors"])
    assert all(error["message"] for error in found["errors"])
