"""A stored file's plaintext, all of it or a range, from the segments that hold it and no others (P17)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import structlog

from service.crypto import (
    HEADER_SIZE,
    CiphertextError,
    KeyEncryption,
    RangeDecryptor,
    SegmentDecryptor,
    WrappedItem,
    plan_range,
)
from service.evidence.model import key_context
from service.evidence.shelf import Shelf, associated_data
from service.storage import ObjectStore, StoredObject

log = structlog.get_logger(__name__)


async def opened(shelf: Shelf, document: Mapping[str, Any], first: int, last: int) -> AsyncGenerator[bytes, None]:
    """Plaintext bytes `first` to `last` (inclusive) of a STORED file.

    Raises CiphertextError for an object that was cut, changed or exchanged, and ObjectTrouble. When the whole file
    is read, its last bytes come only after the whole object's SHA-256 proved to be the recorded one.
    """
    evidence, stored = document["_id"], document["object"]
    place = StoredObject(stored["key"], stored["version_id"])
    key = await _object_key(shelf.encryption, evidence, stored)
    is_whole = first == 0 and last == document["size"] - 1
    header = await _header(shelf.objects, place)
    decryptor = SegmentDecryptor(key, associated_data(evidence), header, document["size"])
    plan = plan_range(first, last, document["size"])
    pieces, digest, held = RangeDecryptor(decryptor, plan), hashlib.sha256(header), b""
    length = plan.ciphertext_last - plan.ciphertext_first + 1
    async for chunk in shelf.objects.get(place, plan.ciphertext_first, length):
        digest.update(chunk)
        plain = pieces.update(chunk)
        if plain:
            if held:
                yield held
            held = plain
    pieces.finalize()
    if is_whole and not hmac.compare_digest(digest.hexdigest(), stored["ciphertext_sha256"]):
        raise CiphertextError
    yield held


async def _object_key(encryption: KeyEncryption, evidence: str, stored: Mapping[str, Any]) -> bytes:
    item = WrappedItem(bytes(stored["wrapped_key"]), key_context(evidence, stored["key"]))
    (key,) = await encryption.unwrap_all([item])
    if isinstance(key, CiphertextError):
        log.error("a file's key can't be unwrapped", evidence=evidence, trouble=str(key))
        raise key
    return key


async def _header(objects: ObjectStore, place: StoredObject) -> bytes:
    header = b"".join([chunk async for chunk in objects.get(place, 0, HEADER_SIZE)])
    if len(header) != HEADER_SIZE:
        raise CiphertextError
    return header
