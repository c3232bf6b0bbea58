"""The epoch: one number that every revocation, policy change and key destruction raises.

What a process remembers of rights and keys (actors, tokens, policies, data keys) is valid for one epoch. The
number is read for every request, by group, so a revoked right is gone by the next query (B9, P14) in every
process, and change streams are never needed for it.
"""

from __future__ import annotations

from collections.abc import Callable

from service.storage.grouping import TOGETHER_SECONDS, SharedRead
from service.storage.mongo import Database, UnitOfWork

EPOCHS = "epoch"
_ID = "epoch"


class Epoch:
    """Shared by everything that caches; `on_change` callbacks drop what they remember."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(EPOCHS)
        self._shared = SharedRead(self._read, spacing=TOGETHER_SECONDS)
        self._listeners: list[Callable[[], object]] = []
        self.value = -1

    def on_change(self, drop: Callable[[], object]) -> None:
        """`drop` is called, synchronously, whenever a new number was read."""
        self._listeners.append(drop)

    async def refresh(self) -> int:
        """The number as of a moment after this call; caches of an older one are dropped before it returns."""
        return await self._shared.get()

    async def _read(self) -> int:
        found = await self._collection.find_one({"_id": _ID})
        value = int(found["value"]) if found else 0
        if value != self.value:
            self.value = value
            for drop in self._listeners:
                drop()
        return value

    @staticmethod
    async def raise_in(unit: UnitOfWork) -> None:
        """Raises the epoch in the unit of work that revokes something."""
        await unit.collection(EPOCHS).update_one({"_id": _ID}, {"$inc": {"value": 1}}, upsert=True)
