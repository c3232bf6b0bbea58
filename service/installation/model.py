"""Documents of `meta`: `{_id: "format", number}`, and `{_id: "keyring/<what>", commitment, recorded_at}` for each key
that stored data needs; a retired key's is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

META = "meta"
FORMAT = "format"
KEYRING = "keyring/"
UNREADABLE = "(unreadable)"
"""Stands for the name of the key that a damaged wrapped key needs."""
STORAGE_FORMAT = 1
"""How records, journal, keys and objects are stored. A change that this program can't read raises it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `meta` says: None and empty where it was never written."""

    format: int | None
    commitments: Mapping[str, str]
    since: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why this program must not work on this database, and what helps. No secret is in either."""

    message: str
    remedy: str


@dataclass(slots=True)
class Rewrapped:
    """What one run did. `unopened` names the holders of stored keys that no key at hand opens; they stay as they are."""

    current: str
    done: dict[str, int] = field(default_factory=dict)
    already: dict[str, int] = field(default_factory=dict)
    unopened: set[str] = field(default_factory=set)
