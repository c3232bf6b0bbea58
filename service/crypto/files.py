"""Private files: created whole with mode 0600, read only if nobody else can read them."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.crypto.errors import KeyringError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

PRIVATE_MODE = 0o600


def create_private_file(path: Path, text: str) -> None:
    """Writes a new file that appears whole, under its name, or not at all. Raises KeyringError."""
    try:
        # Unlike a rename, a link never replaces what is already there.
        _write_and_place(path, text, os.link)
    except FileExistsError:
        raise KeyringError(f"{path} exists already and is not overwritten; load it, or move it away") from None
    except OSError as error:
        raise KeyringError(f"{path} cannot be written: {error.strerror}") from None


def replace_private_file(path: Path, change: Callable[[str], str]) -> str:
    """Replaces a file's text by what `change` makes of it, and returns that. Readers find the former text or the new
    one, whole; of several who do this, each changes what the one before it wrote. Raises KeyringError, and what
    `change` raises; then the file is as it was.
    """
    with _held(path.parent):
        text = change(read_private_file(path))
        try:
            _write_and_place(path, text, os.replace)
        except OSError as error:
            raise KeyringError(f"{path} cannot be written: {error.strerror}") from None
        return text


def _write_and_place(path: Path, text: str, place: Callable[[Path, Path], None]) -> None:
    """Writes a draft beside the file, to the disk, and then `place(draft, path)`. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            draft.chmod(PRIVATE_MODE)  # an odd umask may have taken bits away
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        place(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """One process at a time changes the private files of a directory; the system lets go when it dies."""
    if fcntl is None:
        yield
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise KeyringError(f"{directory} cannot be read: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stamp_of(path: Path) -> tuple[int, int, int, int] | None:
    """What differs once a file was replaced or rewritten; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


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
