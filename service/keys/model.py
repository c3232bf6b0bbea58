"""What is stored of a data key: wrapped versions, never the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

KEYS = "keys"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of an owner's data key, wrapped by a key-encryption key."""

    owner: str
    version: int
    wrapped: bytes
    created_at: datetime


def key_context(owner: str, version: int) -> bytes:
    """What a wrapped data key is bound to."""
    return f"data-key/{owner}/{version}".encode()


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A wrapped key of any kind where it is stored: `holder` is the document's id, `version` of a data key alone."""

    holder: str
    wrapped: bytes
    context: bytes
    version: int | None = None


class KeyStore(Protocol):
    """A collection that holds wrapped keys, as whoever wraps them anew sees it."""

    what: str
    """What they are, in the plural, for reports."""

    async def count(self) -> int:
        """About how many documents there are."""
        ...

    async def after(self, holder: str, limit: int) -> list[list[StoredKey]]:
        """The keys of the next documents by id, of each document in a list of its own; `holder` "" begins."""
        ...

    async def exchange(self, former: StoredKey, wrapped: bytes) -> bool:
        """Puts `wrapped` in the place of exactly this former text; False where there is another by now."""
        ...
