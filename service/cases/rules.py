"""What may happen to a case, and when. Pure and total: a transition table, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from service.access.actor import Caller
from service.access.policy import Relation, Role
from service.cases.calendar import Calendar
from service.cases.model import CaseAction, CaseNode, CaseState, Direction, EventKind, Layer
from service.errors import Code, Invalid, Problems
from service.normal import clean
from service.templates.model import DeadlineClock, NodeSchedule, Template

TITLE_MOST, TEXT_MOST, PRODUCT_MOST = 200, 20_000, 100
HAPPENED_BEFORE_MOST = timedelta(days=30)
"""How long before its case was raised a measure may have been taken."""
_OWN_VALUES = {
    "happenedAt": EventKind.MEASURE,
    "direction": EventKind.COMMUNICATION,
    "satisfaction": EventKind.CUSTOMER_FEEDBACK,
}


class Step(str, Enum):
    """Names of transitions; the policy grants them as `case.<step>`."""

    UPDATE = "update"
    ASSIGN = "assign"
    MEASURE = "measure"
    COMMUNICATE = "communicate"
    NOTE = "note"
    FEEDBACK = "feedback"
    CLOSE = "close"
    APPROVE = "approve"
    RETURN = "return"
    ARCHIVE = "archive"
    SEAL = "seal"
    FILE = "file"


S = CaseState
_LIVE = (S.RAISED, S.ASSIGNED, S.HANDLING, S.ANSWERED, S.CLOSED, S.REVIEWED)
_UNCHANGED = {state: state for state in _LIVE}

TRANSITIONS: Mapping[Step, Mapping[CaseState, CaseState]] = {
    Step.UPDATE: {state: state for state in (S.RAISED, S.ASSIGNED, S.HANDLING, S.ANSWERED)},
    Step.ASSIGN: {S.RAISED: S.ASSIGNED, S.ASSIGNED: S.ASSIGNED, S.HANDLING: S.HANDLING, S.ANSWERED: S.ANSWERED},
    Step.MEASURE: {S.ASSIGNED: S.HANDLING, S.HANDLING: S.HANDLING, S.ANSWERED: S.HANDLING},
    Step.COMMUNICATE: _UNCHANGED,
    Step.NOTE: _UNCHANGED,
    Step.FEEDBACK: {S.HANDLING: S.ANSWERED, S.ANSWERED: S.ANSWERED},
    Step.CLOSE: {S.ANSWERED: S.CLOSED},
    Step.APPROVE: {S.CLOSED: S.REVIEWED},
    Step.RETURN: {S.CLOSED: S.ASSIGNED},  # to be handled again: no answer without a new measure (R33)
    # A sealing that a crash cut short may be taken up again.
    Step.ARCHIVE: {S.REVIEWED: S.SEALING, S.SEALING: S.SEALING},
    Step.SEAL: {S.SEALING: S.ARCHIVED},
    Step.FILE: _UNCHANGED,
}

RESPONSIBLE: Mapping[CaseNode, Role] = {
    CaseNode.RAISE: Role.ACCOUNT_MANAGER,
    CaseNode.ASSIGN: Role.SUPERVISOR,
    CaseNode.HANDLE: Role.AGENT,
    CaseNode.FEEDBACK: Role.ACCOUNT_MANAGER,
    CaseNode.CLOSE: Role.ACCOUNT_MANAGER,
    CaseNode.REVIEW: Role.SUPERVISOR,
    CaseNode.ARCHIVE: Role.SUPERVISOR,
}
DEFAULT_SCHEDULE = (
    NodeSchedule(CaseNode.RAISE.value, 0, DeadlineClock.AROUND_THE_CLOCK),
    NodeSchedule(CaseNode.HANDLE.value, 24, DeadlineClock.AROUND_THE_CLOCK),
    NodeSchedule(CaseNode.FEEDBACK.value, 48, DeadlineClock.AROUND_THE_CLOCK),
    NodeSchedule(CaseNode.ARCHIVE.value, 72, DeadlineClock.AROUND_THE_CLOCK),
)
# Which nodes a step passes, and which it opens again.
PASSES: Mapping[Step, tuple[CaseNode, ...]] = {
    Step.ASSIGN: (CaseNode.ASSIGN,),
    Step.MEASURE: (CaseNode.HANDLE,),
    Step.FEEDBACK: (CaseNode.FEEDBACK,),
    Step.CLOSE: (CaseNode.CLOSE,),
    Step.APPROVE: (CaseNode.REVIEW,),
    Step.SEAL: (CaseNode.ARCHIVE,),
}
# Nodes whose required fields must be filled before a step. After the review nothing can be filled in any more, so
# what the archive needs is asked for there: a case that lacks it is returned, and never stuck.
REQUIRES: Mapping[Step, tuple[CaseNode, ...]] = {
    Step.ASSIGN: (CaseNode.ASSIGN,),
    Step.MEASURE: (CaseNode.HANDLE,),
    Step.FEEDBACK: (CaseNode.FEEDBACK,),
    Step.CLOSE: (CaseNode.CLOSE,),
    Step.APPROVE: (CaseNode.REVIEW, CaseNode.ARCHIVE),
    Step.ARCHIVE: (CaseNode.ARCHIVE,),
}
_REOPENED = (CaseNode.HANDLE, CaseNode.FEEDBACK, CaseNode.CLOSE, CaseNode.REVIEW, CaseNode.ARCHIVE)


def next_state(step: Step, state: CaseState) -> CaseState:
    """The state after a step. Raises Invalid NOT_ALLOWED_IN_STATE."""
    after = TRANSITIONS[step].get(state)
    if after is None:
        raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state=state.value)
    return after


def possible(step: Step, state: CaseState) -> bool:
    """Whether the step leads anywhere from this state."""
    return state in TRANSITIONS[step]


def layer_of(kind: EventKind, direction: Direction | None = None) -> Layer:
    """Which layer an event belongs to."""
    if kind is EventKind.COMMUNICATION and direction is Direction.TO_CUSTOMER:
        return Layer.WITH_CUSTOMER
    if kind in (EventKind.COMMUNICATION, EventKind.CUSTOMER_FEEDBACK, EventKind.RAISED):
        return Layer.FROM_CUSTOMER
    if kind in (EventKind.MEASURE, EventKind.CLOSED, EventKind.EVIDENCE_ADDED):
        return Layer.WITH_CUSTOMER
    return Layer.INTERNAL


def _due(
    schedule: Sequence[NodeSchedule], node: CaseNode, start: datetime, calendar: Calendar
) -> tuple[datetime | None, bool]:
    for item in schedule or DEFAULT_SCHEDULE:
        if item.node == node.value:
            return calendar.after(start, item.hours, item.clock)
    return None, False


def first_nodes(template: Template, calendar: Calendar, at: datetime, by: str) -> list[dict[str, Any]]:
    """All stations of a new case: the first is passed, later deadlines stand (but ARCHIVE's, see `stamped`)."""
    nodes = []
    for node in CaseNode:
        due, provisional = (None, False)
        if node is not CaseNode.ARCHIVE:
            due, provisional = _due(template.schedule, node, at, calendar)
        done = node is CaseNode.RAISE
        nodes.append(
            {
                "node": node.value,
                "role": RESPONSIBLE[node].value,
                "due": due,
                "provisional": provisional,
                "done_at": at if done else None,
                "done_by": by if done else None,
            }
        )
    return nodes


def stamped(
    nodes: Sequence[Mapping[str, Any]], step: Step, template: Template, calendar: Calendar, at: datetime, by: str
) -> list[dict[str, Any]]:
    """The stations after a step: it stamps what it passes for the first time; closing starts the archive's clock; a
    return opens everything from handling on again, with new deadlines.
    """
    passed = PASSES.get(step, ())
    result = [dict(node) for node in nodes]
    for node in result:
        name = CaseNode(node["node"])
        if name in passed and node["done_at"] is None:
            node |= {"done_at": at, "done_by": by}
        elif step is Step.RETURN and name in _REOPENED:
            due, provisional = (None, False)
            if name is not CaseNode.ARCHIVE:
                due, provisional = _due(template.schedule, name, at, calendar)
            node |= {"done_at": None, "done_by": None, "due": due, "provisional": provisional}
        if step is Step.CLOSE and name is CaseNode.ARCHIVE:
            due, provisional = _due(template.schedule, name, at, calendar)
            node |= {"due": due, "provisional": provisional}
    return result


def text_of(value: str | None, path: str, problems: Problems, *, most: int = TEXT_MOST, required: bool = True) -> str:
    """A narrative text, cleaned; empty when it is missing."""
    text = clean(value or "")
    if required and not text:
        problems.add(Code.REQUIRED, path)
    if len(text) > most:
        problems.add(Code.TOO_LONG, path, limit=most)
    return text


def check_recorded(
    kind: EventKind, given: Mapping[str, Any], raised_at: datetime, at: datetime, problems: Problems
) -> None:
    """Each kind of step has values of its own: what is needed is there, within bounds, and nothing else."""
    for field, belongs in _OWN_VALUES.items():
        if given[field] is not None and kind is not belongs:
            alone = {"en": f"belongs to {belongs.value} alone", "zh-CN": f"仅用于 {belongs.value}"}
            problems.add(Code.VALIDATION, field, reason=alone)
        elif given[field] is None and kind is belongs and field != "happenedAt":
            problems.add(Code.REQUIRED, field)
    happened_at, satisfaction = given["happenedAt"], given["satisfaction"]
    if kind is EventKind.MEASURE and happened_at is not None:
        if happened_at > at:
            problems.add(Code.VALIDATION, "happenedAt", reason={"en": "is in the future", "zh-CN": "不能晚于现在"})
        elif happened_at < raised_at - HAPPENED_BEFORE_MOST:
            problems.add(Code.VALIDATION, "happenedAt", reason={
                "en": "is long before the case was raised", "zh-CN": "远早于案件提出时间"})  # fmt: skip
    if kind is EventKind.CUSTOMER_FEEDBACK and satisfaction is not None and not 1 <= satisfaction <= 5:
        problems.add(Code.VALIDATION, "satisfaction", reason="1–5")


def check_review(case: Mapping[str, Any], caller: Caller) -> None:
    """A supervisor who handled the case may not review it (R39). Raises NotPermitted."""
    if caller.actor.id in (*case.get("handlers", ()), case.get("assignee")):
        caller.require("case.review.own", record=case["_id"])


def check_archivist(case: Mapping[str, Any], caller: Caller) -> None:
    """The supervisor who approved, or compliance, seals a reviewed case. Raises NotPermitted."""
    if case.get("reviewed_by") != caller.actor.id and not caller.may("case.archive"):
        caller.require("case.archive.reviewed_by_another", record=case["_id"])


_ACTIONS: Mapping[CaseAction, tuple[Step, str]] = {
    CaseAction.UPDATE: (Step.UPDATE, "case.update"),
    CaseAction.ASSIGN: (Step.ASSIGN, "case.assign"),
    CaseAction.RECORD_MEASURE: (Step.MEASURE, "case.measure"),
    CaseAction.RECORD_COMMUNICATION: (Step.COMMUNICATE, "case.communicate"),
    CaseAction.RECORD_CUSTOMER_FEEDBACK: (Step.FEEDBACK, "case.feedback"),
    CaseAction.RECORD_INTERNAL_NOTE: (Step.NOTE, "case.note"),
    CaseAction.CLOSE: (Step.CLOSE, "case.close"),
    CaseAction.REVIEW: (Step.APPROVE, "case.review"),
    CaseAction.ARCHIVE: (Step.ARCHIVE, "case.archive"),
    CaseAction.ADD_EVIDENCE: (Step.FILE, "evidence.create"),
    CaseAction.WITHDRAW_EVIDENCE: (Step.FILE, "evidence.withdraw"),
}


def allowed_actions(case: Mapping[str, Any], caller: Caller, relations: frozenset[Relation]) -> list[CaseAction]:
    """What this caller may do with the case now; exactly what the service would accept."""
    state = CaseState(case["state"])
    found = [
        action for action, (step, right) in _ACTIONS.items() if possible(step, state) and caller.may(right, relations)
    ]
    if caller.actor.id in (*case.get("handlers", ()), case.get("assignee")) and CaseAction.REVIEW in found:
        found.remove(CaseAction.REVIEW)
    if CaseAction.ARCHIVE in found and case.get("reviewed_by") != caller.actor.id and not caller.may("case.archive"):
        found.remove(CaseAction.ARCHIVE)
    return found
