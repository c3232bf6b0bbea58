"""Bad input gets its code and its field, and changes nothing; the unexpected is masked and logged without values.

The list is the issue's; P6 (limits), P7 (codes, masking), P13 (cursors), P15 (nothing changed), P19 (uploads), R33.
"""

from __future__ import annotations

from typing import Any

import pytest

from service.clock import new_id
from tests.fixtures.company import CASE_FIELDS, CUSTOMER_FIELDS, Company
from tests.graphql.conftest import Stores, problems


def attribute(key: str, value: Any) -> dict[str, Any]:
    """The customer's required fields and one more."""
    return {"attributes": [*CUSTOMER_FIELDS["attributes"], {"key": key, "value": value}]}


CUSTOMERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown template field", attribute("shoe_size", "42"), "UNKNOWN_FIELD", "attributes.shoe_size"),
    ("a key that is an operator", attribute("$where", "1"), "UNKNOWN_FIELD", "attributes.$where"),
    ("no number", attribute("payment_days", "soon"), "WRONG_TYPE", "attributes.payment_days"),
    ("a number that is none", attribute("payment_days", "NaN"), "WRONG_TYPE", "attributes.payment_days"),
    ("no amount", attribute("credit_limit", "1.234"), "WRONG_TYPE", "attributes.credit_limit"),
    ("a huge amount", attribute("credit_limit", "1e400"), "WRONG_TYPE", "attributes.credit_limit"),
    ("an amount with too many digits", attribute("credit_limit", "9" * 60), "WRONG_TYPE", "attributes.credit_limit"),
    ("a number in powers", attribute("payment_days", "1e999999"), "WRONG_TYPE", "attributes.payment_days"),
    ("a number with underscores", attribute("payment_days", "1_000"), "WRONG_TYPE", "attributes.payment_days"),
    ("a number in other digits", attribute("payment_days", "٣٠"), "WRONG_TYPE", "attributes.payment_days"),
    ("an endless number", attribute("payment_days", "9" * 31), "WRONG_TYPE", "attributes.payment_days"),
    ("an amount below nothing", attribute("credit_limit", "-5.00"), "WRONG_TYPE", "attributes.credit_limit"),
    ("an attribute of nothing", attribute("memo", "\u200b\u0000"), "REQUIRED", "attributes.memo"),
    ("no date", attribute("contract_until", "2026-02-30"), "WRONG_TYPE", "attributes.contract_until"),
    ("no boolean", attribute("on_site_service", "yes"), "WRONG_TYPE", "attributes.on_site_service"),
    ("no option", attribute("tier", "z"), "WRONG_TYPE", "attributes.tier"),
    ("a reference to another type", attribute("parent_company", new_id("cas")), "WRONG_TYPE", "attributes.parent_company"),
    ("a reference to nothing", attribute("parent_company", new_id("cus")), "NOT_FOUND", "attributes.parent_company"),
    ("against the pattern", attribute("contract_number", "QY-1"), "INVALID_FORMAT", "attributes.contract_number"),
    ("over-long attribute", attribute("memo", "长" * 2_001), "TOO_LONG", "attributes.memo"),
    ("missing required attribute", {"attributes": []}, "REQUIRED", "attributes.industry"),
    ("over-long name", {"name": "长" * 1_001}, "TOO_LONG", "name"),
    ("blank name", {"name": " \u3000 "}, "REQUIRED", "name"),
    ("invisible name", {"name": "\u200b\u0000\u3164"}, "REQUIRED", "name"),
    ("a phone with an extension", {"channels": [{"kind": "PHONE", "value": "13812345678 ext 5"}]}, "INVALID_FORMAT", "channels.0.value"),
    ("a phone with a word", {"channels": [{"kind": "PHONE", "value": "0512-62881234转8"}]}, "INVALID_FORMAT", "channels.0.value"),
    ("an account without number", {"bankAccounts": [{"bank": "示例银行", "number": " "}]}, "REQUIRED", "bankAccounts.0.number"),
    ("an empty channel", {"channels": [{"kind": "EMAIL", "value": ""}]}, "REQUIRED", "channels.0.value"),
    ("broken phone", {"channels": [{"kind": "PHONE", "value": "1381234"}]}, "INVALID_FORMAT", "channels.0.value"),
    ("broken e-mail", {"channels": [{"kind": "EMAIL", "value": "ming@"}]}, "INVALID_FORMAT", "channels.0.value"),
    ("no channel", {"channels": []}, "REQUIRED", "channels"),
    ("too many tags", {"tags": [f"t{n}" for n in range(1_000)]}, "TOO_MANY", "tags"),
    ("born in the future", {"dateOfBirth": "2999-01-01"}, "INVALID_FORMAT", "dateOfBirth"),
    ("an owner of another type", {"owner": new_id("cas")}, "INVALID_ID", "owner"),
    ("an owner that there is not", {"owner": new_id("usr")}, "NOT_FOUND", "owner"),
    ("unknown template", {"template": "nowhere"}, "NOT_FOUND", "template"),
    ("a masked name", {"name": "欧***"}, "MASKED_VALUE", "name"),
    ("a masked phone", {"channels": [{"kind": "PHONE", "value": "138****1234"}]}, "MASKED_VALUE", "channels.0.value"),
    ("a masked e-mail", {"channels": [{"kind": "EMAIL", "value": "m***@example.com"}]}, "MASKED_VALUE", "channels.0.value"),
    ("a masked number", {"identityNumbers": [{"kind": "ID_CARD", "value": "1****************1"}]}, "MASKED_VALUE", "identityNumbers.0.value"),
    ("a masked card", {"bankAccounts": [{"bank": "示例银行", "number": "**** **** **** 0018"}]}, "MASKED_VALUE", "bankAccounts.0.number"),
    ("a masked address", {"addresses": [{"text": "江苏省苏州***"}]}, "MASKED_VALUE", "addresses.0.text"),
    ("a masked date of birth", {"dateOfBirth": "1990-**-**"}, "MASKED_VALUE", "dateOfBirth"),
    ("a masked attribute", attribute("credit_limit", "***"), "MASKED_VALUE", "attributes.credit_limit"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "code", "field"), [row[1:] for row in CUSTOMERS], ids=[row[0] for row in CUSTOMERS])
@pytest.mark.parametrize("mutation", ["createCustomer", "updateCustomer"])
def test_a_customers_bad_value_is_named(
    company: Company,
    stores: Stores,
    customer: dict[str, Any],
    mutation: str,
    values: dict[str, Any],
    code: str,
    field: str,
) -> None:
    if mutation == "updateCustomer" and field in ("owner", "template", "attributes.industry"):
        values, code, field = {"attributes": [{"key": "industry", "value": None}]}, "REQUIRED", "attributes.industry"
    before = stores.everything()
    if mutation == "createCustomer":
        given = {"kind": "ORGANISATION", "name": "新公司", "channels": [{"kind": "PHONE", "value": "13812341234"}]}
        found = problems(company, "manager", mutation, **{**given, **CUSTOMER_FIELDS, **values})
    else:
        found = problems(company, "manager", mutation, id=customer["id"], version=customer["version"], **values)
    assert found == [(code, field)]
    assert stores.everything() == before


@pytest.mark.parametrize("name", ["A*STAR Research", "五*水务有限公司", "Hotel ****"])
def test_a_name_may_have_a_star_in_it(company: Company, name: str) -> None:
    customer = company.new_customer(name=name)
    assert customer["name"] == name
    changed = company.change(
        "manager", "updateCustomer", "customer { name }", id=customer["id"], version=1, name=f"{name} 2"
    )
    assert changed["name"] == f"{name} 2"


def test_the_mask_of_a_stored_text_is_not_stored_as_a_text(company: Company, customer: dict[str, Any]) -> None:
    case = company.new_case(customer["id"], description="联系 13812341234")
    given = {"id": case["id"], "version": case["version"], "description": "联系 138****1234"}
    assert problems(company, "manager", "updateCase", **given) == [("MASKED_VALUE", "description")]


def test_all_that_is_wrong_is_told_at_once(company: Company) -> None:
    found = problems(
        company, "manager", "createCustomer",
        kind="PERSON", name="", channels=[{"kind": "PHONE", "value": "1"}, {"kind": "EMAIL", "value": "x"}],
        **attribute("shoe_size", "42"),
    )  # fmt: skip
    assert set(found) == {
        ("REQUIRED", "name"),
        ("INVALID_FORMAT", "channels.0.value"),
        ("INVALID_FORMAT", "channels.1.value"),
        ("UNKNOWN_FIELD", "attributes.shoe_size"),
    }


def case_attribute(key: str, value: Any) -> dict[str, Any]:
    """A case's required fields and one more."""
    return {"attributes": [*CASE_FIELDS["attributes"], {"key": key, "value": value}]}  # type: ignore[misc]


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown template field", case_attribute("shoe_size", "42"), "UNKNOWN_FIELD", "attributes.shoe_size"),
    ("wrong type", case_attribute("quantity", "many"), "WRONG_TYPE", "attributes.quantity"),
    ("missing order number", {"attributes": []}, "REQUIRED", "attributes.order_number"),
    ("over-long title", {"title": "长" * 201}, "TOO_LONG", "title"),
    ("over-long description", {"description": "长" * 20_001}, "TOO_LONG", "description"),
    ("blank title", {"title": " "}, "REQUIRED", "title"),
    ("blank description", {"description": "\n"}, "REQUIRED", "description"),
    ("unknown category", {"category": "nothing"}, "VALIDATION", "category"),
    ("no amount", {"disputedAmount": "many"}, "WRONG_TYPE", "disputedAmount"),
    ("an amount in powers", {"disputedAmount": "1e9999999"}, "WRONG_TYPE", "disputedAmount"),
    ("an amount below nothing", {"disputedAmount": "-1"}, "WRONG_TYPE", "disputedAmount"),
    ("a title of nothing", {"title": "\u200b\u0000"}, "REQUIRED", "title"),
    ("a masked amount", {"disputedAmount": "***"}, "MASKED_VALUE", "disputedAmount"),
    ("absent customer", {"customer": new_id("cus")}, "NOT_FOUND", "customer"),
    ("a customer of another type", {"customer": new_id("cas")}, "INVALID_ID", "customer"),
    ("unknown template", {"template": "nowhere"}, "NOT_FOUND", "template"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "code", "field"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_cases_bad_value_is_named(
    company: Company, stores: Stores, customer: dict[str, Any], values: dict[str, Any], code: str, field: str
) -> None:
    before = stores.everything()
    given = {"customer": customer["id"], "title": "水泵外壳开裂", "description": "要求换货", **CASE_FIELDS, **values}
    assert (code, field) in problems(company, "manager", "raiseCase", **given)
    assert stores.everything() == before


STEPS: list[tuple[str, str, str, dict[str, Any], str, str]] = [
    # what, who, mutation, values, code, field
    ("stale version of an edit", "agent", "updateCase", {"version": 1, "title": "新标题"}, "CONFLICT", "version"),
    ("stale version of a step", "agent", "recordCaseStep", {"version": 1, "kind": "MEASURE", "text": "寄件"}, "CONFLICT", "version"),
    ("a version to come", "agent", "updateCase", {"version": 99, "title": "新标题"}, "CONFLICT", "version"),
    ("no version", "agent", "recordCaseStep", {"version": None, "kind": "MEASURE", "text": "寄件"}, "REQUIRED", "version"),
    ("close before an answer", "manager", "closeCase", {"resolution": "完成"}, "NOT_ALLOWED_IN_STATE", "state"),
    ("feedback before a measure", "manager", "recordCaseStep", {"kind": "CUSTOMER_FEEDBACK", "text": "好", "satisfaction": 5}, "NOT_ALLOWED_IN_STATE", "state"),
    ("review before the closing", "supervisor", "reviewCase", {"decision": "APPROVE", "opinion": "好"}, "NOT_ALLOWED_IN_STATE", "state"),
    ("archive before the review", "compliance", "archiveCase", {}, "NOT_ALLOWED_IN_STATE", "state"),
    ("a measure without a text", "agent", "recordCaseStep", {"kind": "MEASURE", "text": " "}, "REQUIRED", "text"),
    ("a measure of nothing", "agent", "recordCaseStep", {"kind": "MEASURE", "text": "\u200b"}, "REQUIRED", "text"),
    ("a measure in the future", "agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄件", "happenedAt": "2999-01-01T00:00:00Z"}, "VALIDATION", "happenedAt"),
    ("feedback without satisfaction", "manager", "recordCaseStep", {"kind": "CUSTOMER_FEEDBACK", "text": "好"}, "REQUIRED", "satisfaction"),
    ("satisfaction beyond 5", "manager", "recordCaseStep", {"kind": "CUSTOMER_FEEDBACK", "text": "好", "satisfaction": 6}, "VALIDATION", "satisfaction"),
    ("a communication without direction", "agent", "recordCaseStep", {"kind": "COMMUNICATION", "text": "致电"}, "REQUIRED", "direction"),
    ("an over-long note", "agent", "recordCaseStep", {"kind": "INTERNAL_NOTE", "text": "长" * 20_001}, "TOO_LONG", "text"),
    ("closing without a result", "manager", "closeCase", {"resolution": ""}, "REQUIRED", "resolution"),
    ("a review without an opinion", "supervisor", "reviewCase", {"decision": "APPROVE", "opinion": ""}, "REQUIRED", "opinion"),
    ("an assignee of another type", "supervisor", "assignCase", {"assignee": new_id("cus")}, "INVALID_ID", "assignee"),
    ("an assignee that there is not", "supervisor", "assignCase", {"assignee": new_id("usr")}, "NOT_FOUND", "assignee"),
    ("a measure long before the case", "agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄件", "happenedAt": "1999-01-01T00:00:00Z"}, "VALIDATION", "happenedAt"),
    ("a measure with satisfaction", "agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄件", "satisfaction": 5}, "VALIDATION", "satisfaction"),
    ("a measure with a direction", "agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄件", "direction": "TO_CUSTOMER"}, "VALIDATION", "direction"),
    ("a note with a direction", "agent", "recordCaseStep", {"kind": "INTERNAL_NOTE", "text": "备注", "direction": "TO_CUSTOMER"}, "VALIDATION", "direction"),
    ("a note with a time", "agent", "recordCaseStep", {"kind": "INTERNAL_NOTE", "text": "备注", "happenedAt": "2026-01-01T00:00:00Z"}, "VALIDATION", "happenedAt"),
    ("a communication with satisfaction", "agent", "recordCaseStep", {"kind": "COMMUNICATION", "text": "致电", "direction": "TO_CUSTOMER", "satisfaction": 9}, "VALIDATION", "satisfaction"),
    ("an id of another type", "agent", "updateCase", {"id": new_id("cus"), "title": "新标题"}, "INVALID_ID", "id"),
    ("no id at all", "agent", "updateCase", {"id": "' OR 1=1", "title": "新标题"}, "INVALID_ID", "id"),
    ("an id in upper case", "agent", "updateCase", {"id": new_id("cas").upper(), "title": "新标题"}, "INVALID_ID", "id"),
    ("nothing there", "agent", "updateCase", {"id": new_id("cas"), "title": "新标题"}, "NOT_FOUND", "id"),
    ("clearing what is required", "agent", "updateCase", {"title": None}, "REQUIRED", "title"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("person", "mutation", "values", "code", "field"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS]
)
def test_a_steps_bad_input_is_named(
    company: Company, stores: Stores, case: dict[str, Any], person: str, mutation: str, values: dict[str, Any],
    code: str, field: str,
) -> None:  # fmt: skip
    before = stores.everything()
    given = {"id": case["id"], "version": case["version"], **values}
    assert problems(company, person, mutation, **given) == [(code, field)]
    assert stores.everything() == before


def test_a_conflict_tells_the_current_version(company: Company, case: dict[str, Any]) -> None:
    payload = company.attempt("agent", "updateCase", "case { id }", id=case["id"], version=1, title="新")
    assert str(case["version"]) in payload["userErrors"][0]["message"]


def test_a_moment_without_a_zone_is_refused_as_no_rfc_3339_time(
    company: Company, stores: Stores, case: dict[str, Any]
) -> None:
    before = stores.everything()
    answer = company.ask(
        "agent", "mutation($i: RecordCaseStepInput!) { recordCaseStep(input: $i) { userErrors { code field } } }",
        i={"id": case["id"], "version": case["version"], "kind": "MEASURE", "text": "寄件", "happenedAt": "2026-01-01T00:00:00"},
    )  # fmt: skip
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert stores.everything() == before


def test_another_input_under_a_used_key_is_a_mismatch(company: Company, stores: Stores) -> None:
    key = new_id("key")
    company.new_customer(idempotencyKey=key, name="甲公司")
    before = stores.everything()
    given = {"kind": "ORGANISATION", "name": "乙公司", "channels": [{"kind": "PHONE", "value": "0512-62881234"}]}
    found = problems(company, "manager", "createCustomer", idempotencyKey=key, **given, **CUSTOMER_FIELDS)
    assert found == [("IDEMPOTENCY_MISMATCH", "idempotencyKey")]
    assert stores.everything() == before


@pytest.mark.parametrize(("key", "code"), [("", "REQUIRED"), ("k" * 201, "TOO_LONG")])
def test_an_idempotency_key_has_a_length(company: Company, stores: Stores, key: str, code: str) -> None:
    before = stores.everything()
    given = {"kind": "ORGANISATION", "name": "乙公司", "channels": [{"kind": "PHONE", "value": "0512-62881234"}]}
    found = problems(company, "manager", "createCustomer", idempotencyKey=key, **given, **CUSTOMER_FIELDS)
    assert found == [(code, "idempotencyKey")]
    assert stores.everything() == before
