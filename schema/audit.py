"""The audit log, as auditors read it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import argument

from schema.connections import PageAfter, PageFirst, conditions, connection, page_size
from schema.context import context_of
from schema.node import Node, connection_types
from schema.records import record_type
from service.journal.model import AuditEntry as AuditEntryModel


@record_type(AuditEntryModel, interfaces=(Node,))
class AuditEntry:
    """An entry."""


AuditEntryConnection = connection_types(AuditEntry, "AuditEntry", counted=False)


@strawberry.input(description="Which entries; conditions are joined by and.")
class AuditEntryFilter:
    """Filter."""

    actor: strawberry.ID | None = strawberry.field(default=None, description="Who did it.")
    actions: list[str] | None = strawberry.field(default=None, description="Which actions, such as `case.close`.")
    record: strawberry.ID | None = strawberry.field(default=None, description="Which record.")
    since: datetime | None = strawberry.field(default=None, description="From then on.")
    until: datetime | None = strawberry.field(default=None, description="Before then.")
    alert: strawberry.ID | None = strawberry.field(
        default=None, description="Which an alert stands on: what its accounts read in its window (COMPLIANCE)."
    )


async def audit_entries(
    root: Any,
    info: strawberry.Info,
    filter: Annotated[AuditEntryFilter | None, argument(description="Which entries.")] = None,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> AuditEntryConnection:
    """Entries, newest first (AUDITOR, COMPLIANCE)."""
    context = context_of(info)
    caller, size, asked = context.signed_in, page_size(first), conditions(filter)
    question = ["auditEntries", asked]
    last = context.parts.cursors.read(caller, question, after)
    where = await context.parts.compliance.entries_of(caller, **asked) if "alert" in asked else asked
    found = (
        await context.parts.journal.entries(caller, **where, before_id=last, limit=size + 1)
        if where is not None
        else []
    )
    return connection(context, question, found, first=size, after=after, position=lambda entry: entry.id)
