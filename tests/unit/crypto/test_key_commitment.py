"""A message crafted to open under two keys opens under neither stranger's (P16)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.crypto import Binding, CiphertextError, DataKey, Keyring, open_sealed
from service.crypto.derivation import derive
from tests.unit.crypto.two_keys import colliding_ciphertext

BINDING = Binding("customers", "cus_1", "CONTACT", ("phones",))


def section_key(material: bytes) -> bytes:
    """The class key as documented in `service.crypto`, which an insider holding the data key can derive."""
    return derive(material, "anjuan/section-key/1/CONTACT")


def section_commitment(material: bytes) -> bytes:
    """The class key's commitment, as documented."""
    return derive(material, "anjuan/section-commitment/1/CONTACT", 16)


def associated_data(header: bytes) -> bytes:
    """What a section binds, as documented."""
    parts = [b"customers", b"CONTACT"]
    encoded = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    field = (1).to_bytes(4, "big") + (6).to_bytes(4, "big") + b"phones"
    return header + encoded + field + (5).to_bytes(4, "big") + b"cus_1"


def test_a_section_that_plain_gcm_opens_under_two_keys_opens_under_one_only() -> None:
    # Given an attacker who knows two data keys and crafts one ciphertext for both
    one, other = os.urandom(32), os.urandom(32)
    nonce = os.urandom(12)
    header = b"\x01" + (1).to_bytes(4, "big") + (1).to_bytes(2, "big") + section_commitment(one)
    bound = associated_data(header)
    crafted = colliding_ciphertext((section_key(one), section_key(other)), nonce, (bound, bound))
    # Then AES-GCM itself accepts it under both, with two different plaintexts
    first = AESGCM(section_key(one)).decrypt(nonce, crafted, bound)
    second = AESGCM(section_key(other)).decrypt(nonce, crafted, bound)
    assert first != second
    # And the section opens under the key that its header commits to: the commitment is all that refuses
    sealed = header + nonce + crafted
    assert open_sealed(lambda _: DataKey("own_1", 1, one), lambda _: BINDING, sealed) == first
    with pytest.raises(CiphertextError):
        open_sealed(lambda _: DataKey("own_2", 1, other), lambda _: BINDING, sealed)


def test_a_wrapped_key_that_plain_gcm_opens_under_two_keys_opens_under_one_only(tmp_path: Path) -> None:
    # Given two keyrings that name their different keys alike
    Keyring.create(tmp_path / "keyring.json")
    form = json.loads((tmp_path / "keyring.json").read_text())
    key_id = form["current"].encode()
    rings, keys = [], [os.urandom(32), os.urandom(32)]
    for key in keys:
        form["encryption_keys"][0]["key"] = base64.b64encode(key).decode()
        rings.append(Keyring.from_json(json.dumps(form)))
    # When a wrapped key is crafted for both, meeting under what each keyring itself would bind
    headers = [bytes([1, len(key_id)]) + key_id + derive(key, "anjuan/wrapping-commitment/1", 16) for key in keys]
    one, other = (header + (4).to_bytes(4, "big") + b"ctx1" for header in headers)
    first, second = (derive(key, "anjuan/wrapping-key/1") for key in keys)
    nonce = os.urandom(12)
    crafted = colliding_ciphertext((first, second), nonce, (one, other))
    assert AESGCM(first).decrypt(nonce, crafted, one) != AESGCM(second).decrypt(nonce, crafted, other)
    # Then only the keyring that the header commits to unwraps it: the commitment is all that refuses
    assert len(rings[0].unwrap(headers[0] + nonce + crafted, context=b"ctx1")) == 32
    with pytest.raises(CiphertextError):
        rings[1].unwrap(headers[0] + nonce + crafted, context=b"ctx1")
