"""The policy, asked for its reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from service.access.declared import Kind, Level, Sensitivity
from service.access.policy import Grant, Policy, Relation, Role
from service.explanations.model import FieldAccess
from service.policies.model import RoleRelation


def reached_through(policy: Policy, roles: frozenset[Role], relations: frozenset[Relation]) -> list[Grant]:
    """The rows through which these roles, standing in these relations, come to a record."""
    return [grant for grant in policy.grants_of(roles) if grant[1] in relations]


def explained(
    policy: Policy,
    roles: frozenset[Role],
    relations: frozenset[Relation],
    fields: Iterable[tuple[str, Sensitivity, Kind]],
    *,
    is_reached: bool,
) -> list[FieldAccess]:
    """Each of a record's fields (`view.fields_of`): how much of it is shown, what grants and what denies it."""
    row = policy.row(roles, relations)
    reasons = {sensitivity: policy.reasons(roles, relations, sensitivity) for sensitivity in Sensitivity}
    return [
        FieldAccess(
            name,
            sensitivity,
            kind,
            row[sensitivity] if is_reached else Level.HIDDEN,
            named(reasons[sensitivity][0]),
            named(reasons[sensitivity][1]),
        )
        for name, sensitivity, kind in fields
    ]


def named(grants: Sequence[Grant]) -> list[RoleRelation]:
    """Rows as they are told."""
    return [RoleRelation(role, relation) for role, relation in grants]
