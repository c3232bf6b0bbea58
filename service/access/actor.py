"""Who asks: the actor, and the caller (one actor's one request). Every service method takes a caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.access.declared import RECORDED_BITS, Level, Sensitivity
from service.access.policy import Policy, Relation, Role, Row
from service.errors import NotPermitted

ANYBODY = frozenset({Relation.ANY})
# Made once: asked for every record of every list.
_STANDINGS = {
    (owner, agent, department): ANYBODY
    | ({Relation.OWNER} if owner else set())
    | ({Relation.ASSIGNED} if agent else set())
    | ({Relation.DEPARTMENT} if department else set())
    for owner in (False, True)
    for agent in (False, True)
    for department in (False, True)
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a program, or the system, as rights see them. `steps`: all that a program may do beside reading."""

    id: str
    name: str
    roles: frozenset[Role]
    department: str | None
    session: str | None = None
    steps: frozenset[str] | None = None


SYSTEM = Actor("system", "system", frozenset(), None)


@dataclass(frozen=True, slots=True)
class Reach:
    """Which rows an actor's relations come through. `owner`, `agent`, `department` are what to compare with;
    None where that relation opens nothing. `every` opens all rows.
    """

    every: bool
    owner: str | None
    agent: str | None
    department: str | None

    @property
    def is_nothing(self) -> bool:
        """Whether no row can be reached at all."""
        return not (self.every or self.owner or self.agent or self.department)

    def rows(self, *, owner: str, agent: str, department: str) -> dict[str, Any]:
        """The rows that are open, as a filter over the named fields of a collection. Nothing opens nothing."""
        if self.every:
            return {}
        fields = ((owner, self.owner), (agent, self.agent), (department, self.department))
        clauses: list[dict[str, Any]] = [{field: value} for field, value in fields if value]
        if not clauses:
            return {"_id": {"$in": []}}
        return clauses[0] if len(clauses) == 1 else {"$or": clauses}


@dataclass(frozen=True, slots=True)
class IdempotencyMark:
    """Keyed hashes (hex) of (actor, mutation, key) and of the input; neither tells the input."""

    key: str
    input: str


@dataclass(slots=True)
class Caller:
    """One request of one actor: what it may see, and what it has asked and been shown (for the journal).

    `reads` has the RECORDED_BITS of what each record was shown of in full.
    `mark` is set for one mutation with an idempotency key (`marked`); the journal writes it with the change.
    `revealed` has the single fields that this actor may see in full for now: by record, path and until when.
    """

    actor: Actor
    policy: Policy
    request_id: str = ""
    source: str = ""
    locale: str = "zh-CN"
    expires: datetime | None = None
    reads: dict[str, int] = field(default_factory=dict)
    lookups: set[tuple[str, str, Sensitivity]] = field(default_factory=set)
    mark: IdempotencyMark | None = None
    revealed: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    _reach: Reach | None = None

    def marked(self, mark: IdempotencyMark | None) -> Caller:
        """The same caller taking one idempotent step; what it is shown is still remembered in one place."""
        return replace(self, mark=mark)

    @property
    def reach(self) -> Reach:
        """The rows that this actor may see at all; the system reaches every row, and is shown nothing."""
        if self._reach is None and self.actor is SYSTEM:
            self._reach = Reach(every=True, owner=None, agent=None, department=None)
        if self._reach is None:
            relations = {relation for _, relation in self.policy.grants_of(self.actor.roles)}
            self._reach = Reach(
                every=Relation.ANY in relations,
                owner=self.actor.id if Relation.OWNER in relations else None,
                agent=self.actor.id if Relation.ASSIGNED in relations else None,
                department=self.actor.department if Relation.DEPARTMENT in relations else None,
            )
        return self._reach

    def relations(self, owner: str | None, agents: list[str], departments: list[str]) -> frozenset[Relation]:
        """How the actor stands to a record with this owner, these agents and departments."""
        actor = self.actor
        return _STANDINGS[owner == actor.id, actor.id in agents, actor.department in departments]

    def reaches(self, relations: frozenset[Relation]) -> bool:
        """Whether a record to which the actor stands in these relations is within `reach`."""
        return self.actor is SYSTEM or any(
            relation in relations for _, relation in self.policy.grants_of(self.actor.roles)
        )

    def row(self, relations: frozenset[Relation]) -> Row:
        """What the actor may see of a record to which they stand in these relations."""
        return self.policy.row(self.actor.roles, relations)

    def may(self, step: str, relations: frozenset[Relation] = ANYBODY) -> bool:
        """Whether the actor may take this step here."""
        if self.actor.steps is not None and step not in self.actor.steps:
            return False
        return self.policy.may(step, self.actor.roles, relations)

    def require(self, step: str, relations: frozenset[Relation] = ANYBODY, record: str | None = None) -> None:
        """Raises NotPermitted."""
        if not self.may(step, relations):
            raise NotPermitted(step, record)

    def level(self, sensitivity: Sensitivity) -> Level:
        """The level of a class that holds for every relation which the actor's rows come through: what `questions`
        decides by.
        """
        return self.policy.lowest(self.actor.roles, sensitivity)

    def looked_up(self, field: str, value: str, sensitivity: Sensitivity) -> bool:
        """Remember that a value was asked for by blind equality; only the field, its class, and how much of that the
        actor sees will be written down. Whether it is asked for the first time in this request.
        """
        known = len(self.lookups)
        self.lookups.add((field, value, sensitivity))
        return len(self.lookups) > known

    def saw(self, record: str, sensitivity: Sensitivity) -> None:
        """Remember that a recorded class was delivered in full."""
        self.reads[record] = self.reads.get(record, 0) | RECORDED_BITS[sensitivity]
