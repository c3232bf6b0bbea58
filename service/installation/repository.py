"""Every query on `meta`, and whether there is anything at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from service.clock import now
from service.identity.model import USERS
from service.installation.model import FORMAT, KEYRING, META, Recorded
from service.keys.model import KEYS
from service.storage import Database, DuplicateKey, UnitOfWork


class InstallationRepository:
    """Documents are inserted once and never changed; a retired key's is deleted."""

    def __init__(self, database: Database) -> None:
        self._meta = database.collection(META)
        self._keys = database.collection(KEYS)
        self._users = database.collection(USERS)

    async def recorded(self) -> Recorded:
        """What was written at the first start, and what later keys added."""
        return recorded_of(await self._meta.find({}))

    async def record_key(self, name: str, commitment: str) -> None:
        """Does nothing where there is one under this name already: whoever records reads again and compares."""
        await self._insert({"_id": f"{KEYRING}{name}", "commitment": commitment, "recorded_at": now()})

    async def record_key_in(self, unit: UnitOfWork, name: str, commitment: str) -> None:
        """The same, inside a unit of work."""
        known = await unit.collection(META).find_one({"_id": f"{KEYRING}{name}"})
        if known is None:
            document = {"_id": f"{KEYRING}{name}", "commitment": commitment, "recorded_at": now()}
            await unit.collection(META).insert_one(document)

    async def forget_keys(self, unit: UnitOfWork, names: Iterable[str]) -> None:
        """Stored data needs these keys no more."""
        await unit.collection(META).delete_many({"_id": {"$in": [f"{KEYRING}{name}" for name in names]}})

    async def record_format(self, number: int) -> None:
        """Does nothing where there is one already."""
        await self._insert({"_id": FORMAT, "number": number})

    async def has_data(self) -> bool:
        """Whether there are people or data keys: what is stored without either needs no keyring."""
        for collection in (self._keys, self._users):
            if await collection.find_one({}, {"_id": 1}) is not None:
                return True
        return False

    async def outermost_keys(self) -> list[dict[str, Any]]:
        """The documents of the oldest and the newest data key."""
        found = []
        for direction in (1, -1):
            found += await self._keys.find({}, sort=[("_id", direction)], limit=1)
        return found

    async def _insert(self, document: dict[str, Any]) -> None:
        try:
            await self._meta.insert_one(document)
        except DuplicateKey:
            return


def recorded_of(documents: list[dict[str, Any]]) -> Recorded:
    """From the documents of `meta`; those of other things are passed over."""
    by_id = {document["_id"]: document for document in documents}
    return Recorded(
        by_id[FORMAT]["number"] if FORMAT in by_id else None,
        {name.removeprefix(KEYRING): d["commitment"] for name, d in by_id.items() if name.startswith(KEYRING)},
        {name.removeprefix(KEYRING): d["recorded_at"] for name, d in by_id.items() if "recorded_at" in d},
    )
