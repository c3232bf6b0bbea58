"""`demo.json`: the API's address and one account per role, for whoever shows the demo. Mode 0600."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

ACCOUNTS = "demo.json"


def write_accounts(path: Path, url: str, accounts: Sequence[Mapping[str, str]]) -> None:
    """Whole or not at all, and for the owner's eyes from the first byte on."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"url": url, "accounts": list(accounts)}, file, ensure_ascii=False, indent=2)
        file.write("\n")
    half.replace(path)


def renew_address(path: Path, url: str) -> Sequence[Mapping[str, str]]:
    """Writes the address of this start into a file that is there; returns its accounts, none without a file."""
    try:
        accounts: Sequence[Mapping[str, str]] = json.loads(path.read_text("utf-8"))["accounts"]
    except FileNotFoundError:
        return ()
    write_accounts(path, url, accounts)
    return accounts
