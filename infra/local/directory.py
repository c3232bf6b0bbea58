"""The data directory: modes, format number, lock, generated secrets. Standard library only."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from infra.local.errors import AlreadyRunning, LocalServersError, StaleData

FORMAT = 1
# A directory that holds anything else and no format number is somebody's own: never chmod or remove it.
KNOWN = frozenset(
    (
        *("demo.json", "format", "keyring.json", "lock", "running.json", "secrets.json"),
        *("bin", "index", "logs", "mongo", "objects", "run", "tmp", "uploads"),
    )
)


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Generated once, at the first start; kept in `secrets.json` (mode 0600)."""

    mongo_admin_password: str
    mongo_password: str
    mongo_key_file: str
    s3_access_key: str
    s3_secret_key: str
    volume_write_key: str
    volume_read_key: str
    filer_write_key: str
    filer_read_key: str

    @classmethod
    def generate(cls) -> Secrets:
        """Fresh ones, 256 bits each; the MongoDB key file has base64 characters only, as it must."""
        made = {field.name: secrets.token_urlsafe(32) for field in fields(cls)}
        made["mongo_key_file"] = secrets.token_hex(378)
        made["s3_access_key"] = secrets.token_hex(10).upper()
        return cls(**made)


class DataDirectory:
    """One data directory, opened and locked by one process at a time.

    Layout: `format`, `lock` (holds the pid), `secrets.json`, `mongo/`, `objects/`, `logs/`, `run/` (pids).
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def open(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Make it if need be, check format and modes, take the lock.

        Raises StaleData (format, foreign files) and AlreadyRunning.
        """
        present = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        format_file = self.path / "format"
        if "format" in present:
            self._check_format(format_file.read_text(encoding="ascii", errors="replace").strip())
        elif foreign := sorted(present - KNOWN):
            raise StaleData(
                f"{self.path} holds other files ({', '.join(foreign[:3])}) and is not Anjuan's. "
                "Set ANJUAN_DATA_DIR to a directory of its own."
            )
        elif present & {"mongo", "objects"}:
            raise StaleData(
                f"{self.path} holds data but no format number. Restore its `format` file from a backup, "
                "or start anew with `make reset`."
            )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        if stat.S_IMODE(self.path.stat().st_mode) != 0o700:
            self.path.chmod(0o700)
            report(f"Only you can read {self.path} from now on (its mode was wider than 0700).")
        for name in ("logs", "run"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        if "format" not in present:
            write_private(format_file, f"{FORMAT}\n")

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def secrets(self) -> Secrets:
        """The generated secrets; made when the directory is new.

        Raises StaleData when they are lost but data is there, have another shape, or others can read them.
        """
        path = self.path / "secrets.json"
        if not path.exists():
            if any((self.path / name).exists() for name in ("mongo", "objects")):
                raise StaleData(
                    f"{path} is gone but data is there, and can't be opened without it. "
                    "Restore it from a backup, or start anew with `make reset`."
                )
            made = Secrets.generate()
            write_private(path, json.dumps(asdict(made), indent=2) + "\n")
            return made
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise StaleData(
                f"Other users of this machine can read {path} (mode {mode:04o}). "
                f"Run `chmod 600 {path}`; if they may have done so, start anew with `make reset`."
            )
        try:
            return Secrets(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise StaleData(
                f"{path} can't be read as the secrets of this version. Restore it from a backup, "
                "or start anew with `make reset`."
            ) from error

    def holder(self) -> int | None:
        """The pid of the process that has the lock; None when nobody has it."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            return int(text) if text.isdecimal() else None
        finally:
            os.close(descriptor)
        return None

    def remove(self, end_leftovers: Callable[[], object] = lambda: None) -> None:
        """Delete it with everything in it. `end_leftovers` is called once the lock is taken. Raises AlreadyRunning,
        and StaleData if it is not ours.
        """
        if not self.path.exists():
            return
        if not (self.path / "format").is_file():
            raise StaleData(f"{self.path} is not a data directory of Anjuan; nothing was removed.")
        self._take_lock()
        try:
            end_leftovers()
            shutil.rmtree(self.path)
        finally:
            self.close()

    def _check_format(self, found: str) -> None:
        if not found.isdecimal():
            raise StaleData(f"{self.path / 'format'} holds no number. Restore it from a backup, or `make reset`.")
        if int(found) > FORMAT:
            raise StaleData(
                f"{self.path} has format {found}, made by a newer Anjuan; this one knows format {FORMAT}. "
                "Install the newer version, or set ANJUAN_DATA_DIR to another directory."
            )
        if int(found) < FORMAT:
            raise StaleData(
                f"{self.path} has format {found}; this version needs format {FORMAT}. Back it up with the "
                "version that made it and restore the backup here, or start anew with `make reset`."
            )

    def _take_lock(self) -> None:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(self.path, self.holder()) from None
        except OSError as error:
            os.close(descriptor)
            raise LocalServersError(
                f"{self.path} can't be locked ({error.strerror}). Set ANJUAN_DATA_DIR to a local disk."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600), replacing it in one step."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
