"""What a journal document is made of.

`entry`     canonical bytes (RFC 8785): who, when, which action, why, record ids and new versions, hashes of new
            and former ciphertexts. No personal data. Never changed.
`facets`    actor, action, record ids, time, idempotency: copied from the entry to be asked for.
`before`    former states of the records (their ciphertexts), erasable.
`progress`  index work still to do, generations done: the only part that is ever updated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from service.access.declared import Open, shape_of
from service.access.questions import Questions

JOURNAL = "journal"
UNINDEXED = "unindexed"
READING_COUNTS = "reading_counts"
PREFIX = "jrn"


@dataclass(frozen=True, slots=True)
class Touched:
    """One record that a unit of work wrote. `former` is its document before, None when it is new."""

    id: str
    version: int | None
    document: Mapping[str, Any] | None
    former: Mapping[str, Any] | None = None
    collection: str = ""
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """What a unit of work tells the journal. `repeatable` work carries the caller's idempotency mark."""

    action: str
    touched: tuple[Touched, ...] = ()
    reason: str | None = None
    index: tuple[str, ...] = ()
    repeatable: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A mutation came again under its key: what it had changed, and the version that it had made."""

    id: str
    version: int | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of the audit log, as auditors read it."""

    id: Annotated[str, Open("The entry's id.")]
    at: Annotated[datetime, Open("When it happened (UTC).")]
    actor: Annotated[str, Open("Who did it: a user's or a service account's id, or `system`.")]
    action: Annotated[str, Open("What was done, such as `case.close` or `customer.read`.")]
    records: Annotated[list[str], Open("Ids of the records concerned.")]
    reason: Annotated[str | None, Open("Why, where a reason was asked for.")]
    source: Annotated[str | None, Open("The request's network source.")]
    request: Annotated[str | None, Open("The request's id.")]
    details: Annotated[str, Open("The whole entry as canonical JSON (RFC 8785): ids, versions and hashes only.")]


QUESTIONS = Questions(
    shape_of(AuditEntry), also={"actions": "action", "record": "records", "since": "at", "until": "at"}
)


def sealed_hash(document: Mapping[str, Any] | None) -> str | None:
    """SHA-256 (hex) over a record's ciphertexts in the order of their classes, lengths included."""
    sealed = (document or {}).get("sealed")
    if not sealed:
        return None
    digest = hashlib.sha256()
    for name in sorted(sealed):
        body = bytes(sealed[name])
        digest.update(f"{name}:{len(body)}:".encode())
        digest.update(body)
    return digest.hexdigest()
