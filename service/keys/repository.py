"""Every query on data keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from service.keys.model import KEYS
from service.storage import Database


class KeyRepository:
    """One document per owner: `{_id: owner, versions: [{version, wrapped, created_at}]}`."""

    def __init__(self, database: Database) -> None:
        self._keys = database.collection(KEYS)

    async def of_owners(self, owners: Iterable[str]) -> list[dict[str, Any]]:
        """The key documents of these owners; a missing one was destroyed or never made."""
        return await self._keys.find({"_id": {"$in": list(owners)}})
