"""The policy: who sees what, who may take which step; and how it is changed by two people."""

from __future__ import annotations

from typing import Any

import strawberry

from schema.binding import relation
from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload
from schema.node import require_id
from schema.people import RoleType, User
from schema.records import SensitivityClass, Visibility, enum_type, record_type
from service.access.policy import Relation
from service.policies.model import PROPOSAL_PREFIX
from service.policies.model import PolicyProposal as ProposalModel
from service.policies.model import PolicyVersion as VersionModel

RelationType = enum_type(Relation)


@record_type(ProposalModel, leave_out=("proposed_by", "decided_by"))
class PolicyProposal:
    """A proposal."""

    proposed_by: User | None = relation("users", lambda one: one.proposed_by, "Who proposed it.")
    decided_by: User | None = relation("users", lambda one: one.decided_by, "Who confirmed or rejected it.")


@record_type(VersionModel, leave_out=("proposed_by", "confirmed_by"))
class PolicyVersion:
    """A version."""

    proposed_by: User | None = relation(
        "users", lambda one: one.proposed_by, "Who proposed it; null where the system made it."
    )
    confirmed_by: User | None = relation("users", lambda one: one.confirmed_by, "Who confirmed it.")

    @strawberry.field(description="What waits to be confirmed or rejected, oldest first, 50 at most.")
    async def proposals(root: Any, info: strawberry.Info) -> list[PolicyProposal]:
        context = context_of(info)
        return await context.parts.policies.pending(context.signed_in, root.version)


@strawberry.input(description="How much of a class is shown.")
class ClassLevelInput:
    """Input."""

    sensitivity: SensitivityClass = strawberry.field(description="The class; OPEN has no level.")
    level: Visibility = strawberry.field(description="How much of it is shown.")


@strawberry.input(description="A row of the table; it replaces the row of this role and relation.")
class PolicyGrantInput:
    """Input."""

    role: RoleType = strawberry.field(description="The role.")
    relation: RelationType = strawberry.field(description="How somebody of that role must stand to the record.")
    levels: list[ClassLevelInput] | None = strawberry.field(
        default=strawberry.UNSET, description="A level for each class; null removes the row."
    )


@strawberry.input(description="A class that is hidden whatever else grants it.")
class PolicyDenyInput:
    """Input."""

    role: RoleType = strawberry.field(description="The role.")
    relation: RelationType = strawberry.field(description="How somebody of that role must stand to the record.")
    sensitivity: SensitivityClass = strawberry.field(description="The class that is hidden.")


@strawberry.input(description="A role and a relation.")
class RoleRelationInput:
    """Input."""

    role: RoleType = strawberry.field(description="The role.")
    relation: RelationType = strawberry.field(description="The relation; ANY where the step is about no record.")


@strawberry.input(description="Everybody who may take a step.")
class PolicyStepInput:
    """Input."""

    step: str = strawberry.field(description="The step, one of those that the policy has.")
    grants: list[RoleRelationInput] = strawberry.field(description="Who may take it; an empty list: nobody.")


@strawberry.input(description="A proposal of another policy; what is left out stays as it is.")
class UpdatePolicyInput:
    """Input."""

    version: int = strawberry.field(description="The version in force that was read.")
    grants: list[PolicyGrantInput] | None = strawberry.field(
        default=strawberry.UNSET, description="Rows to replace, add or remove; rows that are not named stay."
    )
    deny: list[PolicyDenyInput] | None = strawberry.field(
        default=strawberry.UNSET, description="The whole list of what is hidden whatever the grants say."
    )
    steps: list[PolicyStepInput] | None = strawberry.field(
        default=strawberry.UNSET, description="Steps to give to others; steps that are not named stay."
    )
    reason: str = strawberry.field(description="Why; it is kept in the journal.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Which proposal to put in force.")
class ConfirmPolicyInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The proposal.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Which proposal to end, and why.")
class RejectPolicyInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The proposal.")
    reason: str = strawberry.field(description="Why; it is kept in the journal.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.type(description="Outcome of a step of a proposal.")
class PolicyProposalPayload:
    """Payload."""

    proposal: PolicyProposal | None = strawberry.field(description="The proposal after the step.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


async def policy(root: Any, info: strawberry.Info) -> PolicyVersion:
    """The policy in force: who sees what, and who may take which step (ADMIN, COMPLIANCE, AUDITOR)."""
    context = context_of(info)
    return await context.parts.policies.in_force(context.signed_in)


async def update_policy(root: Any, info: strawberry.Info, input: UpdatePolicyInput) -> PolicyProposalPayload:
    """Proposes another policy (ADMIN); it is in force once somebody else confirms it."""
    policies = context_of(info).parts.policies
    return await payload(
        info, "proposal", input, policies.propose, lambda caller, one, _: policies.proposal(caller, one)
    )


async def confirm_policy(root: Any, info: strawberry.Info, input: ConfirmPolicyInput) -> PolicyProposalPayload:
    """Puts a proposal in force at the next query, everywhere (COMPLIANCE, but never who proposed it)."""
    policies = context_of(info).parts.policies
    return await payload(
        info,
        "proposal",
        input,
        lambda caller, values: policies.confirm(caller, require_id(values["id"], PROPOSAL_PREFIX)),
        lambda caller, one, _: policies.proposal(caller, one),
    )


async def reject_policy(root: Any, info: strawberry.Info, input: RejectPolicyInput) -> PolicyProposalPayload:
    """Ends a proposal, with a reason (COMPLIANCE, but never who proposed it)."""
    policies = context_of(info).parts.policies
    return await payload(
        info,
        "proposal",
        input,
        lambda caller, values: policies.reject(caller, require_id(values["id"], PROPOSAL_PREFIX), values["reason"]),
        lambda caller, one, _: policies.proposal(caller, one),
    )
