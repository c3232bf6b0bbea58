"""Every query on data keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import Binary

from service.keys.model import KEYS, StoredKey, key_context
from service.storage import Database, UnitOfWork


class KeyRepository:
    """One document per owner: `{_id: owner, versions: [{version, wrapped, created_at}]}`."""

    what = "data keys"

    def __init__(self, database: Database) -> None:
        self._keys = database.collection(KEYS)

    async def of_owners(self, owners: Iterable[str]) -> list[dict[str, Any]]:
        """The key documents of these owners; a missing one was destroyed or never made."""
        return await self._keys.find({"_id": {"$in": list(owners)}})

    async def add_version(self, unit: UnitOfWork, owner: str, version: Mapping[str, Any]) -> bool:
        """False when the owner's key was destroyed, or has a version of this number by now."""
        where = {"_id": owner, "versions.version": {"$ne": version["version"]}}
        return await unit.collection(KEYS).update_one(where, {"$push": {"versions": dict(version)}}) == 1

    async def delete(self, unit: UnitOfWork, owner: str) -> bool:
        """Whether there was one."""
        return await unit.collection(KEYS).delete_many({"_id": owner}) == 1

    async def count(self) -> int:
        """See `KeyStore`."""
        return await self._keys.estimated_count()

    async def after(self, holder: str, limit: int) -> list[list[StoredKey]]:
        """See `KeyStore`."""
        where = {"_id": {"$gt": holder}, "versions.0": {"$exists": True}}
        found = await self._keys.find(where, sort=[("_id", 1)], limit=limit)
        return [[_stored(document["_id"], item) for item in document["versions"]] for document in found]

    async def exchange(self, former: StoredKey, wrapped: bytes) -> bool:
        """See `KeyStore`."""
        held = {"version": former.version, "wrapped": Binary(former.wrapped)}
        where = {"_id": former.holder, "versions": {"$elemMatch": held}}
        return await self._keys.update_one(where, {"$set": {"versions.$.wrapped": Binary(wrapped)}}) == 1


def _stored(owner: str, item: Mapping[str, Any]) -> StoredKey:
    version = item["version"]
    return StoredKey(owner, bytes(item["wrapped"]), key_context(owner, version), version)
