"""The way of a case: a transition table that is total over steps and states; stations stamp themselves (R32–R35, R39)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.actor import Actor, Caller
from service.access.policy import Relation, Role
from service.cases.calendar import Calendar, ChineseWorkdays
from service.cases.model import CaseAction, CaseNode, CaseState, Direction, EventKind, Layer
from service.cases.rules import (
    REQUIRES,
    RESPONSIBLE,
    TRANSITIONS,
    Step,
    allowed_actions,
    check_archivist,
    check_review,
    first_nodes,
    layer_of,
    next_state,
    possible,
    stamped,
)
from service.errors import Code, Invalid, NotPermitted
from service.policies.rules import read_policy
from service.policies.service import seed_data
from service.templates.model import DeadlineClock, Label, NodeSchedule, Template, TemplateOf

# One line a step, one column a state; a dot is a refusal.
#               RAISED    ASSIGNED  HANDLING  ANSWERED  CLOSED    REVIEWED  SEALING   ARCHIVED
TABLE = """
update          RAISED    ASSIGNED  HANDLING  ANSWERED  .         .         .         .
assign          ASSIGNED  ASSIGNED  HANDLING  ANSWERED  .         .         .         .
measure         .         HANDLING  HANDLING  HANDLING  .         .         .         .
communicate     RAISED    ASSIGNED  HANDLING  ANSWERED  CLOSED    REVIEWED  .         .
note            RAISED    ASSIGNED  HANDLING  ANSWERED  CLOSED    REVIEWED  .         .
feedback        .         .         ANSWERED  ANSWERED  .         .         .         .
close           .         .         .         CLOSED    .         .         .         .
approve         .         .         .         .         REVIEWED  .         .         .
return          .         .         .         .         ASSIGNED  .         .         .
archive         .         .         .         .         .         SEALING   SEALING   .
seal            .         .         .         .         .         .         ARCHIVED  .
file            RAISED    ASSIGNED  HANDLING  ANSWERED  CLOSED    REVIEWED  .         .
"""
WAYS = {
    (line.split()[0], state.value): after
    for line in TABLE.strip().splitlines()
    for state, after in zip(CaseState, line.split()[1:], strict=True)
}
AT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=30)
CALENDAR = Calendar(ChineseWorkdays(), "Asia/Shanghai")
SCHEDULE = [
    NodeSchedule("RAISE", 0, DeadlineClock.AROUND_THE_CLOCK),
    NodeSchedule("HANDLE", 24, DeadlineClock.AROUND_THE_CLOCK),
    NodeSchedule("FEEDBACK", 48, DeadlineClock.AROUND_THE_CLOCK),
    NodeSchedule("ARCHIVE", 72, DeadlineClock.AROUND_THE_CLOCK),
]
LABEL = Label("客户异议", "Objection")
TEMPLATE = Template("tpl_x", TemplateOf.CASE, "standard", 1, LABEL, [], [], SCHEDULE, AT)


def test_the_table_names_every_step_and_state() -> None:
    assert set(WAYS) == {(step.value, state.value) for step in Step for state in CaseState}
    assert set(TRANSITIONS) == set(Step)


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize("state", list(CaseState))
def test_each_step_leads_where_the_table_says(step: Step, state: CaseState) -> None:
    after = WAYS[step.value, state.value]
    assert possible(step, state) == (after != ".")
    if after != ".":
        assert next_state(step, state) is CaseState(after)
        return
    with pytest.raises(Invalid) as refused:
        next_state(step, state)
    (problem,) = refused.value.problems
    assert (problem.code, problem.params) == (Code.NOT_ALLOWED_IN_STATE, {"state": state.value})


def test_nothing_leads_out_of_the_archive() -> None:
    assert not any(possible(step, CaseState.ARCHIVED) for step in Step)


@given(steps=st.lists(st.sampled_from(Step), max_size=40))
def test_however_people_step_a_sealed_case_was_closed_and_reviewed(steps: list[Step]) -> None:
    state, passed = CaseState.RAISED, []
    for step in steps:
        if possible(step, state):
            state = next_state(step, state)
            passed.append(step)
    if state is CaseState.ARCHIVED:
        assert passed.index(Step.CLOSE) < passed.index(Step.APPROVE) < passed.index(Step.ARCHIVE)


@given(steps=st.lists(st.sampled_from(Step), max_size=60))
def test_however_people_step_a_returned_case_is_handled_and_answered_again(steps: list[Step]) -> None:
    """R33: after a return nothing reaches the archive but by a new measure and the customer's new feedback."""
    state, passed = CaseState.RAISED, []
    for step in [Step.ASSIGN, Step.MEASURE, Step.FEEDBACK, Step.CLOSE, Step.RETURN, *steps]:
        if possible(step, state):
            state = next_state(step, state)
            passed.append(step)
    if state in (CaseState.CLOSED, CaseState.REVIEWED, CaseState.SEALING, CaseState.ARCHIVED):
        since = passed[len(passed) - 1 - passed[::-1].index(Step.RETURN) :]
        assert since.index(Step.MEASURE) < since.index(Step.FEEDBACK) < since.index(Step.CLOSE)


def _nodes(nodes: list[dict[str, Any]]) -> dict[CaseNode, dict[str, Any]]:
    return {CaseNode(node["node"]): node for node in nodes}


def test_a_new_case_has_all_stations_with_their_roles_and_deadlines() -> None:
    nodes = _nodes(first_nodes(TEMPLATE, CALENDAR, AT, "usr_m"))
    assert list(nodes) == list(CaseNode)
    assert {node: Role(stamp["role"]) for node, stamp in nodes.items()} == dict(RESPONSIBLE)
    assert (nodes[CaseNode.RAISE]["done_at"], nodes[CaseNode.RAISE]["done_by"]) == (AT, "usr_m")
    assert all(nodes[node]["done_at"] is None for node in CaseNode if node is not CaseNode.RAISE)
    assert nodes[CaseNode.HANDLE]["due"] == AT + timedelta(hours=24)
    assert nodes[CaseNode.FEEDBACK]["due"] == AT + timedelta(hours=48)
    assert nodes[CaseNode.ARCHIVE]["due"] is None, "its clock starts at the closing"
    assert nodes[CaseNode.ASSIGN]["due"] is None, "not in this schedule"


@pytest.mark.parametrize(
    ("step", "node"),
    [
        (Step.ASSIGN, CaseNode.ASSIGN),
        (Step.MEASURE, CaseNode.HANDLE),
        (Step.FEEDBACK, CaseNode.FEEDBACK),
        (Step.CLOSE, CaseNode.CLOSE),
        (Step.APPROVE, CaseNode.REVIEW),
        (Step.SEAL, CaseNode.ARCHIVE),
    ],
)
def test_a_step_stamps_its_own_station_and_no_other(step: Step, node: CaseNode) -> None:
    before = first_nodes(TEMPLATE, CALENDAR, AT, "usr_m")
    after = _nodes(stamped(before, step, TEMPLATE, CALENDAR, LATER, "usr_x"))
    assert (after[node]["done_at"], after[node]["done_by"]) == (LATER, "usr_x")
    untouched = {name: stamp for name, stamp in after.items() if name is not node}
    if step is Step.CLOSE:
        assert untouched.pop(CaseNode.ARCHIVE)["due"] == LATER + timedelta(hours=72)
    assert all(untouched[name] == stamp for name, stamp in _nodes(before).items() if name in untouched)


@pytest.mark.parametrize("step", [Step.UPDATE, Step.COMMUNICATE, Step.NOTE, Step.FILE, Step.ARCHIVE])
def test_other_steps_stamp_nothing(step: Step) -> None:
    before = first_nodes(TEMPLATE, CALENDAR, AT, "usr_m")
    assert stamped(before, step, TEMPLATE, CALENDAR, LATER, "usr_x") == before


def test_a_return_opens_everything_from_handling_on_with_new_deadlines() -> None:
    # Given a case that was handled, answered and closed
    nodes = first_nodes(TEMPLATE, CALENDAR, AT, "usr_m")
    for step in (Step.ASSIGN, Step.MEASURE, Step.FEEDBACK, Step.CLOSE):
        nodes = stamped(nodes, step, TEMPLATE, CALENDAR, AT, "usr_a")
    # When it is returned
    after = _nodes(stamped(nodes, Step.RETURN, TEMPLATE, CALENDAR, LATER, "usr_s"))
    # Then raising and assigning stay, and the rest is to be done again
    assert after[CaseNode.RAISE]["done_by"] == "usr_m"
    assert after[CaseNode.ASSIGN]["done_by"] == "usr_a"
    for node in (CaseNode.HANDLE, CaseNode.FEEDBACK, CaseNode.CLOSE, CaseNode.REVIEW, CaseNode.ARCHIVE):
        assert (after[node]["done_at"], after[node]["done_by"]) == (None, None)
    assert after[CaseNode.HANDLE]["due"] == LATER + timedelta(hours=24)
    assert after[CaseNode.ARCHIVE]["due"] is None


def test_the_first_passing_counts_until_a_return_opens_the_station_again() -> None:
    nodes = first_nodes(TEMPLATE, CALENDAR, AT, "usr_m")
    nodes = stamped(nodes, Step.MEASURE, TEMPLATE, CALENDAR, AT, "usr_a")
    again = stamped(nodes, Step.MEASURE, TEMPLATE, CALENDAR, LATER, "usr_b")
    assert _nodes(again)[CaseNode.HANDLE]["done_at"] == AT
    assert _nodes(again)[CaseNode.HANDLE]["done_by"] == "usr_a"
    returned = stamped(again, Step.RETURN, TEMPLATE, CALENDAR, LATER, "usr_s")
    after = stamped(returned, Step.MEASURE, TEMPLATE, CALENDAR, LATER, "usr_b")
    assert _nodes(after)[CaseNode.HANDLE]["done_at"] == LATER
    assert _nodes(after)[CaseNode.HANDLE]["done_by"] == "usr_b"


def test_every_station_has_a_step_that_asks_for_its_fields_before_it_is_too_late_to_fill_them_in() -> None:
    """But the first, which raising asks for; and what the archive needs is asked for while a return is possible."""
    asked = {node: step for step, nodes in REQUIRES.items() for node in nodes}
    assert set(asked) == set(CaseNode) - {CaseNode.RAISE}
    assert CaseNode.ARCHIVE in REQUIRES[Step.APPROVE]


def test_stamping_changes_no_list_that_somebody_else_holds() -> None:
    before = first_nodes(TEMPLATE, CALENDAR, AT, "usr_m")
    copy = [dict(node) for node in before]
    stamped(before, Step.CLOSE, TEMPLATE, CALENDAR, LATER, "usr_x")
    assert before == copy


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_event_has_a_layer_and_notes_stay_inside(kind: EventKind) -> None:
    layer = layer_of(kind, Direction.TO_CUSTOMER if kind is EventKind.COMMUNICATION else None)
    assert layer in Layer
    if kind in (EventKind.INTERNAL_NOTE, EventKind.ASSIGNED, EventKind.APPROVED, EventKind.RETURNED):
        assert layer is Layer.INTERNAL


def test_who_speaks_decides_the_layer_of_a_communication() -> None:
    assert layer_of(EventKind.COMMUNICATION, Direction.TO_CUSTOMER) is Layer.WITH_CUSTOMER
    assert layer_of(EventKind.COMMUNICATION, Direction.FROM_CUSTOMER) is Layer.FROM_CUSTOMER


def _caller(*roles: Role, user: str = "usr_s") -> Caller:
    return Caller(Actor(user, "周敏", frozenset(roles), "dep_e"), read_policy(seed_data()))


def _case(**values: Any) -> dict[str, Any]:
    return {"_id": "cas_1", "state": "CLOSED", "assignee": "usr_a", "handlers": ["usr_a"], **values}


@pytest.mark.parametrize("case", [_case(assignee="usr_s"), _case(handlers=["usr_a", "usr_s"])])
def test_whoever_handled_a_case_may_not_review_it(case: dict[str, Any]) -> None:
    supervisor = _caller(Role.SUPERVISOR, Role.AGENT)
    with pytest.raises(NotPermitted):
        check_review(case, supervisor)
    assert CaseAction.REVIEW not in allowed_actions(case, supervisor, frozenset(Relation))


def test_another_supervisor_may_review_it() -> None:
    check_review(_case(), _caller(Role.SUPERVISOR))
    assert CaseAction.REVIEW in allowed_actions(_case(), _caller(Role.SUPERVISOR), frozenset(Relation))


def test_the_reviewer_or_compliance_archives_and_nobody_else() -> None:
    case = _case(state="REVIEWED", reviewed_by="usr_s")
    check_archivist(case, _caller(Role.SUPERVISOR))
    check_archivist(case, _caller(Role.COMPLIANCE, user="usr_c"))
    with pytest.raises(NotPermitted):
        check_archivist(case, _caller(Role.SUPERVISOR, user="usr_t"))


@pytest.mark.parametrize("state", list(CaseState))
def test_actions_are_offered_only_where_the_table_allows_them(state: CaseState) -> None:
    everyone = _caller(*Role)
    offered = allowed_actions(_case(state=state.value, reviewed_by="usr_s"), everyone, frozenset(Relation))
    if state is CaseState.ARCHIVED:
        assert offered == []
    assert (CaseAction.CLOSE in offered) == (state is CaseState.ANSWERED)
    assert (CaseAction.ARCHIVE in offered) == (state in (CaseState.REVIEWED, CaseState.SEALING))
