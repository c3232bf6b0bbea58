"""Writing the journal (in the unit of work, or by group commit for reads) and its views.

No effect without its record (P23): a change and its entry commit together; a read of sensitive values is
recorded before the first byte of the answer leaves, and if that fails the request fails.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bson import Binary

from service.access.actor import Caller, IdempotencyMark
from service.access.declared import RECORDED_BITS, Sensitivity
from service.clock import new_id, now
from service.errors import Code, Invalid
from service.journal.canonical import canonical
from service.journal.model import PREFIX, QUESTIONS, AuditEntry, Repeat, Work, sealed_hash
from service.journal.readings import Excess, Reading, Readings
from service.journal.repository import JournalRepository
from service.storage import Database, UnitOfWork
from service.storage.grouping import TOGETHER_SECONDS, GroupCommit, SharedRead

PENDING_MOST = 1000
# Names of the classes that a number of `Caller.reads` stands for.
_CLASSES = [sorted(name.value for name, bit in RECORDED_BITS.items() if bits & bit) for bits in range(8)]
_NOT_KEPT = frozenset({"blind", "unique", "_id"})


class _Alone(NamedTuple):
    """An entry that accompanies no change of a record, and what has to be counted before it is written."""

    document: dict[str, Any] | None
    reading: Reading | None


class Journal:
    """See the module's docstring."""

    def __init__(self, database: Database) -> None:
        self.repository = JournalRepository(database)
        self.readings = Readings(database)
        self._alone: GroupCommit[_Alone] = GroupCommit(self._commit_alone, spacing=TOGETHER_SECONDS)
        self._pending = SharedRead(lambda: self.repository.pending_ids(PENDING_MOST))

    async def append(self, unit: UnitOfWork, caller: Caller, work: Work) -> str:
        """Writes the unit's one journal document and returns its id. Raises DuplicateKey for a used
        idempotency key.
        """
        document = self.document(caller, work)
        await self.repository.insert(unit, document)
        return str(document["_id"])

    def document(self, caller: Caller, work: Work) -> dict[str, Any]:
        """A unit's one journal document, for units that only insert (`Database.insert`)."""
        document = self._document(caller, work)
        before = [
            {
                "id": touched.id,
                "version": touched.former["version"],
                "collection": touched.collection,
                "document": {k: v for k, v in touched.former.items() if k not in _NOT_KEPT},
            }
            for touched in work.touched
            if touched.former is not None and "version" in touched.former
        ]
        if before:
            document["before"] = before
        if work.index:
            document["progress"] = {"todo": True, "index": list(dict.fromkeys(work.index))}
        return document

    async def repeated(self, mark: IdempotencyMark) -> Repeat | None:
        """What was written under this mark before, or None. Raises Invalid IDEMPOTENCY_MISMATCH."""
        found = await self.repository.by_idempotency_key(mark.key)
        if found is None:
            return None
        if found["facets"]["idempotency"]["input"] != mark.input:
            raise Invalid.because(Code.IDEMPOTENCY_MISMATCH, "idempotencyKey")
        record = json.loads(bytes(found["entry"]))["records"][0]
        return Repeat(record["id"], record["version"])

    async def record(self, caller: Caller, work: Work) -> None:
        """Records something that changed no record: a sensitive read, a download, a refusal."""
        await self._alone.commit(_Alone(self._document(caller, work), None))

    async def record_shown(self, caller: Caller, work: Work | None, records: Collection[str]) -> None:
        """Counts records that are about to be shown in full, and writes the entry about it, if it has none elsewhere.
        Raises Refused ACCOUNT_LOCKED: they may not be shown.
        """
        await self._show(caller, self._document(caller, work) if work else None, records)

    async def record_reads(self, caller: Caller) -> None:
        """Records what the caller looked up by blind equality and what they were shown in full, as one entry each, and
        forgets it. Nothing asked or shown, no entry. Raises Refused ACCOUNT_LOCKED: it may not be shown.
        """
        if caller.lookups:
            fields = sorted({field for field, _, _ in caller.lookups})
            classes = sorted({sensitivity.value for _, _, sensitivity in caller.lookups})
            levels = {name: caller.level(Sensitivity(name)).name for name in classes}
            details = {"fields": fields, "values": len(caller.lookups), "levels": levels}
            caller.lookups.clear()
            await self.record(caller, Work("customer.lookup", details=details))
        if not caller.reads:
            return
        shown = {record: _CLASSES[bits] for record, bits in caller.reads.items()}
        caller.reads.clear()
        entry = self._document(caller, Work("record.read", details={"shown": shown}), records=sorted(shown))
        await self._show(caller, entry, shown)

    async def _show(self, caller: Caller, document: dict[str, Any] | None, records: Collection[str]) -> None:
        reading = self.readings.reading(caller, records)
        if document is None and reading is None:
            return
        try:
            await self._alone.commit(_Alone(document, reading))
        except Excess as excess:
            await self.readings.refuse(caller, excess, records)
        if reading is not None:
            self.readings.shown(reading)

    async def _commit_alone(self, items: Sequence[_Alone]) -> Sequence[Exception | None]:
        """Counts first; entries are written of what may be shown."""
        failures: list[Exception | None] = [None] * len(items)
        readings = {place: item.reading for place, item in enumerate(items) if item.reading is not None}
        if readings:
            for place, excess in zip(readings, await self.readings.count(list(readings.values())), strict=True):
                failures[place] = excess
        documents = [
            item.document
            for item, failure in zip(items, failures, strict=True)
            if item.document is not None and failure is None
        ]
        if documents:
            await self.repository.insert_alone(documents)
        return failures

    def _document(self, caller: Caller, work: Work, records: Sequence[str] | None = None) -> dict[str, Any]:
        entry_id, at = new_id(PREFIX), now()
        ids = list(records) if records is not None else [touched.id for touched in work.touched]
        entry: dict[str, Any] = {
            "id": entry_id,
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "actor": caller.actor.id,
            "action": work.action,
            "request": caller.request_id,
            "source": caller.source,
        }
        if caller.actor.session:
            entry["session"] = caller.actor.session
        if work.reason:
            entry["reason"] = work.reason
        if work.touched:
            entry["records"] = [
                {
                    "id": touched.id,
                    "version": touched.version,
                    "hash": sealed_hash(touched.document),
                    "former": sealed_hash(touched.former),
                    "changed": list(touched.changed),
                }
                for touched in work.touched
            ]
        if work.details:
            entry["details"] = dict(work.details)
        facets: dict[str, Any] = {"actor": caller.actor.id, "action": work.action, "records": ids, "at": at}
        if caller.mark and work.repeatable and work.touched:
            mark = {"key": caller.mark.key, "input": caller.mark.input}
            entry["idempotency"] = mark
            facets["idempotency"] = mark
        return {"_id": entry_id, "entry": Binary(canonical(entry)), "facets": facets}

    async def pending(self) -> list[str]:
        """Ids of records whose index work is not done; more than PENDING_MOST entries mean too many."""
        return await self._pending.get()

    async def entry(self, entry: str) -> AuditEntry | None:
        """One entry by id."""
        found = await self.repository.get(entry)
        return _audit_entry(found) if found else None

    async def entries(
        self,
        caller: Caller,
        *,
        actor: str | Sequence[str] | None = None,
        actions: Sequence[str] | None = None,
        record: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_id: str | None = None,
        limit: int = 20,
    ) -> list[AuditEntry]:
        """The audit view, newest first, for whoever may read it. Raises NotPermitted, Refused."""
        caller.require("audit.read")
        asked: dict[str, Any] = {"actor": actor, "actions": actions, "record": record, "since": since, "until": until}
        QUESTIONS.permit(caller, ["id", *(name for name, value in asked.items() if value is not None)])
        found = await self.repository.entries(**asked, before_id=before_id, limit=limit)
        return [_audit_entry(document) for document in found]


def _audit_entry(document: Mapping[str, Any]) -> AuditEntry:
    text = bytes(document["entry"]).decode()
    entry = json.loads(text)
    facets = document["facets"]
    return AuditEntry(
        id=document["_id"],
        at=facets["at"],
        actor=facets["actor"],
        action=facets["action"],
        records=list(facets["records"]),
        reason=entry.get("reason"),
        source=entry.get("source") or None,
        request=entry.get("request") or None,
        details=text,
    )
