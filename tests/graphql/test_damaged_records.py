"""One record that can't be opened is its own trouble: the others are shown, found and indexed as ever."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Binary

from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, as_seen

LIST = """query($f: CustomerFilter) { customers(filter: $f) { totalCount nodes {
  id name channels { value } contacts { title name phone } attributes { key value } tags } } }"""
SEARCH = "query($q: String!) { customers(query: $q) { nodes { id name } } }"


def _damaged(sealed: bytes) -> Binary:
    return Binary(sealed[:-1] + bytes([sealed[-1] ^ 1]))


def _break_key(stores: Stores, customer: str) -> bytes:
    """Damages a customer's wrapped key past the services and has every process read it anew; returns the former."""
    (key,) = stores.find("keys", {"_id": customer})
    former = bytes(key["versions"][0]["wrapped"])
    _set_key(stores, customer, _damaged(former))
    return former


def _set_key(stores: Stores, customer: str, wrapped: bytes) -> None:
    stores.change("keys", customer, {"$set": {"versions.0.wrapped": Binary(wrapped)}})
    stores.change("epoch", "epoch", {"$inc": {"value": 1}})


def _touch(stores: Stores, *customers: str) -> None:
    """Asks for these customers to be indexed again, in one entry."""
    stores.runner.run(stores.system.database.collection("journal").insert_one(
        {"_id": f"jrn_{customers[0][4:]}", "entry": Binary(b"{}"),
         "facets": {"actor": "system", "action": "test", "records": []},
         "progress": {"todo": True, "index": list(customers)}}
    ))  # fmt: skip


@pytest.fixture
def pair(company: Company) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two customers whose names have a word in common that nobody else's has."""
    first, second = (
        company.new_customer(
            name=f"琥珀{number}水务有限公司",
            tags=["damaged"],
            contacts=[{"name": "钱小姐", "title": "采购经理", "phone": "13812341234"}],
        )
        for number in ("甲", "乙")
    )
    return first, second


def test_a_key_that_cant_be_unwrapped_costs_its_own_customers_fields_alone(
    company: Company, stores: Stores, pair: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    broken, whole = pair
    former = _break_key(stores, broken["id"])
    answer = company.ask("manager", LIST, f={"tag": "damaged"})
    # Then the list is there, with the whole customer and what is open of the broken one
    nodes = {node["id"]: node for node in answer["data"]["customers"]["nodes"]}
    assert nodes[whole["id"]]["name"] == whole["name"]
    assert nodes[whole["id"]]["contacts"][0]["name"] == "钱小姐"
    lost = nodes[broken["id"]]
    assert (lost["name"], lost["channels"], lost["tags"]) == (None, None, ["damaged"])
    assert {item["key"]: item["value"] for item in lost["attributes"]}["industry"] == "water"
    # And each lost field is an error of its own, without a value
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INTERNAL"}
    place = answer["data"]["customers"]["nodes"].index(lost)
    assert all(error["path"][:3] == ["customers", "nodes", place] for error in answer["errors"])
    # When the key is repaired, everything is there again
    _set_key(stores, broken["id"], former)
    assert as_seen(company, "manager", "customer", broken["id"], "name") == {"name": broken["name"]}


def test_a_section_that_cant_be_opened_leaves_the_others(
    company: Company, stores: Stores, pair: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    broken, _ = pair
    sealed = bytes(stores.one("customers", broken["id"])["sealed"]["CONTACT"])
    stores.change("customers", broken["id"], {"$set": {"sealed.CONTACT": _damaged(sealed)}})
    document = "query($i: ID!) { customer(id: $i) { name channels { value } contacts { title name phone } } }"
    answer = company.ask("manager", document, i=broken["id"])
    assert answer["data"]["customer"] == {
        "name": broken["name"],
        "channels": None,
        "contacts": [{"title": "采购经理", "name": "钱小姐", "phone": None}],
    }
    assert sorted(error["path"] for error in answer["errors"]) == [
        ["customer", "channels"],
        ["customer", "contacts", 0, "phone"],
    ]


def test_a_damaged_record_holds_up_nobody_elses_indexing_and_is_indexed_once_it_is_repaired(
    company: Company, stores: Stores, pair: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    broken, whole = pair

    def found() -> set[str]:
        return {node["id"] for node in company.data("manager", SEARCH, q="琥珀")["customers"]["nodes"]}

    company.eventually(lambda: {broken["id"], whole["id"]} <= found())
    former = bytes(stores.one("customers", broken["id"])["sealed"]["NAME"])
    stores.change("customers", broken["id"], {"$set": {"sealed.NAME": _damaged(former)}})
    # When both are to be indexed again
    _touch(stores, broken["id"], whole["id"])
    # Then the broken one's work stays undone and is counted; the other's is done
    company.eventually(lambda: stores.find("unindexed", {"_id": broken["id"]}))
    (failed,) = stores.find("unindexed", {"_id": broken["id"]})
    assert (failed["trouble"], failed["attempts"]) == ("CiphertextError", 1)
    assert stores.runner.run(stores.system.journal.repository.unindexed()) == 1
    assert broken["id"] in stores.runner.run(stores.system.journal.pending())
    later = company.new_customer(name="琥珀丙水务有限公司")
    company.eventually(lambda: later["id"] in found())
    assert broken["id"] not in found()
    assert whole["id"] in found()
    # When it is repaired and its time comes, it is found again
    stores.change("customers", broken["id"], {"$set": {"sealed.NAME": Binary(former)}, "$inc": {"search_version": 1}})
    stores.change("unindexed", broken["id"], {"$set": {"due": failed["since"]}})
    company.eventually(lambda: broken["id"] in found())
    assert stores.find("unindexed", {"_id": broken["id"]}) == []
