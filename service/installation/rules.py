"""Whether a program and its keyring belong to a database. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from service.installation.model import STORAGE_FORMAT, UNREADABLE, Fault

SETTLING = timedelta(minutes=10)
"""A process takes up a new key by its next request, and a request lasts seconds."""

_RESTORE = (
    "Restore the keyring that belongs to it from its backup (ANJUAN_KEYRING names the file); "
    "to start anew without that data, choose an empty database (ANJUAN_DATABASE, or `make reset`)."
)


def format_fault(found: int | None) -> Fault | None:
    """None when the format is this program's, or none was ever written."""
    if found in (None, STORAGE_FORMAT):
        return None
    if found > STORAGE_FORMAT:
        return Fault(
            f"The database has storage format {found}, made by a newer Anjuan; this one knows {STORAGE_FORMAT}.",
            "Run the newer version, or choose another database (ANJUAN_DATABASE).",
        )
    return Fault(
        f"The database has storage format {found}; this version needs {STORAGE_FORMAT}.",
        "Back it up with the version that made it and restore the backup here, or choose another database "
        "(ANJUAN_DATABASE).",
    )


def keyring_fault(recorded: Mapping[str, str], offered: Mapping[str, str]) -> Fault | None:
    """None when each recorded key is among the offered ones, and the same; further ones may be there (rotation)."""
    missing = sorted(name for name in recorded if name not in offered)
    if missing:
        named = ", ".join(_words(name) for name in missing)
        return Fault(f"The keyring is not that of the stored data: it lacks {named}.", _RESTORE)
    other = sorted(name for name, commitment in recorded.items() if offered[name] != commitment)
    if other:
        named = ", ".join(_words(name) for name in other)
        return Fault(f"The keyring is not that of the stored data: its {named} differs.", _RESTORE)
    return None


def no_keyring_fault(path: Path) -> Fault:
    """There is data and no keyring at all."""
    return Fault(f"There is no keyring at {path}, and the database holds data that needs it.", _RESTORE)


def unopened_fault(key_id: str | None = None) -> Fault:
    """Nothing was recorded, and the keyring does not open what is stored: it lacks `key_id`, or has another key."""
    lacks = f"it lacks key {key_id}" if key_id else "it does not open a stored key"
    return Fault(f"The keyring is not that of the stored data: {lacks}.", _RESTORE)


def unretirable_fault(ids: Iterable[str], needed: Mapping[str, int]) -> Fault | None:
    """None when nothing stored needs any of these keys. `needed` tells how many stored keys need which key; a text
    that names none may need any.
    """
    wanted = {name: count for name, count in needed.items() if name in {*ids, UNREADABLE} and count}
    if not wanted:
        return None
    named = ", ".join(f"{count} by {name}" for name, count in sorted(wanted.items()))
    return Fault(
        f"Stored keys are still wrapped by former keys: {named}.",
        "Run `anjuan rotate-keys --rewrap`, which names those that it can't open; restore them from a backup.",
    )


def too_early_fault(since: datetime | None, at: datetime) -> Fault | None:
    """None once every process has had the time to take up the current key and to finish what it began before."""
    if since is None or at - since >= SETTLING:
        return None
    return Fault(
        "The current key is too new: what began before it may still be wrapped by a former one.",
        f"Retire former keys from {(since + SETTLING).isoformat(timespec='seconds')} on.",
    )


def _words(name: str) -> str:
    kind, _, key_id = name.partition("/")
    return f"key {key_id}" if kind == "encryption" else "root secret"
