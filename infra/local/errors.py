"""What can keep the embedded servers from running. Each text names the remedy; none holds a secret."""

from __future__ import annotations

from pathlib import Path


class LocalServersError(Exception):
    """Root of everything that this package raises on purpose; its text is one or two plain sentences."""


class PortInUse(LocalServersError):
    """Another program listens on a port that one of the servers needs."""

    def __init__(self, part: str, port: int, key: str) -> None:
        super().__init__(
            f"Port {port} on 127.0.0.1, which {part} needs, is in use by another program. "
            f"Stop that program, or choose other ports with ANJUAN_LOCAL_PORTS={key}=<port> (or =auto)."
        )
        self.part = part
        self.port = port
        self.key = key


class MissingLibrary(LocalServersError):
    """A server's program can't be run here; `remedy` is the command or step that helps."""

    def __init__(self, part: str, missing: str, remedy: str) -> None:
        super().__init__(f"{part} can't run here: {missing}. Remedy: {remedy}")
        self.part = part
        self.missing = missing
        self.remedy = remedy


class StaleData(LocalServersError):
    """The data directory is not one that this version can use as it is."""


class AlreadyRunning(LocalServersError):
    """Another process of this user runs the servers of the same data directory."""

    def __init__(self, path: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The data directory {path} is in use by {who}. "
            "Use the instance that is running, or stop it with `make down`."
        )
        self.pid = pid


class ServerFailed(LocalServersError):
    """A server ended by itself or did not answer in time; `log` is its log file."""

    def __init__(self, part: str, why: str, log: Path) -> None:
        super().__init__(f"{part} {why}. Its log is {log}")
        self.part = part
        self.log = log
