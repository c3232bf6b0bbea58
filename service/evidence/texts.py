"""The worker's part: a stored file becomes text, page by page, and the text becomes findable (R49a, P19)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import structlog

from service.clock import new_id
from service.crypto import CiphertextError
from service.evidence.decryption import opened
from service.evidence.model import (
    EVIDENCE,
    PAGE_FORM,
    PAGE_PREFIX,
    PAGE_SHAPE,
    EvidenceState,
    TextState,
)
from service.evidence.reading import Page, Reader, ReaderUnavailable, ReadingResult
from service.evidence.service import EvidenceRoom
from service.evidence.shelf import system_caller
from service.jobs.model import Job
from service.jobs.rules import ATTEMPTS_MOST
from service.journal.model import Touched, Work
from service.keys.rules import separate
from service.keys.service import seal_sections
from service.storage import ObjectTrouble, UnitOfWork

# Reasons beside those of `service.evidence.reading`: the file itself was never looked at.
OBJECT_DAMAGED = "OBJECT_DAMAGED"
OBJECT_UNAVAILABLE = "OBJECT_UNAVAILABLE"
READER_UNAVAILABLE = "READER_UNAVAILABLE"
WORKER_ENDED = "WORKER_ENDED"
log = structlog.get_logger(__name__)


class EvidenceTexts:
    """Handles `evidence.read` jobs. A file that can't be read is UNREADABLE, with the reason, and nothing stops."""

    def __init__(self, room: EvidenceRoom, reader: Reader) -> None:
        self._shelf = room.shelf
        self._reader = reader

    async def read(self, job: Job) -> None:
        """Reads one file's text. May be repeated: an earlier text is replaced. Raises ObjectTrouble and
        ReaderUnavailable while the job may still be tried again.
        """
        document = await self._shelf.repository.get(job.payload["evidence"])
        if document is None or not _is_waiting(document):
            return
        if job.attempt > ATTEMPTS_MOST:  # each try took its worker along
            await self._store(document, _unread(WORKER_ENDED))
            return
        try:
            result = await self._read(document)
        except CiphertextError:
            log.error("stored object is damaged", evidence=document["_id"])
            result = _unread(OBJECT_DAMAGED)
        except (ObjectTrouble, ReaderUnavailable) as trouble:
            if job.attempt < ATTEMPTS_MOST:
                raise
            is_store = isinstance(trouble, ObjectTrouble)
            result = _unread(OBJECT_UNAVAILABLE if is_store else READER_UNAVAILABLE)
        await self._store(document, result)

    async def _read(self, document: dict[str, Any]) -> ReadingResult:
        if document["size"] > self._reader.limits.max_bytes:
            return _unread("TOO_LARGE")
        plain = bytearray()
        async with aclosing(opened(self._shelf, document, 0, document["size"] - 1)) as chunks:
            async for chunk in chunks:
                plain += chunk
        return await self._reader.read(bytes(plain), document["media_type"])

    async def _store(self, document: dict[str, Any], result: ReadingResult) -> None:
        """The text, its state and the entry, in one unit of work."""
        evidence, case = document["_id"], document["case"]
        await self._shelf.keys.load([document["customer"]])
        pages = self._sealed_pages(document, result.pages)
        change = {
            "text_state": TextState(result.state).value,
            "text_reason": result.reason,
            "page_count": result.page_count or None,
            "flags": sorted(result.flags),
        }

        async def work(unit: UnitOfWork) -> None:
            guard = {"text_state": TextState.WAITING.value, "withdrawn_at": None}
            moved = {"$set": change, "$inc": {"search_version": 1}}
            before = await self._shelf.repository.change(unit, evidence, guard, moved)
            if before is None:
                return
            await self._shelf.repository.replace_pages(unit, evidence, pages)
            if case:
                await self._shelf.cases.repository.to_index_again(unit, [case])
            after = {**before, **change}
            touched = Touched(evidence, before["version"], after, None, EVIDENCE, ("text_state",))
            details = {"state": result.state, "pages": len(pages)}
            index = (case,) if case else ()
            reading = Work("evidence.text", (touched,), index=index, repeatable=False, details=details)
            await self._shelf.journal.append(unit, system_caller(), reading)

        await self._shelf.database.transact(work)

    def _sealed_pages(self, document: dict[str, Any], pages: Sequence[Page]) -> list[dict[str, Any]]:
        key = self._shelf.keys.current(document["customer"])
        found = []
        for page in pages:
            page_id = new_id(PAGE_PREFIX)
            boxes = [box._asdict() for box in page.boxes]
            openly, sections = separate(
                PAGE_SHAPE,
                {
                    "number": page.number,
                    "source": page.source,
                    "confidence": page.confidence,
                    "text": page.text,
                    "boxes": boxes,
                },
            )
            found.append(
                {
                    "_id": page_id,
                    "evidence": document["_id"],
                    "case": document["case"],
                    "customer": document["customer"],
                    **openly,
                    "sealed": seal_sections(PAGE_FORM, key, page_id, sections),
                }
            )
        return found


def _is_waiting(document: dict[str, Any]) -> bool:
    return (
        document["state"] == EvidenceState.STORED.value
        and document["text_state"] == TextState.WAITING.value
        and document["withdrawn_at"] is None
    )


def _unread(reason: str) -> ReadingResult:
    return ReadingResult([], 0, "UNREADABLE", reason)
