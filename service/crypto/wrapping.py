"""Wrapped data keys: AES-256-GCM under a key-encryption key that the header names."""

from __future__ import annotations

import os
import re
import struct
from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.crypto.derivation import COMMITMENT_SIZE, KEY_SIZE, NONCE_SIZE, TAG_SIZE, derive
from service.crypto.errors import CiphertextError

WRAP_FORMAT = 1

_PLAIN_ID = re.compile(rb"[a-z0-9][a-z0-9._-]{0,63}")
_LENGTH = struct.Struct(">I")
_AFTER_ID = COMMITMENT_SIZE + NONCE_SIZE + KEY_SIZE + TAG_SIZE


class WrappingKey:
    """One key-encryption key: wraps and unwraps 32-byte keys.

    The key itself encrypts nothing: cipher key and commitment are derived from it, so that the commitment
    in the header tells nothing about the cipher key.
    """

    __slots__ = ("_cipher", "_prefix")

    def __init__(self, key_id: str, key: bytes) -> None:
        encoded = key_id.encode()
        commitment = derive(key, "anjuan/wrapping-commitment/1", COMMITMENT_SIZE)
        self._prefix = bytes([WRAP_FORMAT, len(encoded)]) + encoded + commitment
        self._cipher = AESGCM(derive(key, "anjuan/wrapping-key/1"))

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """`data_key` (32 bytes, else ValueError) bound to `context`, under a fresh random nonce."""
        if len(data_key) != KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        nonce = os.urandom(NONCE_SIZE)
        return self._prefix + nonce + self._cipher.encrypt(nonce, data_key, self._associated_data(context))

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The data key. Raises CiphertextError."""
        start = len(self._prefix)
        # Format, key id and commitment in one comparison, before anything is decrypted.
        if not compare_digest(wrapped[:start], self._prefix):
            raise CiphertextError
        nonce, body = wrapped[start : start + NONCE_SIZE], wrapped[start + NONCE_SIZE :]
        try:
            return self._cipher.decrypt(nonce, body, self._associated_data(context))
        except (InvalidTag, ValueError):
            raise CiphertextError from None

    def _associated_data(self, context: bytes) -> bytes:
        return self._prefix + _LENGTH.pack(len(context)) + context


def peek_key_id(wrapped: bytes) -> str:
    """The id of the key-encryption key in the header, unauthenticated. Raises CiphertextError."""
    if len(wrapped) < _AFTER_ID or wrapped[0] != WRAP_FORMAT or len(wrapped) != 2 + wrapped[1] + _AFTER_ID:
        raise CiphertextError
    key_id = wrapped[2 : 2 + wrapped[1]]
    # What isn't an id never gets into an error's text.
    if not _PLAIN_ID.fullmatch(key_id):
        raise CiphertextError
    return key_id.decode()
