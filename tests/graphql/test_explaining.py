"""`explainAccess` says what is so: each answer is held against what the person really sees; and shows no value (R65)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.company import PEOPLE, ROLES, Company, dumped
from tests.graphql.conftest import Stores, as_seen, employed
from tests.graphql.policy_world import company, enact, row, seeded

__all__ = ["company", "seeded"]
EXPLAIN = """query($i: ID!, $a: ID!) { explainAccess(id: $i, actor: $a) { record policyVersion isActive isReached openedBy
    relations reachedThrough { role relation } actor { id name }
    fields { field sensitivity kind visibility grantedBy { role relation } deniedBy { role relation } } } }"""
MASKED = "id maskedFields { field visibility kind }"
SECRETS = (
    "欧阳若兰",
    "6200000000000000018",
    "星湖街",
    "ruolan",
    "1990-03-07",
    "合同",
    "水泵",
    "同事之间",
    "13812341234",
)


@pytest.fixture(scope="module")
def records(company: Company, world: dict[str, Any]) -> dict[str, str]:
    """One record of each type by its query's name, an event among colleagues too."""
    case = world["case"]["id"]
    company.change("agent", "recordCaseStep", "case { id }", id=case, kind="INTERNAL_NOTE", text="同事之间:先不退款")
    events = company.data("agent", "query($i: ID!) { case(id: $i) { events { nodes { id layer } } } }", i=case)
    by_layer = {event["layer"]: event["id"] for event in events["case"]["events"]["nodes"]}
    return {
        "customer": world["customer"]["id"],
        "case": case,
        "evidence": world["evidence"]["id"],
        "event": by_layer["WITH_CUSTOMER"],
        "internal event": by_layer["INTERNAL"],
    }


def explain(company: Company, record: str, person: str, by: str = "compliance") -> Any:
    return company.data(by, EXPLAIN, i=record, a=company.users[person])["explainAccess"]


def seen_by(company: Company, person: str, name: str, record: str) -> dict[str, Any] | None:
    """What the person themselves is told."""
    kind = {"customer": "Customer", "case": "Case", "evidence": "Evidence"}.get(name, "CaseEvent")
    document = f"query($i: ID!) {{ node(id: $i) {{ ... on {kind} {{ {MASKED} }} }} }}"
    found: dict[str, Any] | None = company.data(person, document, i=record)["node"]
    return found


def hold(company: Company, records: dict[str, str]) -> None:
    """Every explanation of every person and record is what that person is shown."""
    reached = 0
    for name, record in records.items():
        for person in PEOPLE:
            told, seen = explain(company, record, person), seen_by(company, person, name, record)
            assert told["isReached"] == (seen is not None), (name, person)
            assert bool(told["fields"])
            masked = {f["field"]: (f["visibility"], f["kind"]) for f in told["fields"] if f["visibility"] != "FULL"}
            if seen is None:
                assert all(level == "HIDDEN" for level, _ in masked.values())
                assert len(masked) == len(told["fields"])
            else:
                reached += 1
                assert masked == {f["field"]: (f["visibility"], f["kind"]) for f in seen["maskedFields"]}, (
                    name,
                    person,
                )
                for field in told["fields"]:
                    granted = field["grantedBy"] and not field["deniedBy"]
                    assert bool(granted) == (field["visibility"] != "HIDDEN") or field["sensitivity"] == "OPEN"
    assert reached > 20


def test_each_explanation_is_what_the_person_sees(company: Company, records: dict[str, str]) -> None:
    hold(company, records)


def test_and_so_it_is_under_another_policy(company: Company, records: dict[str, str]) -> None:
    enact(
        company,
        grants=[
            row("CLERK", "DEPARTMENT", NEGOTIATION="PARTIAL", CONTACT="HIDDEN"),
            row("AGENT", "ASSIGNED", NARRATIVE="HIDDEN"),
            row("AUDITOR", "ANY", IDENTITY="FULL"),
            {"role": "ACCOUNT_MANAGER", "relation": "OWNER", "levels": None},
        ],
        deny=[
            {"role": "SUPERVISOR", "relation": "DEPARTMENT", "sensitivity": "NAME"},
            {"role": "AUDITOR", "relation": "ANY", "sensitivity": "NEGOTIATION"},
        ],
    )
    hold(company, records)


def test_it_names_relations_rows_and_denials(company: Company, records: dict[str, str]) -> None:
    enact(
        company,
        grants=[row("AGENT", "ASSIGNED", IDENTITY="FULL")],
        deny=[{"role": "SUPERVISOR", "relation": "DEPARTMENT", "sensitivity": "FINANCIAL"}],
    )
    found = explain(company, records["customer"], "agent")
    assert (found["isReached"], found["openedBy"]) == (True, None)
    assert set(found["relations"]) == {"ASSIGNED", "DEPARTMENT", "ANY"}
    assert found["reachedThrough"] == [{"role": "AGENT", "relation": "ASSIGNED"}]
    fields = {field["field"]: field for field in found["fields"]}
    assert fields["identityNumbers"] == {
        "field": "identityNumbers", "sensitivity": "IDENTITY", "kind": "ID_NUMBER", "visibility": "FULL",
        "grantedBy": [{"role": "AGENT", "relation": "ASSIGNED"}], "deniedBy": [],
    }  # fmt: skip
    assert {"contacts.phone", "attributes.industry", "createdAt"} <= set(fields)
    # Two roles, of which one is denied what both grant
    both = explain(company, records["case"], "handling_supervisor")
    amount = next(field for field in both["fields"] if field["field"] == "disputedAmount")
    assert amount["visibility"] == "HIDDEN"
    assert amount["grantedBy"] == [{"role": "SUPERVISOR", "relation": "DEPARTMENT"}]
    assert amount["deniedBy"] == [{"role": "SUPERVISOR", "relation": "DEPARTMENT"}]


def test_it_says_why_somebody_does_not_reach_a_record(company: Company, records: dict[str, str]) -> None:
    away = explain(company, records["case"], "other_agent")
    assert (away["isReached"], away["relations"], away["reachedThrough"]) == (False, ["ANY"], [])
    admin = explain(company, records["case"], "admin")
    assert (admin["isReached"], admin["isActive"], admin["reachedThrough"]) == (False, True, [])
    # A clerk comes to the case, but not to what is said among colleagues.
    clerk = explain(company, records["internal event"], "clerk")
    assert (clerk["isReached"], clerk["openedBy"]) == (False, "NEGOTIATION")
    assert clerk["reachedThrough"] == [{"role": "CLERK", "relation": "DEPARTMENT"}]


def test_a_disabled_account_reaches_nothing(company: Company, records: dict[str, str]) -> None:
    name, user = employed(company, ["SUPERVISOR"])
    company.users[name] = user["id"]
    assert explain(company, records["case"], name)["isReached"]
    company.change("admin", "disableUser", "user { id }", id=user["id"], version=user["version"])
    found = explain(company, records["case"], name)
    assert (found["isActive"], found["isReached"], found["reachedThrough"]) == (False, False, [])
    assert {field["visibility"] for field in found["fields"]} == {"HIDDEN"}


def test_no_value_of_the_record_is_shown(company: Company, world: dict[str, Any], records: dict[str, str]) -> None:
    """Whoever explains sees no more than before, and less than the person does."""
    for record in records.values():
        for person in ("manager", "agent", "supervisor"):
            text = dumped(explain(company, record, person))
            assert not [secret for secret in (*SECRETS, world["phone"], world["card"]) if secret in text]


def test_each_explanation_is_in_the_journal(company: Company, records: dict[str, str]) -> None:
    document = """query($f: AuditEntryFilter) { auditEntries(filter: $f, first: 1) {
        nodes { action actor records details } } }"""
    for name, person in (("customer", "agent"), ("internal event", "clerk")):
        explain(company, records[name], person)
        for about in (records[name], company.users[person]):
            (entry,) = company.data("auditor", document, f={"record": about, "actions": ["access.explain"]})[
                "auditEntries"
            ]["nodes"]
            assert entry["actor"] == company.users["compliance"]
            assert sorted(entry["records"]) == sorted([records[name], company.users[person]])
            assert f'"reached":{str(person == "agent").lower()}' in entry["details"]


@pytest.mark.parametrize("person", [person for person in ROLES if person != "compliance"])
def test_nobody_else_may_ask(company: Company, stores: Stores, records: dict[str, str], person: str) -> None:
    """Otherwise one could find out whether a record exists, and how others stand to it."""
    answers = [
        company.ask(person, EXPLAIN, i=record, a=company.users[person])
        for record in (records["case"], "cas_01jdm2000000000000000000aa")
    ]
    assert all(answer["data"] == {"explainAccess": None} for answer in answers)
    assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == ["NOT_PERMITTED"] * 2
    assert stores.refusals(company.users[person])[0]["details"]["steps"] == ["access.explain"]


def test_nobody_asks_without_a_session(company: Company, records: dict[str, str]) -> None:
    answer = company.ask(None, EXPLAIN, i=records["case"], a=company.users["agent"])
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("given", [
    "cas_01jdm2000000000000000000aa", "cus_01jdm2000000000000000000aa", "evt_01jdm2000000000000000000aa",
    "evd_01jdm2000000000000000000aa", "usr_01jdm2000000000000000000aa", "x", "",
])  # fmt: skip
def test_what_there_is_not_has_no_explanation(company: Company, records: dict[str, str], given: str) -> None:
    assert company.data("compliance", EXPLAIN, i=given, a=company.users["agent"])["explainAccess"] is None
    assert company.data("compliance", EXPLAIN, i=records["case"], a=given)["explainAccess"] is None


def test_who_explains_does_not_get_beyond_their_own_reach(company: Company, records: dict[str, str]) -> None:
    """A policy under which COMPLIANCE has no rows leaves them nothing to explain."""
    enact(company, grants=[{"role": "COMPLIANCE", "relation": "ANY", "levels": None}])
    assert as_seen(company, "compliance", "case", records["case"]) is None
    for record in records.values():
        assert explain(company, record, "agent") is None
