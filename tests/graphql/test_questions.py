"""What is asked is answered or refused, never left out silently; lists by time are read by time (R69, B2, P6)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from service.clock import first_id, now
from service.journal.repository import entries_query
from tests.fixtures.company import Company
from tests.graphql.conftest import FIND, Stores, as_seen, new_phone, stored_file


def _refusal(company: Company, person: str, document: str, **variables: Any) -> tuple[str, str | None]:
    answer = company.ask(person, document, **variables)
    (error,) = answer["errors"]
    return error["extensions"]["code"], error["extensions"].get("field")


# Names


@pytest.mark.parametrize("name", ["idNumber", "registrationNumber", "phone", "email"])
def test_a_refused_question_is_named_as_clients_know_it(company: Company, name: str) -> None:
    document = f"query($q: String, $v: String!) {{ customers(query: $q, filter: {{{name}: {{eq: $v}}}}) {{ nodes {{ id }} }} }}"
    assert _refusal(company, "admin", document, v="1") == ("QUESTION_REFUSED", name)
    assert _refusal(company, "manager", document, q="水务", v="1") == ("VALIDATION", name)


# Empty conditions


def test_an_order_beside_a_query_is_refused(company: Company) -> None:
    document = "query($q: String, $o: CustomerOrder) { customers(query: $q, orderBy: $o) { nodes { id } } }"
    assert _refusal(company, "manager", document, q="水务", o="UPDATED_AT_ASC") == ("VALIDATION", "orderBy")
    assert _refusal(company, "manager", document, q="水务", o="CREATED_AT_DESC") == ("VALIDATION", "orderBy")
    company.data("manager", document, q="水务")
    made = [company.new_customer()["id"] for _ in range(2)]
    for variables in ({}, {"o": None}, {"q": ""}, {"o": "CREATED_AT_DESC"}):
        nodes = company.data("manager", document, **variables)["customers"]["nodes"]
        assert [node["id"] for node in nodes[:2]] == made[::-1], "newest first, unless asked for otherwise"


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ('customers(filter: {tag: ""})', "tag"),
        ('customers(filter: {owner: ""})', "owner"),
        ('customers(filter: {department: ""})', "department"),
        ('customers(query: "水务", filter: {tag: ""})', "tag"),
        ('cases(filter: {category: ""})', "category"),
        ('cases(filter: {assignee: ""})', "assignee"),
        ('cases(filter: {number: ""})', "number"),
        ('users(department: "")', "department"),
        ('auditEntries(filter: {actor: ""})', "actor"),
        ('auditEntries(filter: {record: ""})', "record"),
    ],
)
def test_an_empty_text_is_no_condition(company: Company, question: str, field: str) -> None:
    assert _refusal(company, "compliance", f"{{ {question} {{ nodes {{ id }} }} }}") == ("VALIDATION", field)


@pytest.mark.parametrize(
    "question",
    [
        "cases(filter: {states: []})",
        "searchCases(filter: {states: []})",
        'searchCases(query: "水泵", filter: {categories: []})',
        "searchCases(filter: {departments: [], states: [RAISED]})",
        "auditEntries(filter: {actions: []})",
    ],
)
def test_of_an_empty_list_nothing_is_one(company: Company, case: dict[str, Any], question: str) -> None:
    def ask(asked: str) -> Any:
        (found,) = company.data("compliance", f"{{ {asked} {{ nodes {{ id }} }} }}").values()
        return found["nodes"]

    company.eventually(lambda: ask("searchCases"))
    assert ask(question) == []
    assert ask(question.partition("(")[0]) != []


# Order


def test_files_come_newest_first_page_by_page(company: Company) -> None:
    customer = company.new_customer()
    case = company.new_case(customer["id"])
    for name, parent in (("case", {"case": case["id"]}), ("customer", {"customer": customer["id"]})):
        made = [stored_file(company, by="manager", **parent)["id"] for _ in range(3)]
        document = f"""query($i: ID!, $a: String) {{ {name}(id: $i) {{
            evidence(first: 2, after: $a) {{ nodes {{ id }} pageInfo {{ endCursor hasNextPage }} }} }} }}"""
        first = company.data("manager", document, i=parent[name])[name]["evidence"]
        after = first["pageInfo"]["endCursor"]
        second = company.data("manager", document, i=parent[name], a=after)[name]["evidence"]
        assert [node["id"] for node in (*first["nodes"], *second["nodes"])] == made[::-1]
        assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


# Totals


def test_totals_count_what_the_list_holds(company: Company) -> None:
    case = company.new_case(company.new_customer()["id"])["id"]
    for _ in range(3):
        stored_file(company, case, by="manager")
    for kind in ("INTERNAL_NOTE", "INTERNAL_NOTE"):
        company.change("manager", "recordCaseStep", "case { id }", id=case, kind=kind, text="电话")
    withdrawn = stored_file(company, case, by="manager")["id"]
    version = as_seen(company, "clerk", "evidence", withdrawn, "version")["version"]
    company.change("clerk", "withdrawEvidence", "evidence { id }", id=withdrawn, version=version, reason="放错了")
    page = "(first: 1) { totalCount nodes { id } pageInfo { hasNextPage } }"
    whole = "events(first: 200) { nodes { id } } evidence(first: 200) { nodes { id } }"
    for person in ("manager", "clerk"):  # who sees fewer layers counts fewer events
        first = as_seen(company, person, "case", case, f"events{page} evidence{page}")
        every = as_seen(company, person, "case", case, whole)
        for name in ("events", "evidence"):
            assert first[name]["totalCount"] == len(every[name]["nodes"]) > 1
            assert (len(first[name]["nodes"]), first[name]["pageInfo"]["hasNextPage"]) == (1, True)
    customer = company.new_customer()["id"]
    stored_file(company, customer=customer)
    found = as_seen(company, "manager", "customer", customer, "evidence { totalCount } cases { totalCount }")
    assert found == {"evidence": {"totalCount": 1}, "cases": {"totalCount": 0}}


def test_users_are_counted_within_what_may_be_listed(company: Company) -> None:
    document = "query($q: String, $d: ID) { users(query: $q, department: $d, first: 200) { totalCount nodes { id } } }"
    south = company.departments["south"]
    for person in ("agent", "supervisor", "admin"):
        for asked in ({}, {"q": "example.com"}, {"q": "马"}, {"d": south}, {"d": south, "q": "马"}):
            found = company.data(person, document, **asked)["users"]
            assert found["totalCount"] == len(found["nodes"])
    assert company.data("agent", document, d=south)["users"]["totalCount"] == 0
    assert company.data("admin", document, d=south)["users"]["totalCount"] > 0


# The journal


def test_entries_of_a_time_are_read_by_their_ids(company: Company, stores: Stores) -> None:
    native = stores.system.database.collection("journal")._native
    at = now()
    nothing = {"actor": None, "actions": None, "record": None, "before_id": None}
    for since, until in ((at, None), (None, at), (at - timedelta(hours=1), at)):
        where = entries_query(since=since, until=until, **nothing)
        plan = stores.runner.run(native.find(where).sort([("_id", -1)]).limit(20).explain())
        text = json.dumps(plan["queryPlanner"]["winningPlan"], default=str)
        assert "COLLSCAN" not in text
        (bounds,) = plan["queryPlanner"]["winningPlan"]["inputStage"]["inputStage"]["indexBounds"]["_id"]
        slack = timedelta(minutes=1)
        if since is not None:
            assert first_id("jrn", since - slack) in bounds
        if until is not None:
            assert first_id("jrn", until + slack) in bounds
        assert "MinKey" not in bounds
        assert "MaxKey" not in bounds


def test_entries_of_a_time_are_exactly_those(company: Company) -> None:
    document = "query($f: AuditEntryFilter!, $a: String) { auditEntries(filter: $f, first: 3, after: $a) { nodes { id at } pageInfo { endCursor hasNextPage } } }"
    for _ in range(4):
        company.new_customer()
    newest = company.data("auditor", document, f={})["auditEntries"]["nodes"]
    middle = newest[1]["at"]
    since = company.data("auditor", document, f={"since": middle})["auditEntries"]["nodes"]
    assert {entry["id"] for entry in newest[:2]} <= {entry["id"] for entry in since}
    assert all(entry["at"] >= middle for entry in since)
    page = company.data("auditor", document, f={"until": middle})["auditEntries"]
    assert page["pageInfo"]["hasNextPage"]
    more = company.data("auditor", document, f={"until": middle}, a=page["pageInfo"]["endCursor"])["auditEntries"]
    found = [*page["nodes"], *more["nodes"]]
    assert all(entry["at"] < middle for entry in found)
    assert [entry["id"] for entry in found] == sorted({entry["id"] for entry in found}, reverse=True)
    for edge in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"):
        for bound in ("since", "until"):
            answer = company.ask("auditor", document, f={bound: edge})
            assert "errors" not in answer
            assert bool(answer["data"]["auditEntries"]["nodes"]) == (
                (bound, edge[0]) in (("since", "0"), ("until", "9"))
            )


def test_one_lookup_is_one_entry(company: Company, stores: Stores) -> None:
    where = {"facets.action": "customer.lookup", "facets.actor": company.users["manager"]}
    before = len(stores.find("journal", where))
    # A page with its total asks twice for the same, and is one question.
    company.data("manager", FIND, f={"phone": {"eq": new_phone()}})
    entries = stores.find("journal", where, sort=[("_id", 1)])
    assert len(entries) == before + 1
    # Several in one request are one entry too, which tells how many values were tried.
    phones = {name: {"phone": {"eq": new_phone()}} for name in "abc"}
    document = "query($a: CustomerFilter, $b: CustomerFilter, $c: CustomerFilter) {" + "".join(
        f" {name}: customers(filter: ${name}) {{ nodes {{ id }} }}" for name in phones
    )
    company.data("manager", document + " }", **phones)
    entries = stores.find("journal", where, sort=[("_id", 1)])
    assert len(entries) == before + 2
    assert json.loads(bytes(entries[-1]["entry"]))["details"] == {
        "fields": ["phone"],
        "values": 3,
        "levels": {"CONTACT": "FULL"},
    }


def test_a_lookup_that_finds_nothing_is_an_entry_too(company: Company, stores: Stores) -> None:
    where = {"facets.action": "customer.lookup", "facets.actor": company.users["other_clerk"]}
    before = stores.find("journal", where)
    assert company.data("other_clerk", FIND, f={"idNumber": {"eq": "7"}})["customers"]["totalCount"] == 0
    (entry,) = [entry for entry in stores.find("journal", where) if entry not in before]
    assert json.loads(bytes(entry["entry"]))["details"] == {
        "fields": ["id_number"],
        "values": 1,
        "levels": {"IDENTITY": "BLIND"},
    }
