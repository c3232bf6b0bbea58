"""The stored policy: one document per version, the highest is in force; and proposals of further ones.

A version's document holds `version`, `grants`, `deny`, `steps` (as in seed.json), `created_at`, and, unless the system
made it, `proposed_by`, `confirmed_by`, `reason`, `proposal`. A proposal holds what would be in force, and how it went.
Neither holds personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from service.access.declared import Level, Open, Sensitivity
from service.access.policy import Relation, Role

POLICIES = "policies"
PROPOSALS = "policy_proposals"
PREFIX = "pol"
PROPOSAL_PREFIX = "ppr"
CONTENT = ("grants", "deny", "steps")


class ProposalState(str, Enum):
    """How a proposal of another policy went."""

    OPEN = "OPEN"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class ClassLevel:
    """How much of a class is shown."""

    sensitivity: Annotated[Sensitivity, Open("The class.")]
    level: Annotated[Level, Open("How much of it is shown.")]


@dataclass(frozen=True, slots=True)
class PolicyGrant:
    """A row of the table: what a role sees of the records to which it stands in a relation."""

    role: Annotated[Role, Open("The role.")]
    relation: Annotated[Relation, Open("How somebody of that role must stand to the record.")]
    levels: Annotated[list[ClassLevel], Open("How much of each class is shown.")]


@dataclass(frozen=True, slots=True)
class PolicyDeny:
    """A class that is hidden whatever else grants it."""

    role: Annotated[Role, Open("The role.")]
    relation: Annotated[Relation, Open("How somebody of that role must stand to the record.")]
    sensitivity: Annotated[Sensitivity, Open("The class that is hidden.")]


@dataclass(frozen=True, slots=True)
class RoleRelation:
    """A role, and how somebody of that role must stand to the record."""

    role: Annotated[Role, Open("The role.")]
    relation: Annotated[Relation, Open("The relation; ANY where the step is about no record.")]


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """Who may take a step."""

    step: Annotated[str, Open("The step, such as `case.close`.")]
    grants: Annotated[list[RoleRelation], Open("Who may take it; nobody else may.")]


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What would be, or was, otherwise under a proposal."""

    what: Annotated[str, Open("Such as `AGENT ASSIGNED IDENTITY`, `deny AUDITOR ANY NAME` or `case.close`.")]
    before: Annotated[str | None, Open("Under the version that it is based on; null: there was no such row.")]
    after: Annotated[str | None, Open("Under the proposal; null: there is no such row.")]


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A policy: who sees what, and who may take which step."""

    version: Annotated[int, Open("Counts from 1; send it back when you propose another.")]
    since: Annotated[datetime, Open("Since when it is in force.")]
    reason: Annotated[str | None, Open("Why it was proposed; null where the system made it.")]
    proposed_by: Annotated[str | None, Open("Id of the user who proposed it; null where the system made it.")]
    confirmed_by: Annotated[str | None, Open("Id of the user who confirmed it.")]
    grants: Annotated[list[PolicyGrant], Open("Who sees how much, through which relation.")]
    deny: Annotated[list[PolicyDeny], Open("What is hidden whatever the grants say.")]
    steps: Annotated[list[PolicyStep], Open("Who may take which step.")]


@dataclass(frozen=True, slots=True)
class PolicyProposal:
    """A policy that somebody proposed and somebody else confirms or rejects."""

    id: Annotated[str, Open("The proposal's id.")]
    base: Annotated[int, Open("The version that it changes; it can be confirmed while that is in force.")]
    state: Annotated[ProposalState, Open("How it went.")]
    reason: Annotated[str, Open("Why it is proposed.")]
    proposed_by: Annotated[str, Open("Id of the user who proposed it.")]
    proposed_at: Annotated[datetime, Open("When it was proposed.")]
    decided_by: Annotated[str | None, Open("Id of the user who confirmed or rejected it.")]
    decided_at: Annotated[datetime | None, Open("When it was confirmed or rejected.")]
    rejection_reason: Annotated[str | None, Open("Why it was rejected.")]
    changes: Annotated[list[PolicyChange], Open("What is otherwise than under its base.")]
    grants: Annotated[list[PolicyGrant], Open("Who would see how much, through which relation.")]
    deny: Annotated[list[PolicyDeny], Open("What would be hidden whatever the grants say.")]
    steps: Annotated[list[PolicyStep], Open("Who might take which step.")]


def content_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a version or proposal, as models."""
    return {
        "grants": [
            PolicyGrant(
                Role(row["role"]),
                Relation(row["relation"]),
                [ClassLevel(Sensitivity(name), Level[level]) for name, level in row["levels"].items()],
            )
            for row in document["grants"]
        ],
        "deny": [
            PolicyDeny(Role(row["role"]), Relation(row["relation"]), Sensitivity(row["class"]))
            for row in document["deny"]
        ],
        "steps": [
            PolicyStep(step, [RoleRelation(Role(role), Relation(relation)) for role, relation in grants])
            for step, grants in document["steps"].items()
        ],
    }


def version_of(document: Mapping[str, Any]) -> PolicyVersion:
    """A stored version."""
    return PolicyVersion(
        version=document["version"],
        since=document["created_at"],
        reason=document.get("reason"),
        proposed_by=document.get("proposed_by"),
        confirmed_by=document.get("confirmed_by"),
        **content_of(document),
    )


def proposal_of(document: Mapping[str, Any]) -> PolicyProposal:
    """A stored proposal."""
    before, after = document["before"], document["after"]
    return PolicyProposal(
        id=document["_id"],
        base=document["base"],
        state=ProposalState(document["state"]),
        reason=document["reason"],
        proposed_by=document["proposed_by"],
        proposed_at=document["proposed_at"],
        decided_by=document.get("decided_by"),
        decided_at=document.get("decided_at"),
        rejection_reason=document.get("rejection_reason"),
        changes=[PolicyChange(what, before.get(what), after.get(what)) for what in sorted({*before, *after})],
        **content_of(document),
    )
