"""Who may propose another policy, who may confirm it, what is refused, and what the journal tells of it (P14, R65)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from service.access.policy import Policy
from service.policies.service import seed_data
from tests.fixtures.company import PASSWORD, ROLES, Company, another_process, environment_of
from tests.graphql.conftest import Stores
from tests.graphql.policy_world import (
    POLICY,
    PROPOSAL,
    company,
    enact,
    propose,
    put,
    refusals,
    row,
    seeded,
    step,
    version,
)

__all__ = ["company", "seeded"]
READERS = ("admin", "compliance", "auditor")
NARROWED = {"grants": [row("AGENT", "ASSIGNED", IDENTITY="HIDDEN")]}


@pytest.fixture(scope="module")
def both(company: Company) -> str:
    """Somebody who is ADMIN and COMPLIANCE; whose token to ask for."""
    company.change(
        "admin", "createUser", "user { id }", email="both@example.com", name="两职", roles=["ADMIN", "COMPLIANCE"],
        password=PASSWORD,
    )  # fmt: skip
    company.token("both")
    return "both"


def entries(company: Company, record: str) -> list[dict[str, Any]]:
    """What the journal tells of a record, oldest first."""
    document = "query($r: ID!) { auditEntries(filter: {record: $r}) { nodes { action actor reason records details } } }"
    nodes = company.data("auditor", document, r=record)["auditEntries"]["nodes"]
    return [{**node, "details": json.loads(node["details"])} for node in reversed(nodes)]


# Reading


@pytest.mark.parametrize("person", READERS)
def test_the_policy_is_read_as_it_is_stored(company: Company, person: str) -> None:
    found = company.data(person, POLICY)["policy"]
    seed = Policy.read(seed_data())
    grants = {
        (g["role"], g["relation"]): {one["sensitivity"]: one["level"] for one in g["levels"]} for g in found["grants"]
    }
    assert grants == {(g["role"], g["relation"]): g["levels"] for g in seed_data()["grants"]}
    steps = {s["step"]: {(g["role"], g["relation"]) for g in s["grants"]} for s in found["steps"]}
    assert steps == {
        name: {(role.value, relation.value) for role, relation in grants} for name, grants in seed.steps.items()
    }
    assert found["deny"] == []
    assert found["since"]


@pytest.mark.parametrize("person", [person for person in ROLES if person not in READERS])
def test_nobody_else_reads_it(company: Company, person: str) -> None:
    answer = company.ask(person, POLICY)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["NOT_PERMITTED"]
    assert answer["data"] is None


def test_the_command_line_prints_the_policy_in_force(company: Company) -> None:
    """Not the seed's: people compare it with what they meant."""
    enact(company, **NARROWED, deny=[{"role": "AUDITOR", "relation": "ANY", "sensitivity": "NAME"}])

    def shown(*options: str) -> str:
        command = [sys.executable, "-m", "service.cli", "policy", "show", *options]
        return subprocess.run(
            command, env=environment_of(company.settings), capture_output=True, text=True, timeout=60, check=True
        ).stdout

    found = json.loads(shown("--json"))
    agent = next(grant for grant in found["grants"] if grant["role"] == "AGENT")
    assert (found["version"], agent["levels"]["IDENTITY"]) == (version(company), "HIDDEN")
    table = shown()
    assert f"version {version(company)}" in table
    assert "ACCOUNT_MANAGER" in table
    assert "denied" in table
    assert shown("--markdown") != shown("--markdown", "--seed")


# Two people


def test_what_one_proposes_another_puts_in_force(company: Company) -> None:
    # Given a policy
    before = version(company)
    # When ADMIN proposes another
    proposal = propose(company, **NARROWED)
    # Then it waits, and nothing is otherwise
    assert (proposal["state"], proposal["base"]) == ("OPEN", before)
    assert proposal["changes"] == [{"what": "AGENT ASSIGNED IDENTITY", "before": "PARTIAL", "after": "HIDDEN"}]
    waiting = company.data("compliance", POLICY)["policy"]
    assert (waiting["version"], [one["id"] for one in waiting["proposals"]]) == (before, [proposal["id"]])
    # When COMPLIANCE confirms it
    decided = company.change("compliance", "confirmPolicy", PROPOSAL, id=proposal["id"])
    # Then it is in force, and says who did it
    assert (decided["state"], decided["decidedBy"]["id"]) == ("CONFIRMED", company.users["compliance"])
    found = company.data("auditor", POLICY)["policy"]
    assert (found["version"], found["proposals"], found["reason"]) == (before + 1, [], "按制度调整")
    assert found["proposedBy"]["id"] == company.users["admin"]
    assert found["confirmedBy"]["id"] == company.users["compliance"]
    agent = next(g for g in found["grants"] if g["role"] == "AGENT")
    assert {"sensitivity": "IDENTITY", "level": "HIDDEN"} in agent["levels"]


def test_the_journal_tells_what_was_before_and_after(company: Company) -> None:
    base = version(company)
    proposal = propose(company, **NARROWED, steps=[step("case.note", ("AGENT", "ASSIGNED"))])
    company.change("compliance", "confirmPolicy", PROPOSAL, id=proposal["id"])
    proposed, confirmed = entries(company, proposal["id"])
    assert (proposed["action"], proposed["actor"]) == ("policy.propose", company.users["admin"])
    assert (confirmed["action"], confirmed["actor"]) == ("policy.confirm", company.users["compliance"])
    assert proposed["reason"] == "按制度调整"
    told = {
        "base": base,
        "before": {
            "AGENT ASSIGNED IDENTITY": "PARTIAL",
            "case.note": "ACCOUNT_MANAGER (OWNER), AGENT (ASSIGNED), SUPERVISOR (DEPARTMENT)",
        },
        "after": {"AGENT ASSIGNED IDENTITY": "HIDDEN", "case.note": "AGENT (ASSIGNED)"},
    }
    assert proposed["details"]["details"] == told
    assert confirmed["details"]["details"] == told
    (made,) = (record for record in confirmed["details"]["records"] if record["id"] != proposal["id"])
    assert (made["id"][:4], made["version"]) == ("pol_", base + 1)


def test_a_proposal_is_rejected_with_a_reason(company: Company) -> None:
    before = version(company)
    proposal = propose(company, **NARROWED)
    rejected = company.change("compliance", "rejectPolicy", PROPOSAL, id=proposal["id"], reason="  过严 ")
    assert (rejected["state"], rejected["rejectionReason"]) == ("REJECTED", "过严")
    assert (version(company), company.data("admin", POLICY)["policy"]["proposals"]) == (before, [])
    entry = entries(company, proposal["id"])[-1]
    assert (entry["action"], entry["reason"]) == ("policy.reject", "过严")
    assert entry["details"]["details"]["after"] == {"AGENT ASSIGNED IDENTITY": "HIDDEN"}
    # And it can't be confirmed any more, nor rejected again.
    for mutation, further in (("confirmPolicy", {}), ("rejectPolicy", {"reason": "再次"})):
        assert refusals(company, "compliance", mutation, id=proposal["id"], **further) == [
            ("NOT_ALLOWED_IN_STATE", "id")
        ]


# Who may not


@pytest.mark.parametrize("person", [person for person in ROLES if person != "admin"])
def test_only_admin_proposes(company: Company, stores: Stores, person: str) -> None:
    given = {"version": version(company), "reason": "提权", "grants": [row("AGENT", "ANY", NAME="FULL")]}
    before = stores.everything()
    assert company.refused(person, "updatePolicy", PROPOSAL, **given) == "NOT_PERMITTED"
    assert stores.everything() == before
    assert stores.refusals(company.users[person])[0]["details"]["steps"] == ["policy.propose"]


@pytest.mark.parametrize("person", [person for person in ROLES if person != "compliance"])
def test_only_compliance_decides(company: Company, stores: Stores, person: str) -> None:
    proposal = propose(company, **NARROWED)
    before = stores.everything()
    assert company.refused(person, "confirmPolicy", PROPOSAL, id=proposal["id"]) == "NOT_PERMITTED"
    assert company.refused(person, "rejectPolicy", PROPOSAL, id=proposal["id"], reason="不") == "NOT_PERMITTED"
    assert stores.everything() == before
    refusal = stores.refusals(company.users[person])[0]
    assert refusal["details"]["steps"] == ["policy.confirm"]
    assert refusal["records"][0]["id"] == proposal["id"]


def test_nobody_decides_what_they_proposed_whatever_their_roles(company: Company, stores: Stores, both: str) -> None:
    proposal = propose(company, both, **NARROWED)
    before = stores.everything()
    assert company.refused(both, "confirmPolicy", PROPOSAL, id=proposal["id"]) == "NOT_PERMITTED"
    assert company.refused(both, "rejectPolicy", PROPOSAL, id=proposal["id"], reason="不") == "NOT_PERMITTED"
    assert stores.everything() == before
    # What somebody else proposed they may confirm.
    other = propose(company, **NARROWED)
    assert company.change(both, "confirmPolicy", PROPOSAL, id=other["id"])["state"] == "CONFIRMED"


def test_whoever_is_not_signed_in_is_told_nothing(company: Company, stores: Stores) -> None:
    proposal = propose(company, **NARROWED)
    before = stores.everything()
    documents = (
        "{ policy { version } }",
        'mutation { updatePolicy(input: {version: 1, reason: "x"}) { proposal { id } } }',
        f'mutation {{ confirmPolicy(input: {{id: "{proposal["id"]}"}}) {{ proposal {{ id }} }} }}',
        f'mutation {{ rejectPolicy(input: {{id: "{proposal["id"]}", reason: "x"}}) {{ proposal {{ id }} }} }}',
    )
    for document in documents:
        answer = company.ask(None, document)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
    assert stores.everything() == before


# Versions and repeats


def test_a_stale_version_is_a_conflict(company: Company, stores: Stores) -> None:
    old = version(company)
    enact(company, **NARROWED)
    before = stores.everything()
    given = {"reason": "基于旧版", "grants": [row("CLERK", "DEPARTMENT", CONTACT="HIDDEN")]}
    for stale in (old, old + 2, 0, -1):
        assert refusals(company, "admin", "updatePolicy", version=stale, **given) == [("CONFLICT", "version")]
    assert stores.everything() == before


def test_a_proposal_of_a_former_version_is_never_in_force(company: Company, stores: Stores) -> None:
    """Otherwise it would take back, unseen, what was confirmed meanwhile."""
    proposal = propose(company, **NARROWED)
    enact(company, grants=[row("CLERK", "DEPARTMENT", CONTACT="HIDDEN")])
    before = stores.everything()
    assert refusals(company, "compliance", "confirmPolicy", id=proposal["id"]) == [("CONFLICT", "id")]
    assert refusals(company, "compliance", "rejectPolicy", id=proposal["id"], reason="旧") == [("CONFLICT", "id")]
    assert stores.everything() == before
    assert company.data("compliance", POLICY)["policy"]["proposals"] == [], "nor does anybody see it waiting"


def test_of_many_confirmations_at_once_one_holds(company: Company, stores: Stores) -> None:
    before = version(company)
    proposals = [
        propose(company, grants=[row("AGENT", "ASSIGNED", CONTACT=level)])["id"] for level in ("BLIND", "HIDDEN")
    ]
    answers: list[Any] = []

    def confirm(proposal: str) -> None:
        answers.append(company.attempt("compliance", "confirmPolicy", PROPOSAL, id=proposal))

    threads = [threading.Thread(target=confirm, args=(proposals[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    (held,) = (answer["proposal"] for answer in answers if answer["proposal"])
    codes = {error["code"] for answer in answers for error in answer["userErrors"]}
    assert codes <= {"CONFLICT", "NOT_ALLOWED_IN_STATE"}
    assert version(company) == before + 1
    states = {document["_id"]: document["state"] for document in stores.find("policy_proposals", {"base": before})}
    assert {held["id"]: "CONFIRMED"}.items() <= states.items()
    assert sum(states[proposal] == "CONFIRMED" for proposal in proposals) == 1


def test_a_repeat_answers_with_what_the_first_call_did(company: Company, stores: Stores) -> None:
    given = {"version": version(company), "reason": "按制度调整", "idempotencyKey": "propose-once", **NARROWED}
    first = company.change("admin", "updatePolicy", PROPOSAL, **given)
    confirmation = {"id": first["id"], "idempotencyKey": "confirm-once"}
    confirmed = company.change("compliance", "confirmPolicy", PROPOSAL, **confirmation)
    before = stores.everything()
    assert company.change("admin", "updatePolicy", PROPOSAL, **given) == confirmed
    assert company.change("compliance", "confirmPolicy", PROPOSAL, **confirmation) == confirmed
    other = {**given, "reason": "其他"}
    assert refusals(company, "admin", "updatePolicy", **other) == [("IDEMPOTENCY_MISMATCH", "idempotencyKey")]
    assert stores.everything() == before


# What is refused


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, ("VALIDATION", None)),
        ({"grants": [row("AGENT", "ASSIGNED")]}, ("VALIDATION", None)),
        ({"grants": [{"role": "AGENT", "relation": "ASSIGNED", "levels": []}]}, ("VALIDATION", "grants.0.levels")),
        ({"grants": [{"role": "AGENT", "relation": "ASSIGNED"}]}, ("REQUIRED", "grants.0.levels")),
        ({"grants": [{"role": "ADMIN", "relation": "ANY", "levels": None}]}, ("NOT_FOUND", "grants.0")),
        ({"deny": [{"role": "AGENT", "relation": "ANY", "sensitivity": "OPEN"}]}, ("VALIDATION", "deny.0.sensitivity")),
        ({"steps": [step("case.burn")]}, ("VALIDATION", "steps.0.step")),
        ({"steps": [step("user.manage")]}, ("VALIDATION", "steps.user.manage")),
        ({"steps": [step("user.manage", ("ADMIN", "OWNER"))]}, ("VALIDATION", "steps.user.manage")),
        ({"steps": [step("audit.read")]}, ("VALIDATION", "steps.audit.read")),
        ({"steps": [step("policy.propose")]}, ("VALIDATION", "steps.policy.propose")),
        ({"steps": [step("policy.confirm")]}, ("VALIDATION", "steps.policy.confirm")),
        ({**NARROWED, "reason": " "}, ("REQUIRED", "reason")),
        ({**NARROWED, "reason": "电话 13812341234"}, ("VALIDATION", "reason")),
    ],
)  # fmt: skip
def test_a_proposal_that_can_not_be_meant_is_refused_by_its_field(
    company: Company, stores: Stores, given: dict[str, Any], problem: tuple[str, str | None]
) -> None:
    base, before = version(company), stores.everything()
    assert refusals(company, "admin", "updatePolicy", **{"version": base, "reason": "试", **given}) == [problem]
    assert stores.everything() == before


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"grants": [{**row("AGENT", "ANY", NAME="FULL"), "role": "KING"}]}, "grants[0].role"),
        ({"grants": [{**row("AGENT", "ANY", NAME="FULL"), "relation": "FRIEND"}]}, "grants[0].relation"),
        ({"grants": [row("AGENT", "ANY", NAME="ALL")]}, "grants[0].levels[0].level"),
        ({"deny": [{"role": "AGENT", "relation": "ANY", "sensitivity": "SECRET"}]}, "deny[0].sensitivity"),
    ],
)
def test_what_is_no_value_of_an_enum_is_refused_by_its_place(
    company: Company, stores: Stores, given: dict[str, Any], place: str
) -> None:
    base, before = version(company), stores.everything()
    document = "mutation($i: UpdatePolicyInput!) { updatePolicy(input: $i) { proposal { id } } }"
    answer = company.ask("admin", document, i={"version": base, "reason": "试", **given})
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert place in error["message"]
    assert stores.everything() == before


def test_a_template_with_an_unknown_class_is_refused_by_its_place(company: Company, stores: Stores) -> None:
    before = stores.everything()
    document = "mutation($i: PublishTemplateInput!) { publishTemplate(input: $i) { template { id } } }"
    label = {"zh": "字段", "en": "Field"}
    field = {"key": "hidden_thing", "type": "TEXT", "label": label, "sensitivity": "SECRET"}
    answer = company.ask("admin", document, i={"of": "CUSTOMER", "label": label, "fields": [field]})
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert "fields[0].sensitivity" in error["message"]
    assert stores.everything() == before


def test_somebody_must_be_left_by_the_time_of_the_confirmation(company: Company, stores: Stores, both: str) -> None:
    """The people who are counted are those of the moment in which it would be in force."""
    # Given a proposal under which one step has a single person, who is disabled meanwhile
    user = company.change(
        "admin", "createUser", "user { id version }", email="only.auditor@example.com", name="唯一",
        roles=["AUDITOR", "ADMIN"], password=PASSWORD,
    )  # fmt: skip
    auditors = company.data("admin", "{ users(role: AUDITOR, first: 50) { nodes { id version name } } }")["users"][
        "nodes"
    ]
    proposal = propose(company, steps=[step("audit.read", ("AUDITOR", "ANY"))])
    changed = [
        company.change("admin", "disableUser", "user { id version }", id=one["id"], version=one["version"])
        for one in auditors
    ]
    try:
        # When it is to be confirmed, then it is refused, and nothing is otherwise
        before = stores.everything()
        problem = ("VALIDATION", "steps.audit.read")
        assert refusals(company, "compliance", "confirmPolicy", id=proposal["id"]) == [problem]
        assert stores.everything() == before
    finally:
        for one in changed:
            if one["id"] != user["id"]:
                company.change("admin", "updateUser", "user { id }", **one, state="ACTIVE")
    company._tokens.pop("auditor")  # ended with the account
    assert company.change("compliance", "confirmPolicy", PROPOSAL, id=proposal["id"])["state"] == "CONFIRMED"


@pytest.mark.parametrize("given", ["ppr_01jdm2000000000000000000aa", "pol_01jdm2000000000000000000aa", "x", ""])
def test_what_there_is_not_can_not_be_decided(company: Company, given: str) -> None:
    code = "NOT_FOUND" if given.startswith("ppr") else "INVALID_ID"
    assert refusals(company, "compliance", "confirmPolicy", id=given) == [(code, "id")]


# A newer program


def test_an_api_that_starts_adds_the_steps_which_the_stored_policy_does_not_know(
    company: Company, stores: Stores
) -> None:
    # Given a policy that an older program stored
    put(stores, steps={name: grants for name, grants in seed_data()["steps"].items() if name != "policy.propose"})
    old = version(company)
    given = {"version": old, "reason": "试", **NARROWED}
    assert company.refused("admin", "updatePolicy", PROPOSAL, **given) == "NOT_PERMITTED", "a step that nobody has"
    # When a process of the newer one starts
    with another_process(company):
        # Then every process knows the step, and the journal who added it
        assert version(company) == old + 1
        assert propose(company, **NARROWED)["base"] == old + 1
    document = '{ auditEntries(filter: {actions: ["policy.complete"]}, first: 1) { nodes { actor details } } }'
    (entry,) = company.data("auditor", document)["auditEntries"]["nodes"]
    assert entry["actor"] == "system"
    assert json.loads(entry["details"])["details"] == {"before": {}, "after": {"policy.propose": "ADMIN"}}
