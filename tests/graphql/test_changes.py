"""Repeats, updates, history and duplicates: what a change does, and what it does not (R11, R44, B2)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from service.clock import new_id
from tests.fixtures.company import CASE_FIELDS, CUSTOMER_FIELDS, Company, dumped
from tests.graphql.conftest import FIND, Stores, as_seen, new_id_card, new_phone

# Idempotency


def _created(company: Company, key: str, **values: Any) -> Any:
    return company.new_customer(idempotencyKey=key, **values)


def test_a_repeat_returns_the_same_and_creates_nothing(company: Company, stores: Stores) -> None:
    key = new_id("key")
    first = _created(company, key)
    before = stores.everything()
    assert _created(company, key) == first
    assert stores.everything() == before


def test_a_repeat_of_an_edit_returns_the_version_that_it_made(company: Company, stores: Stores) -> None:
    customer = company.new_customer()
    edit = {"id": customer["id"], "version": 1, "name": "第二名称", "idempotencyKey": new_id("key")}
    assert company.change("manager", "updateCustomer", "customer { version name }", **edit)["version"] == 2
    company.change("manager", "updateCustomer", "customer { id }", id=customer["id"], version=2, name="第三名称")
    before = stores.everything()
    again = company.change("manager", "updateCustomer", "customer { version name }", **edit)
    assert again == {"version": 2, "name": "第二名称"}
    assert stores.everything() == before


def test_a_key_belongs_to_one_person_and_a_refusal_does_not_use_it_up(company: Company) -> None:
    key = new_id("key")
    refused = company.attempt(
        "manager", "createCustomer", "customer { id }",
        kind="PERSON", name="", channels=[], idempotencyKey=key, **CUSTOMER_FIELDS,
    )  # fmt: skip
    assert refused["userErrors"]
    mine = _created(company, key)
    theirs = company.new_customer("other_manager", idempotencyKey=key)
    assert mine["id"] != theirs["id"]


@pytest.mark.parametrize("mutation", ["createCustomer", "raiseCase", "createEvidence"])
def test_concurrent_repeats_create_exactly_one(
    company: Company, stores: Stores, world: dict[str, Any], mutation: str
) -> None:
    inputs: dict[str, tuple[str, str, dict[str, Any]]] = {
        "createCustomer": ("customers", "customer", {"kind": "ORGANISATION", "name": "并发公司", "channels": [{"kind": "PHONE", "value": "0512-62881234"}], **CUSTOMER_FIELDS}),
        "raiseCase": ("cases", "case", {"customer": world["customer"]["id"], "title": "并发", "description": "并发", **CASE_FIELDS}),
        "createEvidence": ("evidence", "evidence", {"case": world["case"]["id"], "kind": "OTHER", "fileName": "x.pdf", "mediaType": "application/pdf", "size": 9}),
    }  # fmt: skip
    collection, name, values = inputs[mutation]
    values["idempotencyKey"] = new_id("key")
    before = {document["_id"] for document in stores.find(collection, {}, projection={"_id": 1})}
    company.token("manager")
    with ThreadPoolExecutor(8) as threads:
        found = list(
            threads.map(lambda _: company.change("manager", mutation, f"{name} {{ id }}", **values)["id"], range(8))
        )
    after = {document["_id"] for document in stores.find(collection, {}, projection={"_id": 1})}
    assert set(found) == after - before
    assert len(after - before) == 1


def test_what_is_made_for_another_department_is_null_and_so_on_a_repeat(company: Company, stores: Stores) -> None:
    """The clerk may open the file, and not see it: neither an object of nulls nor an error about an id."""
    given = {
        "kind": "ORGANISATION", "name": "南方水务有限公司", "channels": [{"kind": "PHONE", "value": new_phone()}],
        "owner": company.users["other_manager"], "idempotencyKey": new_id("key"), **CUSTOMER_FIELDS,
    }  # fmt: skip
    fields = "customer { id name kind maskedFields { field } }"
    assert company.attempt("clerk", "createCustomer", fields, **given) == {"customer": None, "userErrors": []}
    before = stores.everything()
    assert company.attempt("clerk", "createCustomer", fields, **given) == {"customer": None, "userErrors": []}
    assert stores.everything() == before
    newest = company.data("other_manager", "{ customers(first: 1) { nodes { name } } }")["customers"]["nodes"]
    assert newest == [{"name": "南方水务有限公司"}]


def test_what_is_handed_over_is_null_and_so_on_a_repeat(company: Company, stores: Stores) -> None:
    customer = company.new_customer()
    case = company.new_case(company.new_customer()["id"])
    over: list[tuple[str, str, dict[str, Any]]] = [
        ("assignCustomer", "customer", {"id": customer["id"], "version": 1, "owner": company.users["other_manager"]}),
        ("assignCase", "case", {"id": case["id"], "version": 1, "assignee": company.users["other_agent"]}),
    ]
    for mutation, name, values in over:
        given = {**values, "idempotencyKey": new_id("key")}
        for _ in range(2):
            payload = company.attempt("supervisor", mutation, f"{name} {{ id version }}", **given)
            assert payload == {name: None, "userErrors": []}
        assert as_seen(company, "supervisor", name, given["id"]) is None
        assert as_seen(company, f"other_{'manager' if name == 'customer' else 'agent'}", name, given["id"])
    # What is not there is still an error.
    payload = company.attempt("supervisor", "assignCase", "case { id }", id=new_id("cas"), version=1, assignee="usr_x")
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("NOT_FOUND", "id")]


# Updates and history


def test_absent_stays_and_null_clears(company: Company) -> None:
    fields = "version name dateOfBirth tags addresses { text } contacts { name } attributes { key value }"
    customer = company.new_customer(
        kind="PERSON", dateOfBirth="1990-03-07", tags=["vip"], addresses=[{"text": "江苏省苏州市星湖街328号"}],
        contacts=[{"name": "钱小姐"}],
        attributes=[{"key": "industry", "value": "water"}, {"key": "memo", "value": "喜欢邮件"}],
    )  # fmt: skip
    before = as_seen(company, "supervisor", "customer", customer["id"], fields)
    renamed = company.change(
        "manager", "updateCustomer", f"customer {{ {fields} }}", id=customer["id"], version=1, name="新名"
    )
    masked = as_seen(company, "supervisor", "customer", customer["id"], fields)
    assert masked == {**before, "version": 2, "name": "新名"}
    assert renamed["tags"] == ["vip"]
    cleared = company.change(
        "manager", "updateCustomer", f"customer {{ {fields} }}", id=customer["id"], version=2,
        dateOfBirth=None, tags=None, addresses=None, contacts=None, attributes=[{"key": "memo", "value": None}],
    )  # fmt: skip
    values = {item["key"]: item["value"] for item in cleared["attributes"]}
    assert not any(cleared[name] for name in ("dateOfBirth", "tags", "addresses", "contacts"))
    assert (cleared["name"], values["industry"], values["memo"]) == ("新名", "water", None)


def test_a_field_that_is_not_seen_in_full_is_not_editable(
    company: Company, stores: Stores, world: dict[str, Any]
) -> None:
    before = stores.everything()
    given = {"id": world["customer"]["id"], "version": world["customer"]["version"]}
    for person, values, field in (
        ("clerk", {"channels": [{"kind": "PHONE", "value": "13812341234"}]}, "channels"),
        ("clerk", {"bankAccounts": None}, "bankAccounts"),
        ("clerk", {"identityNumbers": []}, "identityNumbers"),
        ("clerk", {"contacts": []}, "contacts"),
        ("clerk", {"attributes": [{"key": "credit_limit", "value": "1.00"}]}, "attributes.credit_limit"),
    ):
        payload = company.attempt(person, "updateCustomer", "customer { id }", **given, **values)
        assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("FIELD_NOT_EDITABLE", field)]
    case = world["case"]
    payload = company.attempt(
        "agent", "updateCase", "case { id }", id=case["id"], version=case["version"], disputedAmount="1.00"
    )
    assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("FIELD_NOT_EDITABLE", "disputedAmount")]
    assert stores.everything() == before


def test_revisions_show_earlier_states_through_todays_masks(company: Company) -> None:
    old, new = new_phone(), new_phone()
    customer = company.new_customer(name="旧名称公司", channels=[{"kind": "PHONE", "value": old}])
    company.change(
        "manager", "updateCustomer", "customer { id }", id=customer["id"], version=1,
        name="新名称公司", channels=[{"kind": "PHONE", "value": new}],
    )  # fmt: skip
    fields = "revisions { nodes { version by customer { name channels { value } } } }"
    seen = as_seen(company, "manager", "customer", customer["id"], fields)["revisions"]["nodes"]
    assert [(r["version"], r["customer"]["name"], r["customer"]["channels"][0]["value"]) for r in seen] == [
        (2, "新名称公司", f"+86{new}"),
        (1, "旧名称公司", f"+86{old}"),
    ]
    assert {r["by"] for r in seen} == {company.users["manager"]}
    for person, name in (("clerk", "旧名称公司"), ("auditor", "旧***")):
        found = as_seen(company, person, "customer", customer["id"], fields)["revisions"]["nodes"]
        assert [r["customer"]["channels"][0]["value"] for r in found] == [f"{p[:3]}****{p[-4:]}" for p in (new, old)]
        assert found[1]["customer"]["name"] == name
        assert old not in dumped(found)
    # Whoever lost the customer lost its history.
    company.change(
        "supervisor", "assignCustomer", "customer { id }",
        id=customer["id"], version=2, owner=company.users["other_manager"],
    )  # fmt: skip
    assert as_seen(company, "manager", "customer", customer["id"], fields) is None


def test_when_a_number_was_verified_is_told_by_revisions_and_repeats_too(company: Company, stores: Stores) -> None:
    card = new_id_card()
    fields = "id version identityNumbers { value verified verifiedBy verifiedAt }"
    given = {
        "kind": "PERSON", "name": "欧阳若兰", "channels": [{"kind": "PHONE", "value": new_phone()}],
        "identityNumbers": [{"kind": "ID_CARD", "value": card}], "idempotencyKey": new_id("key"), **CUSTOMER_FIELDS,
    }  # fmt: skip
    made = company.change("manager", "createCustomer", f"customer {{ {fields} }}", **given)
    (number,) = made["identityNumbers"]
    assert (number["verified"], number["verifiedBy"]) == (True, company.users["manager"])
    assert datetime.fromisoformat(number["verifiedAt"]) <= datetime.now(UTC)
    company.change("manager", "updateCustomer", "customer { id }", id=made["id"], version=1, tags=["vip"])
    assert company.change("manager", "createCustomer", f"customer {{ {fields} }}", **given) == made
    revisions = f"revisions {{ nodes {{ version customer {{ {fields} }} }} }}"
    seen = as_seen(company, "manager", "customer", made["id"], revisions)["revisions"]["nodes"]
    assert [(state["version"], state["customer"]["identityNumbers"]) for state in seen] == [
        (2, [number]),
        (1, [number]),
    ]


# Duplicates


def test_a_second_customer_with_the_same_id_number_is_a_duplicate(company: Company, stores: Stores) -> None:
    card = new_id_card()
    given = {"kind": "PERSON", "identityNumbers": [{"kind": "ID_CARD", "value": card}]}
    company.new_customer(**given)
    before = stores.everything()
    for person in ("manager", "other_manager", "clerk"):
        payload = company.attempt(
            person, "createCustomer", "customer { id }", name="重名", owner=company.users["manager"],
            channels=[{"kind": "PHONE", "value": "0512-62881234"}], **given, **CUSTOMER_FIELDS,
        )  # fmt: skip
        assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("DUPLICATE", "identityNumbers")]
        assert card not in dumped(payload)
    assert stores.everything() == before


def test_of_concurrent_customers_with_one_id_number_exactly_one_is_created(company: Company) -> None:
    card = new_id_card()
    company.token("manager")

    def create(number: int) -> Any:
        return company.attempt(
            "manager", "createCustomer", "customer { id }", kind="PERSON", name=f"甲{number}",
            channels=[{"kind": "PHONE", "value": "0512-62881234"}],
            identityNumbers=[{"kind": "ID_CARD", "value": card}], **CUSTOMER_FIELDS,
        )  # fmt: skip

    with ThreadPoolExecutor(6) as threads:
        payloads = list(threads.map(create, range(6)))
    made = [payload["customer"]["id"] for payload in payloads if payload["customer"]]
    assert len(made) == 1
    assert {e["code"] for payload in payloads for e in payload["userErrors"]} == {"DUPLICATE"}
    found = company.data("manager", FIND, f={"idNumber": {"eq": card}})["customers"]["nodes"]
    assert [node["id"] for node in found] == made


def test_a_unique_template_field_is_unique(company: Company) -> None:
    number = f"QY-KJ-2026-{time.time_ns() % 100_000:05d}"
    given = {"attributes": [*CUSTOMER_FIELDS["attributes"], {"key": "contract_number", "value": number}]}
    company.new_customer(**given)
    payload = company.attempt(
        "other_manager", "createCustomer", "customer { id }", kind="ORGANISATION", name="重号",
        channels=[{"kind": "PHONE", "value": "0512-62881234"}], **given,
    )  # fmt: skip
    assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("DUPLICATE", "attributes.contract_number")]
