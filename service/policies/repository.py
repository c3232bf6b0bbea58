"""Every query on policies."""

from __future__ import annotations

from typing import Any

from service.policies.model import POLICIES
from service.storage import Database, Index, UnitOfWork

INDEXES = (Index(POLICIES, (("version", -1),), "policies_version", unique=True),)


class PolicyRepository:
    """Versions are inserted, never changed."""

    def __init__(self, database: Database) -> None:
        self._policies = database.collection(POLICIES)

    async def newest(self) -> dict[str, Any] | None:
        """The policy in force."""
        found = await self._policies.find({}, sort=[("version", -1)], limit=1)
        return found[0] if found else None

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new version. Raises DuplicateKey when another was faster."""
        await unit.collection(POLICIES).insert_one(document)
