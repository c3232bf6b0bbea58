"""The keyring: private on disk, clear about what is wrong, and the only one that unwraps (P16)."""

from __future__ import annotations

import base64
import json
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.crypto import (
    CiphertextError,
    KeyEncryption,
    Keyring,
    KeyringEncryption,
    KeyringError,
    UnknownKeyError,
    WrappedItem,
)


def created(path: Path) -> tuple[Keyring, dict[str, Any]]:
    """A new keyring and what its file says."""
    ring = Keyring.create(path / "keyring.json")
    return ring, json.loads((path / "keyring.json").read_text())


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path / "keyring.json")


def test_a_created_keyring_is_private_and_loads_as_the_same(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        ring, form = created(tmp_path)
    finally:
        os.umask(previous)
    path = tmp_path / "keyring.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    for again in (Keyring.load(path), Keyring.from_json(json.dumps(form))):
        assert again.secret("cursor") == ring.secret("cursor")
        assert again.unwrap(ring.wrap(bytes(32), context=b"c"), context=b"c") == bytes(32)
        assert again.signing_key()[0] == ring.signing_key()[0]


def test_creating_never_overwrites(tmp_path: Path) -> None:
    created(tmp_path)
    before = (tmp_path / "keyring.json").read_bytes()
    with pytest.raises(KeyringError, match="exists already"):
        Keyring.create(tmp_path / "keyring.json")
    assert (tmp_path / "keyring.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_keyring_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    created(tmp_path)
    path = tmp_path / "keyring.json"
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"mode {mode:04o}.*chmod 600 '{path}'"):
        Keyring.load(path)
    path.chmod(0o600)
    assert Keyring.load(path).secret("cursor")


def test_what_is_no_private_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyringError, match="regular file"):
        Keyring.load(tmp_path / "pipe")
    with pytest.raises(KeyringError, match="does not exist"):
        Keyring.load(tmp_path / "absent")
    with pytest.raises(KeyringError, match="cannot be written"):
        Keyring.create(tmp_path / "no-directory" / "keyring.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format"),
        ({"current": "kek-absent"}, "kek-absent"),
        ({"signing_current": "sig-absent"}, "sig-absent"),
        ({"root_secret": "c2hvcnQ="}, "root_secret"),
        ({"root_secret": None}, "root_secret"),
        ({"encryption_keys": None}, "encryption_keys"),
        ({"encryption_keys": [{"id": "UPPER", "key": ""}]}, r"encryption_keys\[0\].id"),
        ({"encryption_keys": [{"id": "kek-1", "key": "?"}]}, r"encryption_keys\[0\].key"),
        ({"signing_keys": [1]}, "signing_keys"),
    ],
)
def test_a_broken_keyring_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    _, form = created(tmp_path)
    with pytest.raises(KeyringError, match=words) as refused:
        Keyring.from_json(json.dumps(form | change))
    assert form["root_secret"] not in str(refused.value)


@pytest.mark.parametrize("text", ["", "not json", "[]", "null"])
def test_what_is_no_keyring_is_refused(text: str) -> None:
    with pytest.raises(KeyringError):
        Keyring.from_json(text)


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    _, form = created(tmp_path)
    form["encryption_keys"] *= 2
    with pytest.raises(KeyringError, match="twice"):
        Keyring.from_json(json.dumps(form))


def test_secrets_differ_by_purpose_and_keyring(tmp_path: Path, ring: Keyring) -> None:
    (tmp_path / "other").mkdir()
    other, _ = created(tmp_path / "other")
    purposes = ("cursor", "idempotency", "blind/phone", "sign-in")
    secrets = {keyring.secret(purpose) for keyring in (ring, other) for purpose in purposes}
    assert len(secrets) == 8
    assert {len(secret) for secret in secrets} == {32}


def test_what_the_current_key_signs_its_public_key_verifies(ring: Keyring) -> None:
    kid, private = ring.signing_key()
    ring.verification_keys()[kid].verify(private.sign(b"text"), b"text")
    assert list(ring.verification_keys()) == [kid]


def test_a_former_key_still_unwraps_and_the_current_one_wraps(tmp_path: Path) -> None:
    former, form = created(tmp_path)
    wrapped = former.wrap(bytes(32), context=b"c")
    added = {
        "id": "kek-new",
        "key": base64.b64encode(os.urandom(32)).decode(),
        "created": "2026-01-01T00:00:00Z",
    }
    form["encryption_keys"].append(added)
    newer = Keyring.from_json(json.dumps(form | {"current": "kek-new"}))
    assert newer.unwrap(wrapped, context=b"c") == bytes(32)
    with pytest.raises(UnknownKeyError, match="'kek-new' is not in the keyring"):
        former.unwrap(newer.wrap(bytes(32), context=b"c"), context=b"c")


def test_a_missing_key_is_named_and_handled_like_any_unreadable_ciphertext() -> None:
    error = pickle.loads(pickle.dumps(UnknownKeyError("kek-1")))
    assert isinstance(error, KeyringError)
    assert isinstance(error, CiphertextError)
    assert "kek-1" in str(error)


async def test_the_keyring_is_a_key_encryption_and_shows_no_secret(tmp_path: Path) -> None:
    ring, form = created(tmp_path)
    encryption: KeyEncryption = KeyringEncryption(ring)
    wrapped = await encryption.wrap(b"k" * 32, context=b"")
    assert await encryption.unwrap_all([WrappedItem(wrapped, b"")]) == [b"k" * 32]
    assert encryption.key_name(wrapped) == await encryption.current() == form["current"]
    assert form["root_secret"] not in repr(ring)
    assert form["encryption_keys"][0]["key"] not in repr(ring)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_only_keys_of_32_bytes_are_wrapped(ring: Keyring, size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ring.wrap(bytes(size), context=b"c")


def test_none_of_ten_thousand_wrapped_keys_unwraps_in_another_place(ring: Keyring) -> None:
    contexts = [f"data-key/{owner}/{version}".encode() for owner in range(51) for version in (1, 2)]
    wrapped = [ring.wrap(os.urandom(32), context=context) for context in contexts]
    swaps = 0
    for origin, text in enumerate(wrapped):
        for target, context in enumerate(contexts):
            if origin != target:
                with pytest.raises(CiphertextError):
                    ring.unwrap(text, context=context)
                swaps += 1
    assert swaps > 10_000


def test_every_flipped_bit_and_every_truncation_of_a_wrapped_key_is_refused(ring: Keyring) -> None:
    changes = 0
    while changes < 10_000:
        wrapped = ring.wrap(os.urandom(32), context=b"c")
        changed = [wrapped[:size] for size in range(len(wrapped))] + [wrapped[1:], wrapped + b"\0"]
        for position in range(len(wrapped)):
            for bit in range(8):
                flipped = bytearray(wrapped)
                flipped[position] ^= 1 << bit
                changed.append(bytes(flipped))
        for text in changed:
            with pytest.raises(CiphertextError):
                ring.unwrap(text, context=b"c")
            changes += 1


@given(noise=st.binary(max_size=120))
def test_random_bytes_are_no_wrapped_key(noise: bytes) -> None:
    form = {
        "format": 1,
        "current": "kek-1",
        "encryption_keys": [{"id": "kek-1", "key": base64.b64encode(bytes(32)).decode()}],
        "root_secret": base64.b64encode(bytes(32)).decode(),
        "signing_current": "sig-1",
        "signing_keys": [{"kid": "sig-1", "private": base64.b64encode(bytes(32)).decode()}],
    }
    with pytest.raises(CiphertextError):
        Keyring.from_json(json.dumps(form)).unwrap(noise, context=b"c")
