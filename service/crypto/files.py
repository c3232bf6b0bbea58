"""Private files: created whole with mode 0600, read only if nobody else can read them."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from service.crypto.errors import KeyringError

T = TypeVar("T")
PRIVATE_MODE = 0o600


def create_private_file(path: Path, text: str) -> None:
    """Writes a new file that appears whole, under its name, or not at all. Raises KeyringError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                draft.chmod(PRIVATE_MODE)  # an odd umask may have taken bits away
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, a link never replaces what is already there.
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError:
        raise KeyringError(f"{path} exists already and is not overwritten; load it, or move it away") from None
    except OSError as error:
        raise KeyringError(f"{path} cannot be written: {error.strerror}") from None


def read_private_file(path: Path) -> str:
    """The file's text. Raises KeyringError when it is missing or others may read or write it."""
    try:
        # Non-blocking, so that a named pipe in its place is refused instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, encoding="utf-8") as file:
            # Checked on the open file: what was checked is what is read.
            _refuse_shared(path, os.fstat(file.fileno()))
            return file.read()
    except FileNotFoundError:
        raise KeyringError(
            f"{path} does not exist; restore it from its backup, or make a new installation's: anjuan init"
        ) from None
    except UnicodeDecodeError:
        raise KeyringError(f"{path} is not text; restore it from its backup") from None
    except OSError as error:
        raise KeyringError(f"{path} cannot be read: {error.strerror}") from None


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringError(f"{path} is not a regular file")
    if os.name != "posix":
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyringError(f"{path} is open to other users (mode {mode:04o}); run: chmod 600 '{path}'")
    if status.st_uid not in (0, os.geteuid()):
        raise KeyringError(f"{path} belongs to another user; run: chown {os.geteuid()} '{path}'")


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def change_private_file(path: Path, change: Callable[[str], tuple[str, T]]) -> T:
    """Rewrites a private file: `change` gets its text and gives the new one and a result. Changes of several processes
    come one after the other; a reader meets the former file or the new one, whole. Raises KeyringError, and what
    `change` raises; the file is as it was then.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, PRIVATE_MODE), "r+") as held:
            _wait_for(held.fileno())
            text, result = change(read_private_file(path))
            draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            try:
                create_private_file(draft, text)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            _sync_directory(path.parent)
            return result
    except OSError as error:
        raise KeyringError(f"{path} cannot be rewritten: {error.strerror}") from None


def _wait_for(descriptor: int) -> None:
    """Holds the file until it is closed, by whatever end of the process."""
    if os.name == "posix":
        import fcntl  # noqa: PLC0415 - not on Windows

        fcntl.flock(descriptor, fcntl.LOCK_EX)
