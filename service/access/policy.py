"""The policy: who may see which class through which relation, and who may take which step. Pure.

A policy is data (`service/policies/seed.json`, later versions in MongoDB). Evaluation is a union of grants:
the widest wins; a `deny` beats every grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from service.access.declared import Level, Sensitivity


class Role(str, Enum):
    """What a person is; one person may be several things in one department."""

    AGENT = "AGENT"
    ACCOUNT_MANAGER = "ACCOUNT_MANAGER"
    SUPERVISOR = "SUPERVISOR"
    CLERK = "CLERK"
    COMPLIANCE = "COMPLIANCE"
    AUDITOR = "AUDITOR"
    ADMIN = "ADMIN"


class Relation(str, Enum):
    """How an actor stands to a record."""

    OWNER = "OWNER"
    ASSIGNED = "ASSIGNED"
    DEPARTMENT = "DEPARTMENT"
    ANY = "ANY"


Grant = tuple[Role, Relation]
_NOTHING = {s: Level.FULL if s is Sensitivity.OPEN else Level.HIDDEN for s in Sensitivity}


class Row(dict[Sensitivity, Level]):
    """Level per class. `levels` are the same in a fixed order: two rows with equal levels show the same. `revealed` are
    paths of single fields that are FULL whatever their class says; a row with some is equal to no other.
    """

    __slots__ = ("levels", "revealed")

    def __init__(self, levels: Mapping[Sensitivity, Level], revealed: frozenset[str] = frozenset()) -> None:
        super().__init__(levels)
        self.levels: tuple[object, ...] = tuple(int(self[sensitivity]) for sensitivity in Sensitivity)
        self.revealed = revealed
        if revealed:
            self.levels += (revealed,)

    def of(self, path: str, sensitivity: Sensitivity) -> Level:
        """The level of one field: `path` is its stored name, `contacts.phone` inside a composite."""
        return Level.FULL if self.revealed and path in self.revealed else self[sensitivity]


@dataclass(slots=True)
class Policy:
    """An evaluated policy; rows are remembered, so that asking again costs a look-up."""

    version: int
    levels: Mapping[Grant, Mapping[Sensitivity, Level]]
    deny: frozenset[tuple[Role, Relation, Sensitivity]]
    steps: Mapping[str, frozenset[Grant]]
    _rows: dict[tuple[frozenset[Role], frozenset[Relation]], Row] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Policy:
        """From its stored form; raises ValueError for an unknown role, relation, class or level."""
        levels = {
            (Role(row["role"]), Relation(row["relation"])): {
                Sensitivity(name): Level[level] for name, level in row["levels"].items()
            }
            for row in data["grants"]
        }
        deny = frozenset(
            (Role(row["role"]), Relation(row["relation"]), Sensitivity(row["class"])) for row in data.get("deny", ())
        )
        steps = {
            step: frozenset((Role(role), Relation(relation)) for role, relation in grants)
            for step, grants in data["steps"].items()
        }
        return cls(int(data["version"]), levels, deny, steps)

    def grants_of(self, roles: Iterable[Role]) -> tuple[Grant, ...]:
        """The relations through which these roles reach any row."""
        wanted = set(roles)
        return tuple(grant for grant in self.levels if grant[0] in wanted)

    def row(self, roles: frozenset[Role], relations: frozenset[Relation]) -> Row:
        """Level per class for these roles standing in these relations to one record."""
        found = self._rows.get((roles, relations))
        if found is None:
            found = self._rows[roles, relations] = self._evaluate(roles, relations)
        return found

    def _evaluate(self, roles: frozenset[Role], relations: frozenset[Relation]) -> Row:
        row = dict(_NOTHING)
        for (role, relation), levels in self.levels.items():
            if role in roles and relation in relations:
                for sensitivity, level in levels.items():
                    row[sensitivity] = max(row[sensitivity], level)
        for role, relation, sensitivity in self.deny:
            if role in roles and relation in relations:
                row[sensitivity] = Level.HIDDEN
        return Row(row)

    def reasons(
        self, roles: frozenset[Role], relations: frozenset[Relation], sensitivity: Sensitivity
    ) -> tuple[list[Grant], list[Grant]]:
        """Why `row` has the level of a class: the grants that give the widest level (none where all hide it), and those
        whose deny takes it.
        """
        given = {
            grant: levels.get(sensitivity, Level.HIDDEN)
            for grant, levels in self.levels.items()
            if grant[0] in roles and grant[1] in relations
        }
        widest = max(given.values(), default=Level.HIDDEN)
        denied = [(role, relation) for role, relation, denied in sorted(self.deny) if denied is sensitivity]
        return (
            [grant for grant, level in given.items() if level is widest and widest is not Level.HIDDEN],
            [(role, relation) for role, relation in denied if role in roles and relation in relations],
        )

    def lowest(self, roles: frozenset[Role], sensitivity: Sensitivity) -> Level:
        """The level that holds for every relation which rows of these roles come through: what may be asked."""
        if sensitivity is Sensitivity.OPEN:
            return Level.FULL
        grants = self.grants_of(roles)
        if not grants:
            return Level.HIDDEN
        return min(self.row(frozenset({role}), frozenset({relation}))[sensitivity] for role, relation in grants)

    def may(self, step: str, roles: frozenset[Role], relations: frozenset[Relation]) -> bool:
        """Whether these roles, standing in these relations, may take a step. An unknown step is nobody's."""
        return any(role in roles and relation in relations for role, relation in self.steps.get(step, ()))
