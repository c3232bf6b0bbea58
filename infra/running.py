"""What a running `anjuan up` tells the other commands of its data directory: a file of mode 0600."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

RUNNING = "running.json"
_SECRET = frozenset({"mongo_url", "s3_access_key", "s3_secret_key"})


def write_running(data_dir: Path, environment: Mapping[str, str | int]) -> None:
    """Keys are names of settings."""
    path = data_dir / RUNNING
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(environment, file)


def running_environment(data_dir: Path) -> dict[str, SecretStr | str | int]:
    """What was written; empty when nothing runs here."""
    try:
        found: dict[str, str | int] = json.loads((data_dir / RUNNING).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return {name: SecretStr(str(value)) if name in _SECRET else value for name, value in found.items()}
