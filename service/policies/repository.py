"""Every query on policies and their proposals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.policies.model import POLICIES, PROPOSALS, ProposalState
from service.storage import Database, Index, UnitOfWork

POLICIES_VERSION = "policies_version"
INDEXES = (
    Index(POLICIES, (("version", -1),), POLICIES_VERSION, unique=True),
    Index(PROPOSALS, (("base", 1), ("state", 1), ("_id", 1)), "policy_proposals_base"),
)


class PolicyRepository:
    """Versions are inserted, never changed; a proposal is changed once, when it is decided."""

    def __init__(self, database: Database) -> None:
        self._policies = database.collection(POLICIES)
        self._proposals = database.collection(PROPOSALS)

    async def newest(self, unit: UnitOfWork | None = None) -> dict[str, Any] | None:
        """The policy in force."""
        policies = unit.collection(POLICIES) if unit else self._policies
        found = await policies.find({}, sort=[("version", -1)], limit=1)
        return found[0] if found else None

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new version. Raises DuplicateKey when another was faster."""
        await unit.collection(POLICIES).insert_one(document)

    async def propose(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new proposal."""
        await unit.collection(PROPOSALS).insert_one(document)

    async def proposal(self, proposal: str, unit: UnitOfWork | None = None) -> dict[str, Any] | None:
        """One proposal, however it went."""
        proposals = unit.collection(PROPOSALS) if unit else self._proposals
        return await proposals.find_one({"_id": proposal})

    async def open_proposals(self, base: int, limit: int) -> list[dict[str, Any]]:
        """What waits to be decided of this version's changes, oldest first."""
        where = {"base": base, "state": ProposalState.OPEN.value}
        return await self._proposals.find(where, sort=[("_id", 1)], limit=limit)

    async def decide(self, unit: UnitOfWork, proposal: str, change: Mapping[str, Any]) -> dict[str, Any] | None:
        """The open proposal, decided; None when it was decided before."""
        where = {"_id": proposal, "state": ProposalState.OPEN.value}
        return await unit.collection(PROPOSALS).find_one_and_update(where, {"$set": dict(change)})
