"""A case and its history, each field with its sensitivity class. No driver types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from service.access.declared import Attributes, Kind, Open, Sensitive, Sensitivity, shape_of
from service.access.policy import Role
from service.access.questions import Questions
from service.keys.rules import RecordForm

CASES = "cases"
EVENTS = "case_events"
COUNTERS = "counters"
PREFIX = "cas"
EVENT_PREFIX = "evt"

NARRATIVE, NEGOTIATION, FINANCIAL = Sensitivity.NARRATIVE, Sensitivity.NEGOTIATION, Sensitivity.FINANCIAL


class CaseState(str, Enum):
    """Where a case stands; `service.cases.rules` has the transitions."""

    RAISED = "RAISED"
    ASSIGNED = "ASSIGNED"
    HANDLING = "HANDLING"
    ANSWERED = "ANSWERED"
    CLOSED = "CLOSED"
    REVIEWED = "REVIEWED"
    SEALING = "SEALING"
    ARCHIVED = "ARCHIVED"


class CaseNode(str, Enum):
    """The stations of every case (R31, R33–R35)."""

    RAISE = "RAISE"
    ASSIGN = "ASSIGN"
    HANDLE = "HANDLE"
    FEEDBACK = "FEEDBACK"
    CLOSE = "CLOSE"
    REVIEW = "REVIEW"
    ARCHIVE = "ARCHIVE"


class Layer(str, Enum):
    """Who was party to an event (R36)."""

    WITH_CUSTOMER = "WITH_CUSTOMER"
    FROM_CUSTOMER = "FROM_CUSTOMER"
    INTERNAL = "INTERNAL"


class EventKind(str, Enum):
    """What happened."""

    RAISED = "RAISED"
    UPDATED = "UPDATED"
    ASSIGNED = "ASSIGNED"
    MEASURE = "MEASURE"
    COMMUNICATION = "COMMUNICATION"
    CUSTOMER_FEEDBACK = "CUSTOMER_FEEDBACK"
    INTERNAL_NOTE = "INTERNAL_NOTE"
    CLOSED = "CLOSED"
    APPROVED = "APPROVED"
    RETURNED = "RETURNED"
    SEALING = "SEALING"
    ARCHIVED = "ARCHIVED"
    EVIDENCE_ADDED = "EVIDENCE_ADDED"
    EVIDENCE_WITHDRAWN = "EVIDENCE_WITHDRAWN"


class Direction(str, Enum):
    """Who spoke in a communication."""

    FROM_CUSTOMER = "FROM_CUSTOMER"
    TO_CUSTOMER = "TO_CUSTOMER"


class CaseAction(str, Enum):
    """What a person can do with a case; `allowedActions` lists what this actor may do now."""

    UPDATE = "UPDATE"
    ASSIGN = "ASSIGN"
    RECORD_MEASURE = "RECORD_MEASURE"
    RECORD_COMMUNICATION = "RECORD_COMMUNICATION"
    RECORD_CUSTOMER_FEEDBACK = "RECORD_CUSTOMER_FEEDBACK"
    RECORD_INTERNAL_NOTE = "RECORD_INTERNAL_NOTE"
    CLOSE = "CLOSE"
    REVIEW = "REVIEW"
    ARCHIVE = "ARCHIVE"
    ADD_EVIDENCE = "ADD_EVIDENCE"
    WITHDRAW_EVIDENCE = "WITHDRAW_EVIDENCE"


@dataclass(frozen=True, slots=True)
class NodeStamp:
    """One station: who is responsible, by when, and who passed it when (R32, R34, R35)."""

    node: Annotated[CaseNode, Open("The station.")]
    role: Annotated[Role, Open("The role that is responsible.")]
    due: Annotated[datetime | None, Open("The deadline, when it is known already.")]
    provisional: Annotated[bool, Open("The holiday calendar of that year is not known yet; weekends only.")]
    done_at: Annotated[datetime | None, Open("When it was passed.")]
    done_by: Annotated[str | None, Open("Id of the person who passed it.")]


@dataclass(frozen=True, slots=True)
class Case:
    """A case's stored fields."""

    id: Annotated[str, Open("The case's id.")]
    customer: Annotated[str, Open("Id of the customer whose objection it is.")]
    owner: Annotated[str, Open("Id of the account manager of its customer.")]
    assignee: Annotated[str | None, Open("Id of the agent who handles it.")]
    number: Annotated[str, Open("The number that people read: unique, increasing, gaps allowed.")]
    state: Annotated[CaseState, Open("Where it stands.")]
    category: Annotated[str, Open("Key of its category in the template.")]
    product: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "The product it is about.")]
    title: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "What it is about, in a line.")]
    description: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "What the customer says.")]
    resolution: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "How it ended.")]
    disputed_amount: Annotated[str | None, Sensitive(FINANCIAL, Kind.AMOUNT, "CNY, a decimal string.")]
    satisfaction: Annotated[int | None, Open("The customer's satisfaction, 1 to 5.")]
    department: Annotated[str, Open("Id of the department that handles it: its assignee's.")]
    nodes: Annotated[list[NodeStamp], Open("Its stations.")]
    version: Annotated[int, Open("Moves with every edit and step; send it back when you change something.")]
    raised_at: Annotated[datetime, Open("When it was raised.")]
    closed_at: Annotated[datetime | None, Open("When it was closed.")]
    archived_at: Annotated[datetime | None, Open("When it was sealed.")]
    retain_until: Annotated[datetime | None, Open("Until when its evidence is locked.")]
    updated_at: Annotated[datetime, Open("When it was last changed.")]
    attributes: Annotated[list[Any], Attributes("The template's fields.")]


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """One step of a case's history; never changed."""

    id: Annotated[str, Open("The event's id.")]
    sequence: Annotated[int, Open("Counts from 1 within the case.")]
    kind: Annotated[EventKind, Open("What happened.")]
    layer: Annotated[Layer, Open("Who was party to it.")]
    at: Annotated[datetime, Open("When it was recorded.")]
    happened_at: Annotated[datetime | None, Open("When a measure was taken, where told.")]
    direction: Annotated[Direction | None, Open("Who spoke, in a communication.")]
    satisfaction: Annotated[int | None, Open("The customer's satisfaction, 1 to 5, in a feedback.")]
    from_state: Annotated[CaseState | None, Open("The state before.")]
    to_state: Annotated[CaseState | None, Open("The state after.")]
    text: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "What was said or done.")]
    internal_text: Annotated[str | None, Sensitive(NEGOTIATION, Kind.TEXT, "What was said among colleagues.")]


CASE_SHAPE = shape_of(Case)
EVENT_SHAPE = shape_of(CaseEvent)
CASE_FORM = RecordForm(CASES, CASE_SHAPE)
EVENT_FORM = RecordForm(EVENTS, EVENT_SHAPE)
CASE_QUESTIONS = Questions(
    CASE_SHAPE, also={"raised_from": "raised_at", "raised_to": "raised_at", "month": "raised_at"}
)
EVENT_QUESTIONS = Questions(EVENT_SHAPE)
