"""Embedded servers: a real mongod and a real object store from PyPI packages, on 127.0.0.1 only.

`anjuan up` and the tests start them; everywhere else MongoDB and S3 are given by URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.directory import DataDirectory, Secrets
from infra.local.errors import (
    AlreadyRunning,
    LocalServersError,
    MissingLibrary,
    PortInUse,
    ServerFailed,
    StaleData,
)
from infra.local.mongod import Mongod
from infra.local.ports import Ports, is_free
from infra.local.process import ServerProcess
from infra.local.seaweed import SeaweedFS

__all__ = [
    "PROGRAMS",
    "AlreadyRunning",
    "DataDirectory",
    "Endpoints",
    "LocalServers",
    "LocalServersError",
    "MissingLibrary",
    "PortInUse",
    "Ports",
    "ServerFailed",
    "StaleData",
    "end_leftovers",
]

# What runs on a data directory, by the name of its pid file and log, in the order in which it is stopped.
PROGRAMS = {"serve": "the API", "worker": "the worker", "seaweedfs": "SeaweedFS", "mongod": "mongod"}


def end_leftovers(directory: DataDirectory) -> Iterator[str]:
    """End what a killed `anjuan up` left behind on this data directory, and nothing else; yields the name of each."""
    for name, part in PROGRAMS.items():
        if ServerProcess(part, name, directory.path).end_leftover():
            yield part


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How to reach what was started; a part that was not is an empty string. Holds secrets: never log it."""

    mongo_url: str = field(default="", repr=False)
    s3_endpoint: str = ""
    s3_access_key: str = field(default="", repr=False)
    s3_secret_key: str = field(default="", repr=False)


class LocalServers:
    """The embedded servers of one data directory.

    `mongo` and `objects` say which of them to run; with neither, the data directory is still checked and
    locked, so that one `anjuan up` at a time works on it. `api_port` is checked with the servers' own. `report` gets one sentence per step. Call `start`
    from the main thread: the servers end with the thread that started them, should the process be killed.
    Use it as a context manager or call `stop` in a `finally`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        ports: Ports | None = None,
        report: Callable[[str], None] = lambda _: None,
        mongo: bool = True,
        objects: bool = True,
        api_port: int | None = None,
        mongo_cache_gigabytes: float = 0.5,
    ) -> None:
        self.directory = DataDirectory(data_dir)
        self.ports = ports or Ports()
        self._report = report
        self._wanted = {"mongo": mongo, "objects": objects}
        self._api_port = api_port
        self._cache = mongo_cache_gigabytes
        self._mongod: Mongod | None = None
        self._seaweed: SeaweedFS | None = None
        self._endpoints = Endpoints()

    def start(self) -> Endpoints:
        """Open the data directory and start what is wanted; returns when all of it answers.

        Raises StaleData, AlreadyRunning, PortInUse, MissingLibrary, ServerFailed; nothing runs on then.
        """
        self.directory.open(self._report)
        try:
            return self._start(self.directory.secrets())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both (neither needs the other) and give the data directory free. May be called twice."""
        running = [server for server in (self._seaweed, self._mongod) if server and server.process.pid]
        for server in running:
            self._report(f"Stopping {server.process.part}")
            server.process.ask_to_stop()
        for server in running:
            server.stop()
        self.directory.close()

    def failed(self) -> ServerFailed | None:
        """The first server that ended by itself, or None while all run."""
        for server in (self._mongod, self._seaweed):
            try:
                if server is not None:
                    server.process.require_running()
            except ServerFailed as failure:
                return failure
        return None

    def endpoints(self) -> Endpoints:
        """What `start` returned; empty before."""
        return self._endpoints

    def pids(self) -> dict[str, int]:
        """Process ids of what runs, by `mongod` and `seaweedfs`."""
        running = {"mongod": self._mongod, "seaweedfs": self._seaweed}
        return {name: server.process.pid for name, server in running.items() if server and server.process.pid}

    def versions(self) -> dict[str, str]:
        """Versions of what was started, by `mongod` and `seaweedfs`."""
        running = {"mongod": self._mongod, "seaweedfs": self._seaweed}
        return {name: server.version for name, server in running.items() if server}

    def __enter__(self) -> Endpoints:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, secrets: Secrets) -> Endpoints:
        mongod = Mongod(self.directory, secrets, self.ports.mongo, self._cache)
        seaweed = SeaweedFS(self.directory, secrets, self.ports)
        for part in end_leftovers(self.directory):
            self._report(f"Ended {part}, which an earlier run had left behind")
        self._require_free_api_port()
        if self._wanted["mongo"]:
            self.ports.require_free("mongo")
        if self._wanted["objects"]:
            self.ports.require_free("s3", "master", "volume", "filer")
        if self._wanted["mongo"]:
            self._mongod = mongod
            mongod.launch(self._report)
        if self._wanted["objects"]:
            self._seaweed = seaweed
            seaweed.launch(self._report)
        if self._wanted["mongo"]:
            mongod.bring_up()
        if self._wanted["objects"]:
            seaweed.wait_until_ready()
        self._endpoints = Endpoints(
            mongo_url=mongod.url if self._wanted["mongo"] else "",
            s3_endpoint=seaweed.endpoint if self._wanted["objects"] else "",
            s3_access_key=secrets.s3_access_key if self._wanted["objects"] else "",
            s3_secret_key=secrets.s3_secret_key if self._wanted["objects"] else "",
        )
        return self._endpoints

    def _require_free_api_port(self) -> None:
        if self._api_port is not None and not is_free(self._api_port):
            raise LocalServersError(
                f"Port {self._api_port}, where the API should listen, is in use by another program. "
                f"Stop that program, or choose another port: ANJUAN_PORT={self._api_port + 1} make up"
            )
