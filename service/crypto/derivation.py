"""Derived keys: HKDF-SHA256, one purpose a key."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_SIZE = 32
COMMITMENT_SIZE = 16
NONCE_SIZE = 12
TAG_SIZE = 16

_SHA256 = SHA256()


def derive(material: bytes, purpose: str, length: int = KEY_SIZE) -> bytes:
    """`length` bytes for `purpose` from 32 uniform bytes (HKDF-SHA256, RFC 5869, no salt).

    Purposes are bound as HKDF's info, so that keys for two purposes are independent of each other.
    """
    return HKDF(algorithm=_SHA256, length=length, salt=None, info=purpose.encode()).derive(material)
