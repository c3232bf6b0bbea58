"""Bytes come in: one PUT at a time, streamed, encrypted, and either stored with their entry or not at all."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from bson import Binary

from service.access.actor import Caller
from service.access.view import View
from service.cases.model import CaseState
from service.cases.rules import Step, next_state
from service.clock import now
from service.crypto import SegmentEncryptor, ciphertext_size
from service.errors import Code, Invalid
from service.evidence.model import EVIDENCE, READ, EvidenceState, TextState, key_context
from service.evidence.rules import CLAIM_LIFE, FILING_STATES, check_awaited, check_length, may_upload
from service.evidence.shelf import Found, Shelf, associated_data, system_caller
from service.evidence.upload import Bridge, SealingSource, discard, stream_into
from service.journal.model import Touched, Work
from service.storage import StoredObject, UnitOfWork

UPLOADS_AT_ONCE = 4
EXPIRED_AT_ONCE = 500
# Bytes that are wrong in themselves: sending them again can't help.
_WRONG_BYTES = frozenset({Code.FILE_TYPE_REFUSED, Code.CHECKSUM_MISMATCH})
log = structlog.get_logger(__name__)


class ClaimLost(Exception):
    """Another upload took over, because this one did not move for too long."""


@dataclass(frozen=True, slots=True)
class _Claim:
    token: str
    storage_key: str


class Receiving:
    """See the module's docstring."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._slots = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def put(
        self,
        caller: Caller,
        evidence: str,
        content_length: int,
        chunks: AsyncIterator[bytes],
        *,
        priority: int = 5,
    ) -> View | None:
        """Receives a file. Invisible, or not this caller's to send, is None. Texts of lower `priority` are read
        first.

        Raises Invalid (nothing changed, or FAILED where the bytes themselves are wrong), ObjectTrouble, and what
        `chunks` raises.
        """
        found = await self._shelf.find(caller, evidence)
        if found is None or not may_upload(found.view):
            return None
        check_awaited(found.document, now())
        if found.document["case"]:
            next_state(Step.FILE, CaseState(found.parent.document["state"]))
        check_length(found.document["size"], content_length, self._shelf.upload_limit_bytes)
        claim = await self._claim(found)
        keeper = asyncio.create_task(self._keep(evidence, claim))
        try:
            async with self._slots:
                return await self._receive(caller, found, claim, chunks, priority)
        except Invalid as refused:
            if any(problem.code in _WRONG_BYTES for problem in refused.problems):
                await self._give_up(caller, found.document, claim, refused.problems[0].code)
            else:
                await self._shelf.repository.release(evidence, claim.token)
            raise
        except BaseException:
            await self._shelf.repository.release(evidence, claim.token)
            raise
        finally:
            keeper.cancel()

    async def _claim(self, found: Found) -> _Claim:
        evidence, at = found.view.id, now()
        claim = _Claim(secrets.token_hex(16), f"evidence/{secrets.token_hex(20)}")
        upload = {"token": claim.token, "key": claim.storage_key, "until": at + CLAIM_LIFE}
        former = await self._shelf.repository.claim(evidence, at, upload)
        if former is None:
            current = await self._shelf.repository.get(evidence)
            check_awaited(current or found.document, at)
            raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state="UPLOADING")
        await self._discard_stray(former)
        return claim

    async def _keep(self, evidence: str, claim: _Claim) -> None:
        while True:
            await asyncio.sleep(CLAIM_LIFE.total_seconds() / 3)
            with suppress(Exception):  # the claim outlives two failures; the last word has the final guard
                await self._shelf.repository.extend_claim(evidence, claim.token, now() + CLAIM_LIFE)

    async def _receive(
        self, caller: Caller, found: Found, claim: _Claim, chunks: AsyncIterator[bytes], priority: int
    ) -> View:
        document = found.document
        evidence, size = found.view.id, document["size"]
        values = self._shelf.sealed(document).values()
        object_key = os.urandom(32)
        bridge = Bridge()
        source = SealingSource(
            bridge.take,
            SegmentEncryptor(object_key, associated_data(evidence)),
            size=size,
            media_type=document["media_type"],
            file_name=values["file_name"],
            sha256=values["sha256"],
        )
        sealed_size = ciphertext_size(size)
        stored = await stream_into(self._shelf.objects, claim.storage_key, chunks, bridge, source, sealed_size)
        await self._shelf.repository.note_stored(evidence, claim.token, stored.version_id)
        wrapped = await self._shelf.encryption.wrap(object_key, context=key_context(evidence, stored.key))
        change = {
            "state": EvidenceState.STORED.value,
            "text_state": TextState.WAITING.value,
            "expires_at": None,
            "uploaded_at": now(),
            "uploaded_by": caller.actor.id,
            "sealed": self._shelf.sealed_with(document, {"sha256": source.plaintext_sha256}),
            "object": {
                "key": stored.key,
                "version_id": stored.version_id,
                "ciphertext_sha256": source.ciphertext_sha256,
                "ciphertext_size": sealed_size,
                "wrapped_key": Binary(wrapped),
            },
        }
        after = await self._settle(caller, document, claim, stored, change, priority)
        return self._shelf.view(caller, after, found.view.relations)

    async def _settle(
        self,
        caller: Caller,
        document: Mapping[str, Any],
        claim: _Claim,
        stored: StoredObject,
        change: Mapping[str, Any],
        priority: int,
    ) -> dict[str, Any]:
        """The file is STORED, its text awaited and its entry written, or the stored version is gone."""
        evidence, case = document["_id"], document["case"]

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            if case:
                guard = {"state": {"$in": list(FILING_STATES)}}
                moved = {"$inc": {"search_version": 1}}
                if not await self._shelf.cases.repository.change(unit, caller.reach, case, guard, moved):
                    raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state=CaseState.SEALING.value)
            held = {"state": EvidenceState.PENDING.value, "upload.token": claim.token, "withdrawn_at": None}
            written = {"$set": change, "$unset": {"upload": ""}, "$inc": {"version": 1}}
            before = await self._shelf.repository.change(unit, evidence, held, written)
            if before is None:
                raise ClaimLost
            await self._shelf.jobs.enqueue(unit, READ, {"evidence": evidence}, priority=priority)
            after = {**before, **change, "version": before["version"] + 1}
            touched = Touched(evidence, after["version"], after, before, EVIDENCE, ("state",))
            index = (case,) if case else ()
            await self._shelf.journal.append(
                unit, caller, Work("evidence.upload", (touched,), index=index, repeatable=False)
            )
            return after

        try:
            return await self._shelf.database.transact(work)
        except BaseException as trouble:
            # A commit whose answer was lost may have happened: only what nothing names is removed.
            current = await self._shelf.repository.get(evidence)
            if current is not None and (current.get("object") or {}).get("version_id") == stored.version_id:
                if isinstance(trouble, asyncio.CancelledError):
                    raise
                return current
            await discard(self._shelf.objects, stored)
            if isinstance(trouble, ClaimLost):
                raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state="UPLOADING") from None
            raise

    async def _give_up(self, caller: Caller, document: Mapping[str, Any], claim: _Claim, code: Code) -> None:
        held = {"state": EvidenceState.PENDING.value, "upload.token": claim.token}
        await self._fail(caller, document, held, "evidence.refuse", {"code": code.value})

    async def _fail(
        self,
        caller: Caller,
        document: Mapping[str, Any],
        guard: Mapping[str, Any],
        action: str,
        details: Mapping[str, Any],
    ) -> bool:
        evidence = document["_id"]

        async def work(unit: UnitOfWork) -> bool:
            change = {
                "$set": {"state": EvidenceState.FAILED.value},
                "$unset": {"upload": ""},
                "$inc": {"version": 1},
            }
            before = await self._shelf.repository.change(unit, evidence, guard, change)
            if before is None:
                return False
            after = {**before, "state": EvidenceState.FAILED.value, "version": before["version"] + 1}
            touched = Touched(evidence, after["version"], after, before, EVIDENCE, ("state",))
            failing = Work(action, (touched,), repeatable=False, details=details)
            await self._shelf.journal.append(unit, caller, failing)
            return True

        return await self._shelf.database.transact(work)

    async def expire(self, case: str | None = None) -> int:
        """The worker's part: announced files whose day has passed are FAILED. Returns how many.

        Of a `case` that is about to be sealed, those that were withdrawn before their bytes came are, too.
        """
        at, done = now(), 0
        repository = self._shelf.repository
        for document in await (repository.lapsed(case, at) if case else repository.expired(at, EXPIRED_AT_ONCE)):
            guard = {"state": EvidenceState.PENDING.value, "upload": document.get("upload")}
            if await self._fail(system_caller(), document, guard, "evidence.expire", {}):
                await self._discard_stray(document)
                done += 1
        return done

    async def _discard_stray(self, document: Mapping[str, Any]) -> None:
        """Removes the version that an upload stored before it died. Where it died before it could note the version,
        ciphertext stays that nobody can open: the object's key is kept only with a STORED file.
        """
        upload = document.get("upload") or {}
        if "version_id" not in upload:
            return
        if not await discard(self._shelf.objects, StoredObject(upload["key"], upload["version_id"])):
            log.warning("a stray object stays", evidence=document["_id"])
