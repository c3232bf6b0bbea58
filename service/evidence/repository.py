"""Every query on evidence and its pages.

Evidence has no reach of its own: who may see it is who may see its case, or its customer where it has no case. The
service asks for that parent first, with the access filter inside that query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import Binary

from service.cases.model import CASES
from service.customers.model import CUSTOMERS
from service.evidence.model import EVIDENCE, PAGES, EvidenceState, TextState, key_context
from service.keys.model import StoredKey
from service.storage import Database, Index, UnitOfWork
from service.storage.paging import pages_of_each

INDEXES = (
    Index(EVIDENCE, (("case", 1), ("_id", 1)), "evidence_case"),
    Index(EVIDENCE, (("customer", 1), ("_id", 1)), "evidence_customer"),
    Index(EVIDENCE, (("expires_at", 1),), "evidence_pending", partial={"state": EvidenceState.PENDING.value}),
    Index(EVIDENCE, (("registered_at", 1),), "evidence_waiting", partial={"text_state": TextState.WAITING.value}),
    Index(PAGES, (("evidence", 1), ("number", 1)), "evidence_pages_number", unique=True),
)


class EvidenceRepository:
    """Documents as they are stored; opening them is the service's."""

    def __init__(self, database: Database) -> None:
        self._evidence = database.collection(EVIDENCE)
        self._pages = database.collection(PAGES)
        self._parents = {"case": database.collection(CASES), "customer": database.collection(CUSTOMERS)}

    async def get(self, evidence: str) -> dict[str, Any] | None:
        """One document; the caller of this method checks the parent."""
        return await self._evidence.find_one({"_id": evidence})

    async def of_ids(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Some documents, in no order; the caller of this method checks the parents."""
        return await self._evidence.find({"_id": {"$in": list(ids)}})

    async def of_parent(
        self, field: str, parent: str, *, after: str | None, limit: int, withdrawn: bool
    ) -> list[dict[str, Any]]:
        """A page of a case's or (`field` "customer") of a customer's own evidence, newest first."""
        where = _of_parent(field, parent, withdrawn)
        if after is not None:
            where["_id"] = {"$lt": after}
        return await self._evidence.find(where, sort=[("_id", -1)], limit=limit)

    async def first_of_parents(
        self, field: str, parents: Sequence[str], *, limit: int
    ) -> dict[str, list[dict[str, Any]]]:
        """The newest evidence (not withdrawn) of each of some cases or, of their own, customers."""
        where: dict[str, Any] = {"withdrawn_at": None, **({"case": None} if field == "customer" else {})}
        pipeline = pages_of_each(parents, children=EVIDENCE, key=field, where=where, sort=[("_id", -1)], limit=limit)
        return {found["_id"]: found["page"] for found in await self._parents[field].aggregate(pipeline)}

    async def count_of_parent(self, field: str, parent: str, *, withdrawn: bool) -> int:
        """How many there are in all."""
        return await self._evidence.count(_of_parent(field, parent, withdrawn))

    async def of_cases(self, cases: Iterable[str], *, withdrawn: bool) -> list[dict[str, Any]]:
        """All evidence of some cases, oldest first."""
        wanted = list(cases)
        if not wanted:
            return []
        where: dict[str, Any] = {"case": {"$in": wanted}}
        if not withdrawn:
            where["withdrawn_at"] = None
        return await self._evidence.find(where, sort=[("_id", 1)])

    async def pages(self, evidence: Iterable[str]) -> list[dict[str, Any]]:
        """All pages of some evidence, in order."""
        wanted = list(evidence)
        if not wanted:
            return []
        return await self._pages.find({"evidence": {"$in": wanted}}, sort=[("evidence", 1), ("number", 1)])

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A newly registered one."""
        await unit.collection(EVIDENCE).insert_one(document)

    async def change(
        self, unit: UnitOfWork, evidence: str, guard: Mapping[str, Any], change: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Changes one if the guard (version, state, claim) holds; returns its former state, else None."""
        where = {"_id": evidence, **guard}
        return await unit.collection(EVIDENCE).find_one_and_update(where, change, before=True)

    async def claim(self, evidence: str, at: datetime, upload: Mapping[str, Any]) -> dict[str, Any] | None:
        """Takes the upload for one PUT, unless another holds it; returns the former state, or None."""
        where = {
            "_id": evidence,
            "state": EvidenceState.PENDING.value,
            "expires_at": {"$gt": at},
            "withdrawn_at": None,
            "$or": [{"upload": None}, {"upload.until": {"$lte": at}}],
        }
        return await self._evidence.find_one_and_update(where, {"$set": {"upload": dict(upload)}}, before=True)

    async def extend_claim(self, evidence: str, token: str, until: datetime) -> bool:
        """Keeps a long upload's claim; False when it was lost."""
        where = {"_id": evidence, "upload.token": token}
        return await self._evidence.update_one(where, {"$set": {"upload.until": until}}) == 1

    async def note_stored(self, evidence: str, token: str, version_id: str) -> None:
        """Which version an upload stored, so that it is collected if the upload dies before its commit."""
        where = {"_id": evidence, "upload.token": token}
        await self._evidence.update_one(where, {"$set": {"upload.version_id": version_id}})

    async def release(self, evidence: str, token: str) -> None:
        """Gives a claim back, so that the client may try again."""
        await self._evidence.update_one({"_id": evidence, "upload.token": token}, {"$unset": {"upload": ""}})

    async def expired(self, at: datetime, limit: int) -> list[dict[str, Any]]:
        """Announced files whose time has passed and that nobody is sending just now."""
        where = {
            "state": EvidenceState.PENDING.value,
            "expires_at": {"$lte": at},
            "$or": [{"upload": None}, {"upload.until": {"$lte": at}}],
        }
        return await self._evidence.find(where, sort=[("expires_at", 1)], limit=limit)

    async def lapsed(self, case: str, at: datetime) -> list[dict[str, Any]]:
        """Announced files of a case whose bytes can't come any more, and that nobody is sending just now."""
        where = {
            "case": case,
            "state": EvidenceState.PENDING.value,
            "$and": [
                {"$or": [{"expires_at": {"$lte": at}}, {"withdrawn_at": {"$ne": None}}]},
                {"$or": [{"upload": None}, {"upload.until": {"$lte": at}}]},
            ],
        }
        return await self._evidence.find(where)

    async def unsettled(self, case: str, at: datetime) -> list[str]:
        """Ids of a case's evidence whose bytes are awaited or whose text is being read."""
        where = {
            "case": case,
            "withdrawn_at": None,
            "$or": [
                {"state": EvidenceState.PENDING.value, "expires_at": {"$gt": at}},
                {"state": EvidenceState.PENDING.value, "upload.until": {"$gt": at}},
                {"state": EvidenceState.STORED.value, "text_state": TextState.WAITING.value},
            ],
        }
        return [d["_id"] for d in await self._evidence.find(where, sort=[("_id", 1)], projection={"_id": 1})]

    async def read(self, case: str) -> list[str]:
        """Ids of a case's evidence whose text was read, or found to be unreadable."""
        where = {
            "case": case,
            "withdrawn_at": None,
            "text_state": {"$in": [TextState.READ.value, TextState.UNREADABLE.value]},
        }
        return [d["_id"] for d in await self._evidence.find(where, sort=[("_id", 1)], projection={"_id": 1})]

    async def waiting(self) -> int:
        """How many texts are still to be read."""
        return await self._evidence.count({"text_state": TextState.WAITING.value, "withdrawn_at": None})

    async def note_retention(self, evidence: str, mode: str, until: datetime) -> None:
        """What the object store says of the lock; the archive's entry accompanies it."""
        await self._evidence.update_one({"_id": evidence}, {"$set": {"retention_mode": mode, "retained_until": until}})

    async def replace_pages(self, unit: UnitOfWork, evidence: str, pages: Sequence[dict[str, Any]]) -> None:
        """The text as it was read last, instead of any earlier reading."""
        stored = unit.collection(PAGES)
        await stored.delete_many({"evidence": evidence})
        if pages:
            await stored.insert_many(pages)


class ObjectKeys:
    """The wrapped keys of the stored files' objects (`service.keys.model.KeyStore`)."""

    what = "file keys"

    def __init__(self, database: Database) -> None:
        self._evidence = database.collection(EVIDENCE)

    async def count(self) -> int:
        """See `KeyStore`."""
        return await self._evidence.estimated_count()

    async def after(self, holder: str, limit: int) -> list[list[StoredKey]]:
        """See `KeyStore`."""
        found = await self._evidence.find(
            {"_id": {"$gt": holder}, "object.wrapped_key": {"$exists": True}},
            sort=[("_id", 1)],
            limit=limit,
            projection={"object.key": 1, "object.wrapped_key": 1},
        )
        return [
            [StoredKey(d["_id"], bytes(d["object"]["wrapped_key"]), key_context(d["_id"], d["object"]["key"]))]
            for d in found
        ]

    async def exchange(self, former: StoredKey, wrapped: bytes) -> bool:
        """See `KeyStore`."""
        where = {"_id": former.holder, "object.wrapped_key": Binary(former.wrapped)}
        return await self._evidence.update_one(where, {"$set": {"object.wrapped_key": Binary(wrapped)}}) == 1


def _of_parent(field: str, parent: str, withdrawn: bool) -> dict[str, Any]:
    where: dict[str, Any] = {field: parent}
    if field == "customer":
        where["case"] = None
    if not withdrawn:
        where["withdrawn_at"] = None
    return where
