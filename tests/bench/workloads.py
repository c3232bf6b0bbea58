"""W1–W4: the documents, and the request bodies that the product and the bare servers get alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import orjson

from infra.demo import numbers
from infra.demo.customers import person_name
from infra.demo.dice import Dice

READS = ("W1", "W2", "W3")
WORKLOADS = (*READS, "W4")
MEANING = {
    "W1": "customer(id), random ids: 14 fields and 3 contacts, identityNumbers and dateOfBirth masked",
    "W2": "customers(first: 50), the same fields",
    "W3": "customers(first: 200), the same fields",
    "W4": "createCustomer",
}
FIELDS = """
  id kind relation name dateOfBirth identityNumbers { kind value } channels { kind value } addresses { text }
  contacts { title name phone email } tags version createdAt createdBy updatedAt
"""
GET = f"query($id: ID!) {{ customer(id: $id) {{ {FIELDS} }} }}"
LIST = (
    "query($first: Int!, $after: String) { customers(first: $first, after: $after) "
    f"{{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)
CREATE = (
    "mutation($input: CreateCustomerInput!) { createCustomer(input: $input) "
    "{ customer { id version name } userErrors { code field } } }"
)
PAGE = {"W2": 50, "W3": 200}
TITLES = ("采购经理", "设备主管", "财务")
_COUNTIES = (
    "110101", "110105", "110108", "120104", "310101", "310104", "310110", "330122", "330127", "340121",
    "350121", "360121", "422822", "430121", "510121",
)  # fmt: skip
_DAYS = 24_000


def body(document: str, variables: dict[str, Any]) -> bytes:
    """A request's JSON."""
    return orjson.dumps({"query": document, "variables": variables})


def read_bodies(workload: str, ids: Sequence[str]) -> list[bytes]:
    """W1: one for each id; W2, W3: the one."""
    if workload == "W1":
        return [body(GET, {"id": one}) for one in ids]
    return [body(LIST, {"first": PAGE[workload]})]


def create_bodies(start: int, count: int) -> list[bytes]:
    """W4: `createCustomer` for the invented people `start` … `start + count - 1`."""
    return [body(CREATE, {"input": person(index)}) for index in range(start, start + count)]


def person(index: int) -> dict[str, Any]:
    """The index-th invented customer as a `CreateCustomerInput`; identity numbers differ below 360,000."""
    dice = Dice(4_711, "bench", index)
    county, day = divmod(index, _DAYS)
    born = date(1940, 1, 1) + timedelta(days=day)
    contacts = [
        {
            "title": title,
            "name": person_name(dice)[0],
            "phone": numbers.mobile_phone(3 * index + place),
            "email": f"contact{place}@c{index:06d}.example.com",
        }
        for place, title in enumerate(TITLES)
    ]
    return {
        "kind": "PERSON",
        "relation": "CUSTOMER",
        "name": person_name(dice)[0],
        "dateOfBirth": born.isoformat(),
        "identityNumbers": [{"kind": "ID_CARD", "value": numbers.id_card(_COUNTIES[county], born)}],
        "channels": [
            {"kind": "PHONE", "value": numbers.mobile_phone(index)},
            {"kind": "EMAIL", "value": f"user{index:06d}@example.com"},
        ],
        "addresses": [{"text": f"江苏省苏州市工业园区星湖街{index % 900 + 1}号{index % 30 + 1}栋"}],
        "contacts": contacts,
        "tags": ["老客户", "年框客户"],
        "attributes": [{"key": "industry", "value": "household"}],
    }
