"""Whether a program and its keyring belong to a database. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.installation.model import STORAGE_FORMAT, Fault

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


def unopened_fault() -> Fault:
    """Nothing was recorded, and the keyring does not open what is stored."""
    return Fault("The keyring is not that of the stored data: it does not open a stored key.", _RESTORE)


def _words(name: str) -> str:
    kind, _, key_id = name.partition("/")
    return f"key {key_id}" if kind == "encryption" else "root secret"
