"""`python -m infra.local down|reset <data directory>`: what `make down` and `make reset` call."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from infra.local import AlreadyRunning, DataDirectory, LocalServersError, end_leftovers

PATIENCE_SECONDS = 90.0


def main() -> int:
    """Parse, act, say in one sentence what happened. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.local")
    parser.add_argument("action", choices=["down", "reset"])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--yes", action="store_true", help="reset without asking")
    chosen = parser.parse_args()
    directory = DataDirectory(chosen.data_dir)
    try:
        print(down(directory) if chosen.action == "down" else reset(directory, ask=not chosen.yes))
    except LocalServersError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def down(directory: DataDirectory) -> str:
    """End the `anjuan up` that holds the data directory, and what a killed one left behind.

    Raises AlreadyRunning when it has not ended within PATIENCE_SECONDS.
    """
    pid = directory.holder()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while directory.holder() is not None:
            if time.monotonic() > deadline:
                raise AlreadyRunning(directory.path, pid)
            time.sleep(0.1)
    left = list(end_leftovers(directory))
    if pid is None and not left:
        return f"Nothing runs on {directory.path}."
    return f"Stopped what ran on {directory.path}; its data is kept."


def reset(directory: DataDirectory, *, ask: bool) -> str:
    """Remove the data directory after asking. Raises AlreadyRunning, StaleData."""
    if not directory.path.exists():
        return f"There is no {directory.path}; nothing to remove."
    if ask:
        print(f"This removes {directory.path} with all records, files and keys in it, for ever.")
        print("Type yes to go on: ", end="", flush=True)
        if sys.stdin.readline().strip().lower() != "yes":
            return "Nothing was removed."
    directory.remove(lambda: list(end_leftovers(directory)))
    return f"Removed {directory.path}."


if __name__ == "__main__":
    sys.exit(main())
