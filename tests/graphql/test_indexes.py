"""Every query uses an index: no collection is walked through, and nothing is sorted in memory.

MongoDB's own profiler tells, for each operation that API and worker send while everything is asked and done once.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, as_seen, new_phone

# Read whole, into memory, once per epoch: a handful of documents each.
SMALL = {"templates", "departments", "policies", "meta", "epoch"}
PEOPLE = ("agent", "manager", "supervisor", "clerk", "compliance", "auditor")
NODES = "{ nodes { id } pageInfo { endCursor hasNextPage } totalCount }"
CUSTOMER_FILTERS = (
    "", "{kind: PERSON}", "{relation: CUSTOMER}", '{tag: "vip"}', '{phone: "13812341234"}', '{email: "a@example.com"}',
    '{idNumber: "11010519491231002X"}', '{registrationNumber: "91330106MA2AXYZ12X"}',
)  # fmt: skip
CASE_FILTERS = (
    "", "{states: [RAISED, CLOSED]}", '{category: "damaged_goods"}', '{number: "AJ2026-000001"}',
    '{raisedFrom: "2026-01-01T00:00:00Z", raisedTo: "2026-12-31T00:00:00Z"}',
)  # fmt: skip
ORDERS = ("CREATED_AT_DESC", "CREATED_AT_ASC", "UPDATED_AT_DESC", "UPDATED_AT_ASC")


@pytest.fixture(scope="module")
def profiled(company: Company, stores: Stores, world: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything is asked and done once; then come the profiler's entries."""
    native = stores.system.database.native
    stores.runner.run(native.command("profile", 2))
    try:
        for person in PEOPLE:
            _ask_everything(company, person, world)
        _do_everything(company, world)
        company.eventually(lambda: not stores.find("journal", {"progress.todo": True}, limit=1))
        found = stores.runner.run(native["system.profile"].find({"ns": {"$not": {"$regex": "system"}}}).to_list(None))
    finally:
        stores.runner.run(native.command("profile", 0))
        stores.runner.run(native["system.profile"].drop())
    return found


def _ask_everything(company: Company, person: str, world: dict[str, Any]) -> None:
    for filter in CUSTOMER_FILTERS:
        for order in ORDERS:
            given = f", filter: {filter}" if filter else ""
            _pages(company, person, "customers", f"first: 2, orderBy: {order}{given}")
    for filter in CASE_FILTERS:
        for order in ORDERS:
            given = f", filter: {filter}" if filter else ""
            _pages(company, person, "cases", f"first: 2, orderBy: {order.replace('CREATED', 'RAISED')}{given}")
    company.ask(
        person, 'query { searchCases(query: "水泵") { totalCount edges { node { id } highlights { field } } } }'
    )
    company.ask(person, 'query { customers(query: "水务") { nodes { id } } }')
    company.ask(
        person, "{ users(first: 5) { nodes { id } } departments { id } customerTemplates { id } viewer { id } }"
    )
    for alerts in ("", ", filter: {states: [OPEN]}", f', filter: {{actor: "{company.users["agent"]}"}}'):
        company.ask(person, f"{{ alerts(first: 3{alerts}) {{ nodes {{ id }} }} }}")
    company.ask(person, "{ notices(first: 3) { nodes { id } } }")
    entries = (f'record: "{world["case"]["id"]}"', f'actor: "{company.users["agent"]}"', 'actions: ["case.raise"]')
    for filter in entries:
        company.ask(person, f"{{ auditEntries(first: 3, filter: {{{filter}}}) {{ nodes {{ id }} }} }}")
    as_seen(
        company,
        person,
        "customer",
        world["customer"]["id"],
        f"cases {NODES} evidence {{ nodes {{ id }} }} revisions {{ nodes {{ version }} }}",
    )
    as_seen(
        company,
        person,
        "case",
        world["case"]["id"],
        "events { nodes { id } } evidence { nodes { id text pages { number } } } customer { id }",
    )


def _pages(company: Company, person: str, root: str, arguments: str) -> None:
    """The first page and the one after it."""
    answer = company.ask(person, f"{{ {root}({arguments}) {NODES} }}")
    if "errors" in answer:
        return
    after = answer["data"][root]["pageInfo"]["endCursor"]
    if after:
        company.ask(person, f'{{ {root}({arguments}, after: "{after}") {NODES} }}')


def _do_everything(company: Company, world: dict[str, Any]) -> None:
    customer = company.new_customer(channels=[{"kind": "PHONE", "value": new_phone()}], idempotencyKey=new_phone())
    company.change(
        "manager", "updateCustomer", "customer { id }", id=customer["id"], version=1, name="改名水务有限公司"
    )
    for reason in ("核对号码,工单核查", None):
        company.change(
            "compliance", "revealField", "revealed { until }", id=customer["id"], field="channels", reason=reason
        )
    case = company.new_case(customer["id"])
    for person, mutation, values in (
        ("supervisor", "assignCase", {"assignee": company.users["agent"]}),
        ("agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄出"}),
        ("manager", "recordCaseStep", {"kind": "CUSTOMER_FEEDBACK", "text": "满意", "satisfaction": 5}),
        ("manager", "closeCase", {"resolution": "换货"}),
        ("supervisor", "reviewCase", {"decision": "APPROVE", "opinion": "好"}),
        ("supervisor", "archiveCase", {}),
    ):
        case = company.change(person, mutation, "case { id version }", id=case["id"], version=case["version"], **values)
    file = company.change(
        "clerk", "createEvidence", "evidence { id version }",
        case=world["case"]["id"], kind="CONTRACT", fileName="a.pdf", mediaType="application/pdf", size=10,
    )  # fmt: skip
    company.change("clerk", "withdrawEvidence", "evidence { id }", id=file["id"], version=file["version"], reason="错")


def _told(entry: dict[str, Any]) -> str:
    command = {
        key: value
        for key, value in entry.get("command", {}).items()
        if key in ("filter", "q", "query", "sort", "pipeline")
    }
    return f"{entry['ns']} {entry['op']} {entry.get('planSummary')} {command}"


def test_no_query_walks_through_a_collection(profiled: list[dict[str, Any]]) -> None:
    asked = [e for e in profiled if e.get("planSummary") and "$changeStream" not in str(e.get("originatingCommand"))]
    assert len(asked) > 500
    walked = {
        _told(entry) for entry in asked
        if "COLLSCAN" in entry["planSummary"] and entry["ns"].partition(".")[2] not in SMALL
    }  # fmt: skip
    assert not walked, "\n".join(sorted(walked))


def test_no_query_has_to_sort_in_memory(profiled: list[dict[str, Any]], stores: Stores) -> None:
    """Of so few records the server may take any plan, also one that sorts them. What must be there is the other: an
    index that serves filter and order together, which it takes as soon as there is something to sort.
    """
    # A number is one case's, a phone number a few customers': there is next to nothing to sort.
    sorted_there = {
        _told(entry)
        for entry in profiled
        if entry.get("hasSortStage")
        and entry["ns"].partition(".")[2] not in SMALL
        and not re.search(r"\{ (number|blind\.\w+): 1 \}", entry["planSummary"])
        and not _could_do_without(entry, stores)
    }
    assert not sorted_there, "\n".join(sorted(sorted_there))


def _could_do_without(entry: dict[str, Any], stores: Stores) -> bool:
    command = {key: entry["command"][key] for key in ("find", "filter", "sort", "limit") if key in entry["command"]}
    if "find" not in command:
        return False
    native = stores.system.database.native
    told = stores.runner.run(native.command({"explain": command, "verbosity": "queryPlanner"}))["queryPlanner"]
    return any('"SORT"' not in json.dumps(plan, default=str) for plan in (told["winningPlan"], *told["rejectedPlans"]))
