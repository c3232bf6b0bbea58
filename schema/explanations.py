"""`explainAccess`: why somebody sees what of a record."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import strawberry
from strawberry import argument

from schema.binding import relation
from schema.context import context_of
from schema.customers import camel_path
from schema.node import RecordId
from schema.people import User
from schema.records import record_type
from service.explanations.model import AccessExplanation as ExplanationModel


@record_type(ExplanationModel, leave_out=("actor",))
class AccessExplanation:
    """An explanation."""

    actor: User | None = relation("users", lambda one: one.actor, "About whom it was asked.")


async def explain_access(
    root: Any,
    info: strawberry.Info,
    id: RecordId,
    actor: Annotated[strawberry.ID, argument(description="Id of the user about whom is asked.")],
) -> AccessExplanation | None:
    """Why somebody reaches a customer, case, event or file or does not, and why they see how much of each field
    (COMPLIANCE). No value is shown. Null when there is no such record or user.
    """
    context = context_of(info)
    found = await context.parts.explanations.explain(context.signed_in, id, actor)
    if found is None:
        return None
    return replace(found, fields=[replace(one, field=camel_path(one.field)) for one in found.fields])
