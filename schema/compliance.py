"""Alerts, locked accounts, revealed fields, notices."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from strawberry import argument

from schema.connections import PageAfter, PageFirst, conditions, connection, page_size
from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload
from schema.node import connection_types, require_id
from schema.people import UserPayload
from schema.records import enum_type, record_type
from service.access.actor import Caller
from service.compliance.model import Alert as AlertModel
from service.compliance.model import AlertState
from service.compliance.model import Notice as NoticeModel
from service.compliance.model import Revealed as RevealedModel

AlertStateEnum = enum_type(AlertState)


@record_type(AlertModel)
class Alert:
    """An alert."""


@record_type(NoticeModel)
class Notice:
    """A notice."""


@record_type(RevealedModel)
class Revealed:
    """A revealed field."""


AlertConnection = connection_types(Alert, "Alert", counted=False)
NoticeConnection = connection_types(Notice, "Notice", counted=False)


@strawberry.input(description="Which alerts; conditions are joined by and.")
class AlertFilter:
    """Filter."""

    states: list[AlertStateEnum] | None = strawberry.field(default=None, description="In one of these states.")
    actor: strawberry.ID | None = strawberry.field(default=None, description="About this account.")


@strawberry.input(description="Says what was found behind an alert.")
class AcknowledgeAlertInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The alert.")
    version: int = strawberry.field(description="The version that was read.")
    note: str = strawberry.field(description="What was found; holds no phone, identity or card number.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Unlocks an account that read too much.")
class UnlockUserInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The user.")
    version: int = strawberry.field(description="The version that was read.")
    reason: str = strawberry.field(description="Why, in 5 to 500 characters.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="One masked field of one record, to be seen in full for five minutes.")
class RevealFieldInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="A customer, a case, an event of a case, or a file.")
    field: str = strawberry.field(
        description="The field as `maskedFields` names it, such as `channels`, `contacts.phone` or `attributes.memo`."
    )
    reason: str | None = strawberry.field(
        default=None,
        description="Why, in 5 to 500 characters; the record's owner and auditors read it. "
        "Not needed again while the field is revealed.",
    )


@strawberry.type(description="Outcome of a change to an alert.")
class AlertPayload:
    """Payload."""

    alert: Alert | None = strawberry.field(description="The alert after the change.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


@strawberry.type(description="Outcome of revealing a field.")
class RevealPayload:
    """Payload."""

    revealed: Revealed | None = strawberry.field(description="The field with its values in full.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


async def alerts(
    root: Any,
    info: strawberry.Info,
    filter: Annotated[AlertFilter | None, argument(description="Which alerts.")] = None,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> AlertConnection:
    """Alerts, newest first (COMPLIANCE)."""
    context = context_of(info)
    asked = conditions(filter)
    states = [state.value for state in asked["states"]] if "states" in asked else None
    question, size = ["alerts", states, asked.get("actor")], page_size(first)
    last = context.parts.cursors.read(context.signed_in, question, after)
    found = await context.parts.compliance.alerts(
        context.signed_in, states=states, actor=asked.get("actor"), after_id=last, limit=size + 1
    )
    return connection(context, question, found, first=size, after=after, position=lambda alert: alert.id)


async def notices(root: Any, info: strawberry.Info, first: PageFirst = 20, after: PageAfter = None) -> NoticeConnection:
    """What one is told about one's own records, newest first: which of their fields were revealed to whom, and why."""
    context = context_of(info)
    question, size = ["notices"], page_size(first)
    last = context.parts.cursors.read(context.signed_in, question, after)
    found = await context.parts.compliance.notices(context.signed_in, after_id=last, limit=size + 1)
    return connection(context, question, found, first=size, after=after, position=lambda notice: notice.id)


async def acknowledge_alert(root: Any, info: strawberry.Info, input: AcknowledgeAlertInput) -> AlertPayload:
    """Closes an alert with what was found (COMPLIANCE); its accounts stay locked until they are unlocked."""
    compliance = context_of(info).parts.compliance

    async def work(caller: Caller, values: dict[str, Any]) -> Any:
        alert = require_id(values["id"], "alr")
        return await compliance.acknowledge(caller, alert, values["version"], values["note"])

    return await payload(info, "alert", input, work, lambda caller, alert, _: compliance.alert(caller, alert))


async def unlock_user(root: Any, info: strawberry.Info, input: UnlockUserInput) -> UserPayload:
    """Lets a locked account sign in again (COMPLIANCE); what it reads is counted anew."""
    parts = context_of(info).parts

    async def work(caller: Caller, values: dict[str, Any]) -> Any:
        user = require_id(values["id"], "usr")
        return await parts.compliance.unlock(caller, user, values["version"], values["reason"])

    made = await payload(info, "user", input, work, lambda _, user, __: parts.identity.user(user))
    return {"initial_password": None, **made}


async def reveal_field(root: Any, info: strawberry.Info, input: RevealFieldInput) -> RevealPayload:
    """Shows one masked field of one record in full, for five minutes (COMPLIANCE, AUDITOR): recorded before the value
    leaves, counted as a reading, and told to the record's owner.
    """
    reveals = context_of(info).parts.compliance.reveals

    async def work(caller: Caller, values: dict[str, Any]) -> Any:
        return await reveals.reveal(caller, str(values["id"]), values["field"], values.get("reason"))

    return await payload(info, "revealed", input, work)
