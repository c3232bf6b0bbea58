"""The seeded policy is the table of the design, cell by cell; deny beats grants; what may be asked is the lowest."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest

from service.access.actor import Actor, Caller
from service.access.declared import Level, Sensitivity
from service.access.policy import Policy, Relation, Role
from service.errors import NotPermitted
from service.policies.rules import read_policy
from service.policies.service import seed_data

F, P, B, H = Level.FULL, Level.PARTIAL, Level.BLIND, Level.HIDDEN
CLASSES = ("NAME", "CONTACT", "IDENTITY", "FINANCIAL", "NARRATIVE", "NEGOTIATION")
# role, relation:               NAME CONTACT IDENTITY FINANCIAL NARRATIVE NEGOTIATION
TABLE = {
    ("AGENT", "ASSIGNED"):        (F, F, P, P, F, F),
    ("ACCOUNT_MANAGER", "OWNER"): (F, F, P, F, F, F),
    ("SUPERVISOR", "DEPARTMENT"): (F, F, P, F, F, F),
    ("CLERK", "DEPARTMENT"):      (F, P, B, H, P, H),
    ("COMPLIANCE", "ANY"):        (F, P, P, P, P, P),
    ("AUDITOR", "ANY"):           (P, P, P, P, P, P),
}  # fmt: skip
STEPS = {
    "case.assign": {"SUPERVISOR"},
    "case.measure": {"AGENT"},
    "case.feedback": {"ACCOUNT_MANAGER"},
    "case.close": {"ACCOUNT_MANAGER"},
    "case.review": {"SUPERVISOR"},
    "case.archive": {"SUPERVISOR", "COMPLIANCE"},
    "evidence.create": {"CLERK", "AGENT", "ACCOUNT_MANAGER"},
    "template.publish": {"ADMIN"},
    "user.manage": {"ADMIN"},
    "audit.read": {"AUDITOR", "COMPLIANCE"},
}
EVERYTHING = frozenset(Relation)


@pytest.fixture
def policy() -> Policy:
    return read_policy(seed_data())


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("relation", list(Relation))
def test_each_cell_is_the_designs(policy: Policy, role: Role, relation: Relation) -> None:
    row = policy.row(frozenset({role}), frozenset({relation}))
    expected = TABLE.get((role.value, relation.value), (H,) * 6)
    assert tuple(row[Sensitivity(name)] for name in CLASSES) == expected
    assert row[Sensitivity.OPEN] is Level.FULL


def test_nobody_has_identity_in_full(policy: Policy) -> None:
    row = policy.row(frozenset(Role), EVERYTHING)
    assert row[Sensitivity.IDENTITY] is Level.PARTIAL


def test_admin_reaches_no_row(policy: Policy) -> None:
    admin = Caller(Actor("usr_a", "冯磊", frozenset({Role.ADMIN}), "dep_e"), policy)
    assert admin.reach.is_nothing


@pytest.mark.parametrize("step", sorted(STEPS))
def test_each_step_is_taken_by_its_roles_only(policy: Policy, step: str) -> None:
    may = {role.value for role in Role if policy.may(step, frozenset({role}), EVERYTHING)}
    assert may == STEPS[step]


def test_an_unknown_step_is_nobodys(policy: Policy) -> None:
    assert not policy.may("case.burn", frozenset(Role), EVERYTHING)


def test_a_right_through_one_relation_is_none_through_another(policy: Policy) -> None:
    agent = Caller(Actor("usr_a", "吴浩然", frozenset({Role.AGENT}), "dep_e"), policy)
    assert agent.may("case.measure", frozenset({Relation.ASSIGNED}))
    with pytest.raises(NotPermitted):
        agent.require("case.measure", frozenset({Relation.ANY, Relation.OWNER, Relation.DEPARTMENT}))


@pytest.mark.parametrize("roles", list(chain.from_iterable(combinations(list(Role), n) for n in (2, 3))))
def test_several_roles_have_the_widest_grant(policy: Policy, roles: tuple[Role, ...]) -> None:
    row = policy.row(frozenset(roles), EVERYTHING)
    for sensitivity in Sensitivity:
        alone = [policy.row(frozenset({role}), EVERYTHING)[sensitivity] for role in roles]
        assert row[sensitivity] == max(alone)


def test_deny_beats_every_grant() -> None:
    data: dict[str, Any] = seed_data()
    data["deny"] = [{"role": "AUDITOR", "relation": "ANY", "class": "CONTACT"}]
    policy = read_policy(data)
    roles = frozenset({Role.SUPERVISOR, Role.AUDITOR})
    assert policy.row(roles, EVERYTHING)[Sensitivity.CONTACT] is Level.HIDDEN
    assert policy.row(roles, EVERYTHING)[Sensitivity.NAME] is Level.FULL
    assert policy.row(frozenset({Role.SUPERVISOR}), EVERYTHING)[Sensitivity.CONTACT] is Level.FULL


def test_what_may_be_asked_is_the_lowest_of_all_relations(policy: Policy) -> None:
    both = frozenset({Role.SUPERVISOR, Role.AGENT})
    assert policy.lowest(both, Sensitivity.FINANCIAL) is Level.PARTIAL
    assert policy.lowest(both, Sensitivity.CONTACT) is Level.FULL
    assert policy.lowest(frozenset({Role.SUPERVISOR, Role.CLERK}), Sensitivity.FINANCIAL) is Level.HIDDEN
    assert policy.lowest(frozenset({Role.ADMIN}), Sensitivity.NAME) is Level.HIDDEN
    assert policy.lowest(frozenset({Role.ADMIN}), Sensitivity.OPEN) is Level.FULL


def test_a_denied_class_may_not_be_asked() -> None:
    data: dict[str, Any] = seed_data()
    data["deny"] = [{"role": "SUPERVISOR", "relation": "DEPARTMENT", "class": "NAME"}]
    assert read_policy(data).lowest(frozenset({Role.SUPERVISOR}), Sensitivity.NAME) is Level.HIDDEN


def test_a_deny_of_one_role_holds_for_what_the_other_may_ask() -> None:
    """Whoever is denied a class in a row may not find out by asking through another role's rows."""
    data: dict[str, Any] = seed_data()
    data["deny"] = [{"role": "AUDITOR", "relation": "ANY", "class": "NAME"}]
    policy = read_policy(data)
    roles = frozenset({Role.SUPERVISOR, Role.AUDITOR})
    assert policy.lowest(roles, Sensitivity.NAME) is Level.HIDDEN


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("grants", [{"role": "KING", "relation": "ANY", "levels": {}}]),
        ("grants", [{"role": "AGENT", "relation": "FRIEND", "levels": {}}]),
        ("grants", [{"role": "AGENT", "relation": "ANY", "levels": {"SECRET": "FULL"}}]),
        ("deny", [{"role": "AGENT", "relation": "ANY", "class": "SECRET"}]),
        ("steps", {"user.manage": [["KING", "ANY"]]}),
        ("steps", {"user.manage": []}),
    ],
)
def test_a_malformed_policy_is_never_in_force(part: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_policy({**seed_data(), part: value})
