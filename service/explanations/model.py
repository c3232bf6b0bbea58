"""Why somebody reaches a record or does not, and why they see how much of each field. Nothing of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from service.access.declared import Kind, Level, Open, Sensitivity
from service.access.policy import Relation
from service.policies.model import RoleRelation


@dataclass(frozen=True, slots=True)
class FieldAccess:
    """How much somebody sees of one field, and why."""

    field: Annotated[str, Open("The field, such as `channels` or `contacts.phone`.")]
    sensitivity: Annotated[Sensitivity, Open("Its class, which decides.")]
    kind: Annotated[Kind, Open("What its value is, which decides its mask.")]
    visibility: Annotated[Level, Open("How much is shown; HIDDEN where the record is out of reach.")]
    granted_by: Annotated[
        list[RoleRelation], Open("The rows of the policy that give it; none for OPEN, which comes with the record.")
    ]
    denied_by: Annotated[list[RoleRelation], Open("The denials that take it, whatever was granted.")]


@dataclass(frozen=True, slots=True)
class AccessExplanation:
    """What somebody sees of a record, and why; none of its values."""

    record: Annotated[str, Open("The record's id.")]
    actor: Annotated[str, Open("Id of the user about whom it was asked.")]
    policy_version: Annotated[int, Open("The version of the policy that decides.")]
    is_active: Annotated[bool, Open("Whether the account is active; a disabled one reaches nothing.")]
    relations: Annotated[list[Relation], Open("How they stand to the record, whatever their roles.")]
    is_reached: Annotated[bool, Open("Whether they can see the record at all.")]
    reached_through: Annotated[list[RoleRelation], Open("The rows of the policy through which they come to it.")]
    opened_by: Annotated[
        Sensitivity | None,
        Open(
            "The class of which they must see the mask at least, for the record to be shown: that of an event's layer."
        ),
    ]
    fields: Annotated[list[FieldAccess], Open("Every field of the record, template fields too.")]
