"""What no two records may share, of customers and of cases; who is told, and what is written down (B2)."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.company import Company, dumped
from tests.graphql.conftest import Stores, as_seen, new_id_card, new_phone, problems

LABEL = {"zh": "唯一", "en": "Unique"}
FIELDS = [
    {"key": "claim_number", "type": "TEXT", "label": LABEL, "sensitivity": "NARRATIVE", "unique": True},
    {"key": "ledger_account", "type": "TEXT", "label": LABEL, "sensitivity": "FINANCIAL", "unique": True},
]
PHONE = [{"kind": "PHONE", "value": "0512-62881234"}]


@pytest.fixture(scope="module")
def templates(company: Company) -> None:
    """Templates of customers and cases, both with key `unique` and the same unique fields."""
    category = [{"key": "damaged_goods", "label": LABEL}]
    given: dict[str, Any] = {"key": "unique", "label": LABEL, "fields": FIELDS}
    company.change("admin", "publishTemplate", "template { id }", of="CUSTOMER", **given)
    company.change("admin", "publishTemplate", "template { id }", of="CASE", categories=category, **given)


def _new_number() -> str:
    return f"N-{time.time_ns()}"


def _attributes(key: str, value: str | None) -> dict[str, Any]:
    return {"attributes": [{"key": key, "value": value}]}


def _raised(customer: str, value: str) -> dict[str, Any]:
    return {
        "customer": customer, "title": "漏水", "description": "换货", "category": "damaged_goods", "template": "unique",
        **_attributes("claim_number", value),
    }  # fmt: skip


def test_a_unique_field_of_a_case_is_unique(company: Company, stores: Stores, templates: None) -> None:
    customer, number = company.new_customer()["id"], _new_number()
    first = company.change("manager", "raiseCase", "case { id version }", **_raised(customer, number))
    second = company.change("manager", "raiseCase", "case { id version }", **_raised(customer, _new_number()))
    before = stores.everything()
    # Neither a new case nor an edited one gets it too
    assert problems(company, "manager", "raiseCase", **_raised(customer, number)) == [
        ("DUPLICATE", "attributes.claim_number")
    ]
    edit = {"id": second["id"], "version": second["version"]}
    assert problems(company, "manager", "updateCase", **edit, **_attributes("claim_number", number)) == [
        ("DUPLICATE", "attributes.claim_number")
    ]
    assert stores.everything() == before
    # Its own case may keep it through other edits, and what is given up is free
    edit = {"id": first["id"], "version": first["version"]}
    kept = company.change("manager", "updateCase", "case { id version }", **edit, title="新标题")
    cleared = {"id": first["id"], "version": kept["version"], **_attributes("claim_number", None)}
    company.change("manager", "updateCase", "case { id }", **cleared)
    assert "unique" not in stores.one("cases", first["id"])
    company.change("manager", "raiseCase", "case { id }", **_raised(customer, number))


def test_a_case_and_a_customer_may_have_the_same(company: Company, templates: None) -> None:
    customer, number = company.new_customer()["id"], _new_number()
    company.change("manager", "raiseCase", "case { id }", **_raised(customer, number))
    company.new_customer(template="unique", **_attributes("claim_number", number))


def test_of_concurrent_cases_with_one_unique_value_exactly_one_is_raised(company: Company, templates: None) -> None:
    customers, number = [company.new_customer()["id"] for _ in range(6)], _new_number()
    company.token("manager")
    with ThreadPoolExecutor(6) as threads:
        payloads = list(
            threads.map(
                lambda c: company.attempt("manager", "raiseCase", "case { id }", **_raised(c, number)), customers
            )
        )
    assert len([payload for payload in payloads if payload["case"]]) == 1
    told = [(e["code"], e["field"]) for payload in payloads for e in payload["userErrors"]]
    assert told == [("DUPLICATE", "attributes.claim_number")] * 5


@pytest.mark.parametrize("what", ["a new customer", "an edited customer", "a new case"])
def test_who_is_told_of_a_duplicate_looked_it_up(company: Company, stores: Stores, templates: None, what: str) -> None:
    """B2: DUPLICATE tells that somebody has the value, as a blind lookup does: it is an entry."""
    card, number = new_id_card(), _new_number()
    numbers = {"identityNumbers": [{"kind": "ID_CARD", "value": card}]}
    company.new_customer("other_manager", kind="PERSON", **numbers)
    other = company.new_customer()
    company.change("manager", "raiseCase", "case { id }", **_raised(other["id"], number))
    if what == "a new customer":
        given = {"kind": "PERSON", "name": "探", "channels": PHONE, "template": "unique", **numbers}
        found = problems(company, "manager", "createCustomer", **given)
    elif what == "an edited customer":
        found = problems(company, "manager", "updateCustomer", id=other["id"], version=1, **numbers)
    else:
        found = problems(company, "manager", "raiseCase", **_raised(other["id"], number))
    ((code, field),) = found
    assert code == "DUPLICATE"
    action = "case.lookup" if what == "a new case" else "customer.lookup"
    (entry,) = stores.find("journal", {"facets.action": action}, sort=[("_id", -1)], limit=1)
    told = json.loads(bytes(entry["entry"]))
    assert (told["actor"], told["details"]) == (
        company.users["manager"],
        {"fields": [field], "outcome": "DUPLICATE"},
    )
    assert card not in dumped(told)
    assert number not in dumped(told)


def test_a_hidden_duplicate_stops_no_later_edit(company: Company, stores: Stores, templates: None) -> None:
    # Given a value that a clerk, who may not know of it, stored a second time
    account = _new_number()
    company.new_customer(template="unique", **_attributes("ledger_account", account))
    double = company.new_customer(
        "clerk", template="unique", owner=company.users["manager"], **_attributes("ledger_account", account)
    )
    assert stores.find("duplicates", {"customer": double["id"]})
    assert "unique" not in stores.one("customers", double["id"])
    # When its owner, who may know, edits something else, or sends the value along as it is, then that is stored
    edited = company.change(
        "manager", "updateCustomer", "customer { version tags }", id=double["id"], version=1, tags=["重点"]
    )
    assert edited == {"version": 2, "tags": ["重点"]}
    same = {"id": double["id"], "version": 2, "tags": ["普通"], **_attributes("ledger_account", account)}
    assert company.change("manager", "updateCustomer", "customer { version }", **same)["version"] == 3
    assert len(stores.find("duplicates", {"customer": double["id"]})) == 1
    # And a new value is claimed, and looked up, as ever
    free, other = _new_number(), _new_number()
    company.new_customer(template="unique", **_attributes("ledger_account", other))
    given = {"id": double["id"], "version": 3}
    assert problems(company, "manager", "updateCustomer", **given, **_attributes("ledger_account", other)) == [
        ("DUPLICATE", "attributes.ledger_account")
    ]
    company.change("manager", "updateCustomer", "customer { id }", **given, **_attributes("ledger_account", free))
    assert len(stores.one("customers", double["id"])["unique"]) == 1


def test_an_update_that_changes_nothing_leaves_version_and_record_alone(company: Company, stores: Stores) -> None:
    phone, card = new_phone(), new_id_card()
    values: dict[str, Any] = {
        "name": "未变水务有限公司", "kind": "PERSON", "tags": ["重点"],
        "channels": [{"kind": "PHONE", "value": phone, "label": "手机"}],
        "identityNumbers": [{"kind": "ID_CARD", "value": card}],
        "contacts": [{"name": "钱小姐", "title": "采购", "phone": "13812341234"}],
        "attributes": [{"key": "industry", "value": "water"}],
    }  # fmt: skip
    customer = company.new_customer(**values)
    before = stores.everything()
    found = company.change(
        "manager",
        "updateCustomer",
        "customer { id version name }",
        id=customer["id"],
        version=1,
        addresses=[],
        **values,
    )
    assert found == {"id": customer["id"], "version": 1, "name": "未变水务有限公司"}
    assert stores.everything() == before


def test_a_number_that_stays_keeps_when_and_by_whom_it_was_verified(company: Company) -> None:
    card = new_id_card()
    customer = company.new_customer(kind="PERSON", identityNumbers=[{"kind": "ID_CARD", "value": card}])
    fields = "identityNumbers { verified verifiedBy verifiedAt }"
    before = as_seen(company, "manager", "customer", customer["id"], fields)
    company.change(
        "supervisor", "updateCustomer", "customer { id }", id=customer["id"], version=1, name="改名",
        identityNumbers=[{"kind": "ID_CARD", "value": card}],
    )  # fmt: skip
    assert as_seen(company, "manager", "customer", customer["id"], fields) == before


# References


def test_a_reference_names_a_record_that_its_author_can_see(company: Company, stores: Stores) -> None:
    mine, theirs = company.new_customer(), company.new_customer("other_manager")
    customer = company.new_customer()
    before = stores.everything()
    given = {"id": customer["id"], "version": 1}
    found = problems(company, "manager", "updateCustomer", **given, **_attributes("parent_company", theirs["id"]))
    assert found == [("NOT_FOUND", "attributes.parent_company")]
    assert stores.everything() == before
    changed = company.change(
        "manager", "updateCustomer", "customer { version }", **given, **_attributes("parent_company", mine["id"])
    )
    # What stands there already is nobody's question, whoever edits the file.
    company.change(
        "supervisor", "assignCustomer", "customer { id }",
        id=customer["id"], version=changed["version"], owner=company.users["other_manager"],
    )  # fmt: skip
    company.change(
        "other_manager", "updateCustomer", "customer { id }", id=customer["id"], version=changed["version"] + 1,
        name="新名", **_attributes("parent_company", mine["id"]),
    )  # fmt: skip
