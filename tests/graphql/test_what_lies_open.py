"""What is stored unsealed holds no identifier and nothing that people tell: the rest is sealed (design "Data", B10)."""

from __future__ import annotations

from typing import Any

import pytest
from bson import json_util

from tests.fixtures.company import CASE_FIELDS, CUSTOMER_FIELDS, Company
from tests.graphql.conftest import Stores, as_seen, new_id_card, problems

IDENTIFIERS = ["13812341234", "１３８１２３４１２３４", "138 1234 1234", "ming.zhang@example.com", "6200000000000000018", "0512-62881234",
               "110101199003070011"]  # fmt: skip


def test_the_product_and_a_contacts_function_lie_sealed(company: Company, stores: Stores) -> None:
    customer = company.new_customer(contacts=[{"name": "钱小姐", "title": "翡翠采购经理", "phone": "13812341234"}])
    case = company.new_case(customer["id"], product="翡翠型排污泵")
    # Then they are shown to whoever may see them, and stand nowhere in the stores
    assert as_seen(company, "manager", "case", case["id"], "product") == {"product": "翡翠型排污泵"}
    assert as_seen(company, "clerk", "customer", customer["id"], "contacts { title }")["contacts"] == [
        {"title": "翡翠采购经理"}
    ]
    for name in ("customers", "cases", "journal", "case_events"):
        assert "翡翠" not in json_util.dumps(stores.find(name, {}), ensure_ascii=False)
    # And the product is found by its words
    search = 'query { searchCases(query: "翡翠型") { nodes { id } edges { highlights { field } } } }'
    found = company.eventually(lambda: company.data("manager", search)["searchCases"]["edges"])
    assert [highlight["field"] for highlight in found[0]["highlights"]] == ["product"]


def test_an_identifier_in_a_product_is_masked_where_it_may_not_be_seen(company: Company) -> None:
    customer = company.new_customer()
    case = company.new_case(customer["id"], product="水泵 13812341234")
    assert as_seen(company, "clerk", "case", case["id"], "product") == {"product": "水泵 138****1234"}


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_no_identifier_is_taken_into_what_lies_open(company: Company, stores: Stores, identifier: str) -> None:
    customer = company.new_customer()
    before = stores.everything()
    given = {"id": customer["id"], "version": customer["version"]}
    changes: list[tuple[str, dict[str, Any]]] = [("tags.1", {"tags": ["重点", f"联系{identifier}"]})]
    for field, values in changes:
        assert problems(company, "manager", "updateCustomer", **given, **values) == [("VALIDATION", field)]
    raised = {
        "customer": customer["id"], "title": "漏水", "description": "换货", "category": "damaged_goods",
        "attributes": [CASE_FIELDS["attributes"][0], {"key": "product_model", "value": f"QW {identifier}"}],
    }  # fmt: skip
    assert problems(company, "manager", "raiseCase", **raised) == [("VALIDATION", "attributes.product_model")]
    announced = {
        "customer": customer["id"],
        "kind": "OTHER",
        "fileName": "x.pdf",
        "mediaType": "application/pdf",
        "size": 9,
    }
    found = problems(
        company, "clerk", "createEvidence", **announced, paper={"room": "A-102", "box": f"箱 {identifier}"}
    )
    assert found == [("VALIDATION", "paper.box")]
    assert stores.everything() == before


@pytest.mark.parametrize(("locale", "words"), [("en", "whoever sees the record"), ("zh-CN", "公开")])
def test_the_refusal_says_why_in_both_languages(company: Company, locale: str, words: str) -> None:
    given = {"kind": "ORGANISATION", "name": "甲", "channels": [{"kind": "PHONE", "value": "0512-62881234"}]}
    answer = company.client.post(
        f"{company.url}/graphql",
        json={
            "query": "mutation($i: CreateCustomerInput!) { createCustomer(input: $i) { userErrors { field message } } }",
            "variables": {"i": {**given, **CUSTOMER_FIELDS, "tags": [new_id_card()]}},
        },
        headers={**company.headers("manager"), "accept-language": locale},
    ).json()
    (error,) = answer["data"]["createCustomer"]["userErrors"]
    assert error["field"] == "tags.0"
    assert words in error["message"]


def test_a_sealed_attribute_may_hold_one(company: Company) -> None:
    company.new_customer(attributes=[*CUSTOMER_FIELDS["attributes"], {"key": "memo", "value": "致电 13812341234"}])
