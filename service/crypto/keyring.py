"""The keyring: the few secrets from which everything else is protected.

A JSON object, in a file of mode 0600 or in the environment:

    {"format": 1,
     "current": "kek-…", "encryption_keys": [{"id", "key": base64 of 32 bytes, "created": RFC 3339}],
     "root_secret": base64 of 32 bytes,
     "signing_current": "sig-…", "signing_keys": [{"kid", "private": base64 of 32 bytes, Ed25519 (RFC 8032)}]}

Older keys stay, to unwrap and verify; only the current ones wrap and sign. `anjuan rotate-keys` adds a current
encryption key, wraps everything by it, and later takes the former ones out (`service.installation.rotation`).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.clock import now
from service.crypto.derivation import KEY_SIZE, derive
from service.crypto.errors import KeyringError, UnknownKeyError
from service.crypto.files import create_private_file, read_private_file, replace_private_file
from service.crypto.wrapping import WrappingKey, peek_key_id

KEYRING_FORMAT = 1
T = TypeVar("T")

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Keyring:
    """Key-encryption keys, one root secret, signing keys. Never changed once loaded; safe between threads."""

    def __init__(
        self,
        *,
        encryption_keys: Mapping[str, bytes],
        current: str,
        root_secret: bytes,
        signing_keys: Mapping[str, Ed25519PrivateKey],
        signing_current: str,
    ) -> None:
        self._wrapping = {key_id: WrappingKey(key_id, key) for key_id, key in encryption_keys.items()}
        if current not in self._wrapping:
            raise KeyringError(f"the keyring's current key {current!r} is not among its encryption keys")
        if signing_current not in signing_keys:
            raise KeyringError(f"the keyring's current key {signing_current!r} is not among its signing keys")
        self._current = current
        self._root_secret = root_secret
        self._commitments: Mapping[str, str] = MappingProxyType(
            {f"encryption/{key_id}": _commitment(key) for key_id, key in encryption_keys.items()}
            | {"root": _commitment(root_secret)}
        )
        self._secrets: dict[str, bytes] = {}
        self._signing_current = signing_current
        self._signing = dict(signing_keys)
        self._verification: Mapping[str, Ed25519PublicKey] = MappingProxyType(
            {kid: private.public_key() for kid, private in signing_keys.items()}
        )

    def __repr__(self) -> str:
        return f"Keyring(current={self._current!r}, signing_current={self._signing_current!r}, …)"

    @classmethod
    def create(cls, path: Path) -> Keyring:
        """Makes a new keyring file of mode 0600; it appears whole or not at all.

        Raises KeyringError when there is already one: it is never overwritten, since what it protects would
        be lost with it.
        """
        text = _generated()
        create_private_file(path, text)
        return cls.from_json(text)

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Reads a keyring file. Raises KeyringError, also when anybody but its owner may read it."""
        text = read_private_file(path)
        try:
            return cls.from_json(text)
        except KeyringError as error:
            raise KeyringError(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, text: str) -> Keyring:
        """Reads a keyring from text (the environment). Raises KeyringError, without a value in its text."""
        try:
            parsed = json.loads(text)
        except ValueError:
            raise KeyringError("the keyring is not JSON; restore it from its backup") from None
        if not isinstance(parsed, dict) or parsed.get("format") != KEYRING_FORMAT:
            raise KeyringError(f"the keyring is not of format {KEYRING_FORMAT}")
        signing_keys = _keys_by_id(parsed, "signing_keys", "kid", "private")
        return cls(
            encryption_keys=_keys_by_id(parsed, "encryption_keys", "id", "key"),
            current=str(parsed.get("current")),
            root_secret=_decoded(parsed.get("root_secret"), "root_secret"),
            signing_keys={kid: Ed25519PrivateKey.from_private_bytes(key) for kid, key in signing_keys.items()},
            signing_current=str(parsed.get("signing_current")),
        )

    @classmethod
    def rotate(cls, path: Path) -> Keyring:
        """Adds a new key-encryption key to the file and makes it the current one; the former ones stay. The file is
        replaced whole, with mode 0600, or stays as it was. Raises KeyringError.
        """
        return rewrite_keyring(path, _add_key)[0]

    @classmethod
    def retire(cls, path: Path, key_ids: frozenset[str]) -> Keyring:
        """Takes key-encryption keys out of the file, in the same way; what they wrapped can't be opened any more.
        Raises KeyringError, also when the current key is among them.
        """
        return rewrite_keyring(path, lambda form: _remove_keys(form, key_ids))[0]

    def secret(self, purpose: str) -> bytes:
        """32 bytes for one purpose ("cursor", "blind/phone"), unrelated to those of any other purpose."""
        found = self._secrets.get(purpose)
        if found is None:
            found = self._secrets[purpose] = derive(self._root_secret, f"anjuan/secret/1/{purpose}")
        return found

    def wrap(self, data_key: bytes, *, context: bytes) -> bytes:
        """The 32-byte `data_key` under the current key, bound to `context`. ValueError for another size."""
        return self._wrapping[self._current].wrap(data_key, context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """The data key. Raises CiphertextError; UnknownKeyError, a KeyringError too, names an absent key."""
        key_id = peek_key_id(wrapped)
        key = self._wrapping.get(key_id)
        if key is None:
            raise UnknownKeyError(key_id)
        return key.unwrap(wrapped, context)

    def commitments(self) -> Mapping[str, str]:
        """For each key that stored data needs ("encryption/kek-…", "root"), a text that only this key gives and that
        tells nothing about it. Read-only. Signing keys are not among them: nothing stored is opened by them.
        """
        return self._commitments

    @property
    def current_id(self) -> str:
        """The id of the key that wraps."""
        return self._current

    @property
    def former_ids(self) -> frozenset[str]:
        """The ids of the keys that only unwrap."""
        return frozenset(self._wrapping) - {self._current}

    @property
    def current_commitment(self) -> str:
        """The current encryption key's name among `commitments`."""
        return f"encryption/{self._current}"

    def signing_key(self) -> tuple[str, Ed25519PrivateKey]:
        """The current signing key and its id."""
        return self._signing_current, self._signing[self._signing_current]

    def verification_keys(self) -> Mapping[str, Ed25519PublicKey]:
        """All public keys by id, the former ones too. Read-only."""
        return self._verification


def _commitment(key: bytes) -> str:
    return derive(key, "anjuan/keyring-commitment/1").hex()


def _new_encryption_key() -> dict[str, str]:
    return {"id": f"kek-{secrets.token_hex(6)}", "key": _random_text(), "created": now().isoformat()}


def new_signing_key() -> dict[str, str]:
    """A signing key in the keyring's form."""
    return {"kid": f"sig-{secrets.token_hex(6)}", "private": _random_text()}


def rewrite_keyring(path: Path, change: Callable[[dict[str, Any]], T]) -> tuple[Keyring, T]:
    """Changes a keyring file's form in place, whole or not at all: the keyring as it is then, and what `change` gave.
    What was never understood in it stays in it. Raises KeyringError, and what `change` raises.
    """
    results: list[T] = []

    def rewritten(text: str) -> str:
        Keyring.from_json(text)  # what can't be read is not written anew
        form = json.loads(text)
        results.append(change(form))
        changed = json.dumps(form, indent=2)
        Keyring.from_json(changed)
        return changed

    return Keyring.from_json(replace_private_file(path, rewritten)), results[0]


def _add_key(form: dict[str, Any]) -> None:
    made = _new_encryption_key()
    form["current"] = made["id"]
    form["encryption_keys"].append(made)


def _remove_keys(form: dict[str, Any], key_ids: frozenset[str]) -> None:
    if form["current"] in key_ids:
        raise KeyringError(f"{form['current']} is the current key and can't be retired")
    form["encryption_keys"] = [item for item in form["encryption_keys"] if item["id"] not in key_ids]


def _generated() -> str:
    made, signing = _new_encryption_key(), new_signing_key()
    return json.dumps(
        {
            "format": KEYRING_FORMAT,
            "current": made["id"],
            "encryption_keys": [made],
            "root_secret": _random_text(),
            "signing_current": signing["kid"],
            "signing_keys": [signing],
        },
        indent=2,
    )


def _random_text() -> str:
    return base64.b64encode(os.urandom(KEY_SIZE)).decode()


def _keys_by_id(parsed: Mapping[str, Any], name: str, id_name: str, key_name: str) -> dict[str, bytes]:
    items = parsed.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise KeyringError(f"the keyring's {name} is not a list of objects")
    keys: dict[str, bytes] = {}
    for position, item in enumerate(items):
        key_id = item.get(id_name)
        if not isinstance(key_id, str) or not _ID.fullmatch(key_id):
            raise KeyringError(f"{name}[{position}].{id_name} is not an id: lower-case letters, digits, . _ -")
        if key_id in keys:
            raise KeyringError(f"{name} has the id {key_id!r} twice")
        keys[key_id] = _decoded(item.get(key_name), f"{name}[{position}].{key_name}")
    return keys


def _decoded(value: object, name: str) -> bytes:
    try:
        decoded = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != KEY_SIZE:
        raise KeyringError(f"the keyring's {name} is not the base64 of {KEY_SIZE} bytes")
    return decoded
