"""What is stored of a data key: wrapped versions, never the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

KEYS = "keys"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of an owner's data key, wrapped by a key-encryption key."""

    owner: str
    version: int
    wrapped: bytes
    created_at: datetime
