"""Mutations of cases: every step from raising to archiving."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from schema.cases import Case
from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload, present
from schema.node import require_id
from schema.records import enum_type
from schema.templates import AttributeInput
from service.access.actor import Caller
from service.cases.model import Direction, EventKind

DirectionEnum = enum_type(Direction)
_ID = strawberry.field(description="The case.")
_VERSION = strawberry.field(description="The version that was read; a stale one is CONFLICT.")


@enum_type
class CaseStepKind(Enum):
    """What can be recorded in a case's history."""

    MEASURE = EventKind.MEASURE.value
    COMMUNICATION = EventKind.COMMUNICATION.value
    CUSTOMER_FEEDBACK = EventKind.CUSTOMER_FEEDBACK.value
    INTERNAL_NOTE = EventKind.INTERNAL_NOTE.value


@enum_type
class ReviewDecision(Enum):
    """A reviewer's decision."""

    APPROVE = "APPROVE"
    RETURN = "RETURN"


@strawberry.input(description="An objection.")
class RaiseCaseInput:
    """Input."""

    customer: strawberry.ID = strawberry.field(description="Whose objection it is.")
    category: str = strawberry.field(description="Key of a category in the template.")
    title: str = strawberry.field(description="What it is about, in a line.")
    description: str = strawberry.field(description="What the customer says.")
    product: str | None = strawberry.field(default=None, description="The product it is about.")
    disputed_amount: str | None = strawberry.field(default=None, description="CNY, a decimal string.")
    assignee: strawberry.ID | None = strawberry.field(default=None, description="Id of an agent, for supervisors.")
    attributes: list[AttributeInput] | None = strawberry.field(default=None, description="The template's fields.")
    template: str | None = strawberry.field(default=None, description="Key of the template; `standard` by default.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Corrections: what is left out stays, null clears.")
class UpdateCaseInput:
    """Input."""

    id: strawberry.ID = _ID
    version: int = _VERSION
    category: str | None = strawberry.field(default=strawberry.UNSET, description="Key of a category.")
    title: str | None = strawberry.field(default=strawberry.UNSET, description="What it is about, in a line.")
    description: str | None = strawberry.field(default=strawberry.UNSET, description="What the customer says.")
    product: str | None = strawberry.field(default=strawberry.UNSET, description="The product it is about.")
    disputed_amount: str | None = strawberry.field(default=strawberry.UNSET, description="CNY, a decimal string.")
    attributes: list[AttributeInput] | None = strawberry.field(
        default=strawberry.UNSET, description="Template fields to change; the others stay."
    )
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Gives a case to an agent.")
class AssignCaseInput:
    """Input."""

    id: strawberry.ID = _ID
    version: int = _VERSION
    assignee: strawberry.ID = strawberry.field(description="Id of the agent.")
    reason: str | None = strawberry.field(default=None, description="Why; seen by colleagues only.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="A step of the handling.")
class RecordCaseStepInput:
    """Input."""

    id: strawberry.ID = _ID
    version: int | None = strawberry.field(
        default=None, description="The version that was read; needed for MEASURE and CUSTOMER_FEEDBACK."
    )
    kind: CaseStepKind = strawberry.field(description="Which step.")
    text: str = strawberry.field(description="What was done or said.")
    happened_at: datetime | None = strawberry.field(
        default=None, description="When a measure was taken; now by default."
    )
    direction: DirectionEnum | None = strawberry.field(default=None, description="Who spoke, in a COMMUNICATION.")
    satisfaction: int | None = strawberry.field(default=None, description="1 to 5, in a CUSTOMER_FEEDBACK.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Ends the handling.")
class CloseCaseInput:
    """Input."""

    id: strawberry.ID = _ID
    version: int = _VERSION
    resolution: str = strawberry.field(description="How it ended.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="A review.")
class ReviewCaseInput:
    """Input."""

    id: strawberry.ID = _ID
    version: int = _VERSION
    decision: ReviewDecision = strawberry.field(description="Approve, or return.")
    opinion: str = strawberry.field(description="The reviewer's opinion.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Seals a reviewed case.")
class ArchiveCaseInput:
    """Input."""

    id: strawberry.ID = _ID
    version: int = _VERSION
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.type(description="Outcome of a step of a case.")
class CasePayload:
    """Payload."""

    case: Case | None = strawberry.field(
        description="The case after the step; null also when it is out of this actor's sight now."
    )
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


async def _step(info: strawberry.Info, input: Any, work: Any) -> Any:
    cases = context_of(info).parts.cases

    async def addressed(caller: Caller, values: dict[str, Any]) -> Any:
        return await work(caller, require_id(values["id"], "cas"), values)

    return await payload(info, "case", input, addressed, cases.at_version)


async def raise_case(root: Any, info: strawberry.Info, input: RaiseCaseInput) -> CasePayload:
    """Raises an objection; the record exists at once (R30)."""
    cases = context_of(info).parts.cases

    async def work(caller: Caller, values: dict[str, Any]) -> Any:
        require_id(values["customer"], "cus", "customer")
        return await cases.raise_case(caller, values)

    return await payload(info, "case", input, work, cases.at_version)


async def update_case(root: Any, info: strawberry.Info, input: UpdateCaseInput) -> CasePayload:
    """Corrects what was raised."""
    cases = context_of(info).parts.cases
    return await _step(
        info, input, lambda caller, case, v: cases.update(caller, case, v["version"], present(v, "id", "version"))
    )


async def assign_case(root: Any, info: strawberry.Info, input: AssignCaseInput) -> CasePayload:
    """Gives the case to an agent (SUPERVISOR)."""
    cases = context_of(info).parts.cases
    return await _step(
        info, input, lambda caller, case, v: cases.assign(caller, case, v["version"], v["assignee"], v.get("reason"))
    )


async def record_case_step(root: Any, info: strawberry.Info, input: RecordCaseStepInput) -> CasePayload:
    """Records a measure, a communication, the customer's feedback or an internal note (R31, R36)."""
    cases = context_of(info).parts.cases

    async def work(caller: Caller, case: str, values: dict[str, Any]) -> Any:
        direction = values.get("direction")
        return await cases.record(
            caller,
            case,
            EventKind(values["kind"]),
            version=values.get("version"),
            text=values["text"],
            happened_at=values.get("happened_at"),
            direction=Direction(direction) if direction else None,
            satisfaction=values.get("satisfaction"),
        )

    return await _step(info, input, work)


async def close_case(root: Any, info: strawberry.Info, input: CloseCaseInput) -> CasePayload:
    """Ends the handling (ACCOUNT_MANAGER); the archive's clock starts."""
    cases = context_of(info).parts.cases
    return await _step(info, input, lambda caller, case, v: cases.close(caller, case, v["version"], v["resolution"]))


async def review_case(root: Any, info: strawberry.Info, input: ReviewCaseInput) -> CasePayload:
    """Approves or returns a closed case (a SUPERVISOR who did not handle it, R39)."""
    cases = context_of(info).parts.cases
    return await _step(
        info,
        input,
        lambda caller, case, v: cases.review(caller, case, v["version"], v["decision"] == "APPROVE", v["opinion"]),
    )


async def archive_case(root: Any, info: strawberry.Info, input: ArchiveCaseInput) -> CasePayload:
    """Seals a reviewed case in one step (R42): its evidence is locked, and nothing of it changes any more."""
    archive = context_of(info).parts.archive
    return await _step(info, input, lambda caller, case, v: archive.archive(caller, case, v["version"]))
