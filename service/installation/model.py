"""Documents of `meta`: `{_id: "format", number}`, and `{_id: "keyring/<what>", commitment}` for each key that stored
data needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

META = "meta"
FORMAT = "format"
KEYRING = "keyring/"
STORAGE_FORMAT = 1
"""How records, journal, keys and objects are stored. A change that this program can't read raises it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `meta` says: None and empty where it was never written."""

    format: int | None
    commitments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why this program must not work on this database, and what helps. No secret is in either."""

    message: str
    remedy: str
