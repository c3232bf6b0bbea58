"""Bytes go out: after the policy check and its journal entry, decrypted segment by segment (P17, P19, P23)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.access.actor import Caller
from service.access.view import View
from service.clock import now
from service.evidence.decryption import opened
from service.evidence.model import EVIDENCE
from service.evidence.rules import ONE_VIEWING, may_download
from service.evidence.shelf import Shelf
from service.journal.model import Touched, Work

VIEWINGS_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Downloadable:
    """What a client is told of a file before its bytes. `tag` changes with the stored bytes (RFC 9110, 8.8.3)."""

    id: str
    name: str
    media_type: str
    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class Download:
    """Bytes `first` to `last` (inclusive) of a file of `size` bytes. `chunks` raises CiphertextError or
    ObjectTrouble rather than end early.
    """

    name: str
    media_type: str
    size: int
    first: int
    last: int
    chunks: AsyncGenerator[bytes, None]


class Delivery:
    """See the module's docstring."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._viewings: OrderedDict[tuple[str, str], datetime] = OrderedDict()

    def may(self, view: View) -> bool:
        """Whether this caller would get the bytes."""
        return may_download(view)

    async def downloadable(self, caller: Caller, evidence: str) -> Downloadable | None:
        """What `download` would give, or None as if there were nothing. No byte leaves, so no entry is written."""
        found = await self._shelf.find(caller, evidence)
        if found is None or not may_download(found.view):
            return None
        document = found.document
        name = found.view.in_full("file_name") or evidence
        tag = document["object"]["ciphertext_sha256"]
        return Downloadable(evidence, name, document["media_type"], document["size"], tag)

    async def download(
        self, caller: Caller, evidence: str, byte_range: tuple[int, int] | None = None
    ) -> Download | None:
        """The bytes, all or from first to last (inclusive, inside the file); None as if there were nothing.

        The entry is written before the first byte leaves, and if it can't be written no byte does.
        """
        about = await self.downloadable(caller, evidence)
        document = await self._shelf.repository.get(evidence) if about else None
        if about is None or document is None:
            return None
        await self._record(caller, document)
        first, last = byte_range or (0, about.size - 1)
        chunks = opened(self._shelf, document, first, last)
        return Download(about.name, about.media_type, about.size, first, last, chunks)

    async def _record(self, caller: Caller, document: Mapping[str, Any]) -> None:
        """One entry per actor, file and ONE_VIEWING, so that a reader's many ranges are one download (R69). Raises
        Refused ACCOUNT_LOCKED: one file too many.
        """
        viewing, at = (caller.actor.id, str(document["_id"])), now()
        known = self._viewings.get(viewing)
        if known is not None and known <= at < known + ONE_VIEWING:
            return
        touched = Touched(document["_id"], document["version"], document, collection=EVIDENCE)
        work = Work("evidence.download", (touched,), repeatable=False)
        await self._shelf.journal.record_shown(caller, work, [document["_id"]])
        self._viewings[viewing] = at
        self._viewings.move_to_end(viewing)
        while len(self._viewings) > VIEWINGS_MOST:
            self._viewings.popitem(last=False)
