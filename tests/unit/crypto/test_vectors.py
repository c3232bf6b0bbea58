"""Ciphertexts written once and kept: a changed format, which would make old data unreadable, fails here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from service.crypto import (
    HEADER_SIZE,
    Binding,
    BlindIndex,
    DataKey,
    Keyring,
    RangeDecryptor,
    SegmentDecryptor,
    open_sealed,
    plan_whole,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "fixtures" / "crypto_vectors.json").read_text())


def test_kept_sections_still_open() -> None:
    assert len(VECTORS["sections"]) >= 3
    for vector in VECTORS["sections"]:
        key = DataKey("own_1", vector["version"], bytes.fromhex(vector["data_key"]))
        binding = Binding(vector["collection"], vector["record_id"], vector["section"], tuple(vector["fields"]))
        opened = open_sealed(
            {vector["version"]: key}.__getitem__,
            {vector["layout"]: binding}.__getitem__,
            bytes.fromhex(vector["sealed"]),
        )
        assert opened == bytes.fromhex(vector["plaintext"])


def test_a_kept_keyring_still_unwraps_derives_and_signs_alike() -> None:
    vector = VECTORS["keyring"]
    ring = Keyring.from_json(json.dumps(vector["file"]))
    for wrapped in vector["wrapped"]:
        opened = ring.unwrap(bytes.fromhex(wrapped["wrapped"]), context=wrapped["context"].encode())
        assert opened == bytes.fromhex(wrapped["data_key"])
    for purpose, secret in vector["secrets"].items():
        assert ring.secret(purpose) == bytes.fromhex(secret)
    for token in vector["tokens"]:
        assert BlindIndex(ring.secret).token(token["field"], token["value"]) == bytes.fromhex(token["token"])
    kid, private = ring.signing_key()
    assert kid == vector["file"]["signing_current"]
    assert private.sign(b"text") == bytes.fromhex(vector["signature_of_text"])


def test_a_kept_object_still_opens() -> None:
    for vector in VECTORS["objects"]:
        stored = bytes.fromhex(vector["object"])
        context = vector["associated_data"].encode()
        size = vector["plaintext_size"]
        decryptor = SegmentDecryptor(bytes.fromhex(vector["key"]), context, stored[:HEADER_SIZE], size)
        ranged = RangeDecryptor(decryptor, plan_whole(size))
        opened = ranged.update(stored[HEADER_SIZE:])
        ranged.finalize()
        assert hashlib.sha256(opened).hexdigest() == vector["plaintext_sha256"]
