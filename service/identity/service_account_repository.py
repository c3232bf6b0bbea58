"""Every query on service accounts. A document's `keys` are few: `id`, `hash` (SHA-256), and the moments of its life."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.identity.model import SERVICE_ACCOUNTS
from service.storage import Database, Index, UnitOfWork

INDEXES = (
    Index(
        SERVICE_ACCOUNTS,
        (("keys.hash", 1),),
        "service_accounts_key",
        unique=True,
        partial={"keys.hash": {"$exists": True}},
    ),
    Index(SERVICE_ACCOUNTS, (("keys.id", 1),), "service_accounts_key_id"),
)


class ServiceAccountRepository:
    """Reads outside a unit of work; whatever changes or guards something takes the unit."""

    def __init__(self, database: Database) -> None:
        self._accounts = database.collection(SERVICE_ACCOUNTS)

    async def by_key_hash(self, hashed: bytes) -> dict[str, Any] | None:
        """The account whose key this is, whatever the key's state."""
        return await self._accounts.find_one({"keys.hash": hashed})

    async def by_key(self, unit: UnitOfWork, key: str) -> dict[str, Any] | None:
        """The account with the key of this id."""
        return await unit.collection(SERVICE_ACCOUNTS).find_one({"keys.id": key})

    async def one(self, account: str, unit: UnitOfWork | None = None) -> dict[str, Any] | None:
        """One account by id."""
        accounts = unit.collection(SERVICE_ACCOUNTS) if unit else self._accounts
        return await accounts.find_one({"_id": account})

    async def page(self, first: int, after_id: str | None) -> list[dict[str, Any]]:
        """In the order of their ids."""
        where = {"_id": {"$gt": after_id}} if after_id else {}
        return await self._accounts.find(where, sort=[("_id", 1)], limit=first)

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new account."""
        await unit.collection(SERVICE_ACCOUNTS).insert_one(document)

    async def replace_keys(
        self, unit: UnitOfWork, account: str, version: int, keys: Sequence[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """The changed account; None when the version is not the current one."""
        return await unit.collection(SERVICE_ACCOUNTS).find_one_and_update(
            {"_id": account, "version": version}, {"$set": {"keys": list(keys)}, "$inc": {"version": 1}}
        )

    async def used(self, key: str, hour: datetime) -> None:
        """Writes down when a key was last used."""
        await self._accounts.update_one({"keys.id": key}, {"$set": {"keys.$.last_used_at": hour}})
