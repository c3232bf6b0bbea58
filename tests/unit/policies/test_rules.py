"""What a proposal of another policy may say, and that none locks everybody out (P14). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from service.access.declared import SEALED_CLASSES, Level
from service.access.policy import Policy, Relation, Role
from service.errors import Code, Problems
from service.policies.rules import check_lockout, compared, flat, read_reason, revised
from service.policies.service import seed_data

STEPS = frozenset(seed_data()["steps"])
STAFF = {frozenset({role}): 1 for role in Role}


def levels(level: str = "FULL", **others: str) -> list[dict[str, str]]:
    return [{"sensitivity": c.value, "level": others.get(c.value, level)} for c in SEALED_CLASSES]


def grant(**changed: Any) -> dict[str, Any]:
    return {"role": "AGENT", "relation": "ASSIGNED", "levels": levels(), **changed}


def revise(**changes: Any) -> tuple[dict[str, Any], list[tuple[Code, str | None]]]:
    problems = Problems()
    content = revised(seed_data(), changes, STEPS, problems)
    return content, [(problem.code, problem.field) for problem in problems.found]


def locked_out(staff: dict[frozenset[Role], int] | None = None, **steps: list[list[str]]) -> list[str | None]:
    problems, seed = Problems(), seed_data()
    given = {name.replace("_", ".", 1): grants for name, grants in steps.items()}
    check_lockout({**seed, "steps": {**seed["steps"], **given}}, STAFF if staff is None else staff, problems)
    assert all(problem.code is Code.VALIDATION for problem in problems.found)
    assert all(problem.message("en") != problem.message("zh-CN") for problem in problems.found)
    return [problem.field for problem in problems.found]


# What is changed, and what stays


def test_a_row_is_replaced_and_the_others_stay() -> None:
    content, problems = revise(grants=[grant(levels=levels("PARTIAL", NAME="FULL"))])
    assert problems == []
    policy, before = Policy.read({"version": 2, **content}), Policy.read(seed_data())
    changed = {grant for grant in policy.levels if policy.levels[grant] != before.levels[grant]}
    assert changed == {(Role.AGENT, Relation.ASSIGNED)}
    assert set(policy.levels) == set(before.levels)
    assert (policy.deny, policy.steps) == (before.deny, before.steps)


def test_a_row_is_added_and_one_with_null_for_its_levels_is_removed() -> None:
    content, problems = revise(
        grants=[grant(relation="DEPARTMENT"), {"role": "CLERK", "relation": "DEPARTMENT", "levels": None}]
    )
    assert problems == []
    before, after = set(Policy.read(seed_data()).levels), set(Policy.read({"version": 2, **content}).levels)
    assert after - before == {(Role.AGENT, Relation.DEPARTMENT)}
    assert before - after == {(Role.CLERK, Relation.DEPARTMENT)}


def test_levels_are_read_by_name_and_by_number() -> None:
    """The API's enum has the numbers, what is stored the names."""
    named, _ = revise(grants=[grant(levels=levels("PARTIAL"))])
    numbers = [{"sensitivity": c.value, "level": 2} for c in SEALED_CLASSES]
    assert revise(grants=[grant(levels=numbers)]) == (named, [])


def test_a_step_is_given_to_others_or_to_nobody() -> None:
    content, problems = revise(
        steps=[
            {"step": "case.assign", "grants": [{"role": "COMPLIANCE", "relation": "ANY"}]},
            {"step": "case.note", "grants": []},
        ]
    )
    assert problems == []
    assert content["steps"]["case.assign"] == [["COMPLIANCE", "ANY"]]
    assert content["steps"]["case.note"] == []
    assert content["steps"]["case.close"] == seed_data()["steps"]["case.close"]


def test_the_list_of_denials_is_replaced_as_a_whole() -> None:
    content, problems = revise(deny=[{"role": "AUDITOR", "relation": "ANY", "sensitivity": "NAME"}])
    assert problems == []
    assert content["deny"] == [{"role": "AUDITOR", "relation": "ANY", "class": "NAME"}]


def test_what_changes_nothing_is_refused() -> None:
    assert revise()[1] == [(Code.VALIDATION, None)]
    seed = seed_data()["grants"][0]
    same = [{"sensitivity": name, "level": level} for name, level in seed["levels"].items()]
    assert revise(grants=[grant(levels=same)], deny=[], steps=[])[1] == [(Code.VALIDATION, None)]
    steps = [{"role": role, "relation": relation} for role, relation in reversed(seed_data()["steps"]["case.raise"])]
    assert revise(steps=[{"step": "case.raise", "grants": steps}])[1] == [(Code.VALIDATION, None)], "nor another order"


# What can't be read is named


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"grants": [grant(), grant(role="KING", relation="OWNER")]}, ["grants.1.role"]),
        ({"grants": [grant(relation="FRIEND")]}, ["grants.0.relation"]),
        ({"grants": [grant(role=None)]}, ["grants.0.role"]),
        ({"grants": [grant(levels=[*levels(), {"sensitivity": "SECRET", "level": "FULL"}])]}, ["grants.0.levels.6.sensitivity"]),
        ({"grants": [grant(levels=levels(NAME="ALL"))]}, ["grants.0.levels.0.level"]),
        ({"grants": [grant(levels=[{"sensitivity": "NAME", "level": 4}])]}, ["grants.0.levels.0.level"]),
        ({"grants": [grant(levels=[{"sensitivity": "OPEN", "level": "FULL"}, *levels()])]}, ["grants.0.levels.0.sensitivity"]),
        ({"grants": [grant(levels=[*levels(), *levels()[:1]])]}, ["grants.0.levels.6.sensitivity"]),
        ({"grants": [grant(levels=levels()[1:])]}, ["grants.0.levels"]),
        ({"grants": [grant(levels=[])]}, ["grants.0.levels"]),
        ({"grants": [grant(levels=levels("HIDDEN"))]}, ["grants.0.levels"]),
        ({"grants": [grant(), grant()]}, ["grants.1"]),
        ({"deny": [{"role": "KING", "relation": "ANY", "sensitivity": "NAME"}]}, ["deny.0.role"]),
        ({"deny": [{"role": "AUDITOR", "relation": "ALL", "sensitivity": "NAME"}]}, ["deny.0.relation"]),
        ({"deny": [{"role": "AUDITOR", "relation": "ANY", "sensitivity": "SECRET"}]}, ["deny.0.sensitivity"]),
        ({"deny": [{"role": "AUDITOR", "relation": "ANY", "sensitivity": "OPEN"}]}, ["deny.0.sensitivity"]),
        ({"deny": [{"role": "AUDITOR", "relation": "ANY", "sensitivity": "NAME"}] * 2}, ["deny.1"]),
        ({"steps": [{"step": "case.burn", "grants": []}]}, ["steps.0.step"]),
        ({"steps": [{"step": "case.note", "grants": [{"role": "KING", "relation": "ANY"}]}]}, ["steps.0.grants.0.role"]),
        ({"steps": [{"step": "case.note", "grants": [{"role": "AGENT", "relation": "X"}]}]}, ["steps.0.grants.0.relation"]),
        ({"steps": [{"step": "case.note", "grants": [{"role": "AGENT", "relation": "ANY"}] * 2}]}, ["steps.0.grants.1"]),
        ({"steps": [{"step": "case.note", "grants": []}] * 2}, ["steps.1.step"]),
        ({"grants": [grant(role="KING")], "steps": [{"step": "x", "grants": []}]}, ["grants.0.role", "steps.0.step"]),
    ],
)  # fmt: skip
def test_what_is_unknown_or_stands_twice_is_named(changes: dict[str, Any], fields: list[str]) -> None:
    assert revise(**changes)[1] == [(Code.VALIDATION, field) for field in fields]


def test_a_row_says_what_becomes_of_its_levels() -> None:
    """Absent is no removal: what a client forgot takes nobody's rights away."""
    assert revise(grants=[{"role": "AGENT", "relation": "ASSIGNED"}])[1] == [(Code.REQUIRED, "grants.0.levels")]
    missing = {"role": "AGENT", "relation": "OWNER", "levels": None}
    assert revise(grants=[missing])[1] == [(Code.NOT_FOUND, "grants.0")]


@pytest.mark.parametrize(
    ("reason", "code"),
    [("", Code.REQUIRED), ("\u200b", Code.REQUIRED), (None, Code.REQUIRED), ("长" * 501, Code.TOO_LONG),
     ("因客户 13812341234 投诉", Code.VALIDATION)],
)  # fmt: skip
def test_a_reason_is_given_and_holds_no_identifier(reason: str | None, code: Code) -> None:
    """Policies and the journal are not sealed."""
    problems = Problems()
    read_reason(reason, problems)
    assert [(problem.code, problem.field) for problem in problems.found] == [(code, "reason")]


# Nobody is locked out


def test_the_seed_locks_nobody_out() -> None:
    assert locked_out() == []


@pytest.mark.parametrize("step", ["user.manage", "audit.read", "policy.propose", "policy.confirm"])
@pytest.mark.parametrize("grants", [[], [["ADMIN", "OWNER"], ["COMPLIANCE", "DEPARTMENT"]]])
def test_somebody_must_be_able_to(step: str, grants: list[list[str]]) -> None:
    """A relation to a record is none to what is about no record."""
    assert locked_out(**{step.replace(".", "_"): grants}) == [f"steps.{step}"]


def test_whoever_decides_policies_must_be_able_to_read_them() -> None:
    assert locked_out(policy_read=[["AUDITOR", "ANY"]]) == ["steps.policy.propose", "steps.policy.confirm"]


def test_a_role_that_nobody_active_has_does_not_count() -> None:
    without_compliance = {roles: count for roles, count in STAFF.items() if Role.COMPLIANCE not in roles}
    assert locked_out(without_compliance) == ["steps.policy.confirm"]
    assert locked_out(without_compliance, policy_confirm=[["AUDITOR", "ANY"]]) == []
    assert locked_out({}) == ["steps.user.manage", "steps.audit.read", "steps.policy.propose", "steps.policy.confirm"]


def test_it_takes_two_people() -> None:
    both = frozenset({Role.ADMIN, Role.COMPLIANCE})
    assert locked_out({both: 1}) == ["steps.policy.confirm"]
    assert locked_out({both: 2}) == []
    assert locked_out({both: 1, frozenset({Role.ADMIN}): 1}) == []


# What differs


def test_what_differs_is_told_before_and_after() -> None:
    content, _ = revise(
        grants=[grant(levels=levels("FULL", IDENTITY="HIDDEN"))],
        deny=[{"role": "AUDITOR", "relation": "ANY", "sensitivity": "NAME"}],
        steps=[{"step": "case.assign", "grants": []}],
    )
    before, after = compared(seed_data(), content)
    assert before == {
        "AGENT ASSIGNED IDENTITY": "PARTIAL",
        "AGENT ASSIGNED FINANCIAL": "PARTIAL",
        "case.assign": "SUPERVISOR (DEPARTMENT)",
    }
    assert after == {
        "AGENT ASSIGNED IDENTITY": "HIDDEN",
        "AGENT ASSIGNED FINANCIAL": "FULL",
        "deny AUDITOR ANY NAME": "HIDDEN",
        "case.assign": "nobody",
    }


def test_equal_policies_and_no_others_are_flat_alike() -> None:
    """1,000 random pairs: whatever changes an answer of the policy is told by `compared`."""
    random = Random(5)

    def some() -> dict[str, Any]:
        rows = [(role, relation) for role in list(Role)[:2] for relation in list(Relation)[:2]]
        return {
            "grants": [
                {"role": role.value, "relation": relation.value,
                 "levels": {c.value: random.choice(["FULL", "HIDDEN"]) for c in SEALED_CLASSES[:2]}}
                for role, relation in rows if random.random() < 0.5
            ],
            "deny": [{"role": rows[0][0].value, "relation": rows[0][1].value, "class": "NAME"}][: random.randint(0, 1)],
            "steps": {"case.note": [[rows[0][0].value, "ANY"]][: random.randint(0, 1)]},
        }  # fmt: skip

    def answers(content: dict[str, Any]) -> Any:
        policy = Policy.read({"version": 1, **content})
        return policy.levels, policy.deny, policy.steps

    for _ in range(1_000):
        one, other = some(), some()
        assert (flat(one) == flat(other)) == (answers(one) == answers(other))
        assert (compared(one, other) == ({}, {})) == (answers(one) == answers(other))


# Why a class is seen


def test_the_reasons_of_a_level_are_those_that_make_it() -> None:
    """Of 2,000 random policies: a level is that of its grants unless it is denied; without them nobody sees anything."""
    random = Random(7)
    every = [(role, relation) for role in Role for relation in Relation]

    def pick(options: Iterable[Any]) -> frozenset[Any]:
        return frozenset(option for option in options if random.random() < 0.5)

    for _ in range(2_000):
        rows = {row: {c: random.choice(list(Level)) for c in SEALED_CLASSES} for row in pick(every)}
        deny = frozenset((*row, c) for row in pick(every) for c in SEALED_CLASSES if random.random() < 0.05)
        policy = Policy(1, rows, deny, {})
        roles, relations = pick(Role), pick(Relation)
        row = policy.row(roles, relations)
        for sensitivity in SEALED_CLASSES:
            granting, denying = policy.reasons(roles, relations, sensitivity)
            assert all(role in roles and relation in relations for role, relation in (*granting, *denying))
            if denying or not granting:
                assert row[sensitivity] is Level.HIDDEN
            else:
                assert {policy.levels[grant][sensitivity] for grant in granting} == {row[sensitivity]}
