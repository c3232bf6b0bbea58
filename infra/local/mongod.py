"""The embedded mongod: a replica set of one (transactions, change streams), with authentication.

Two users: `anjuan_admin` (root) is used here only; `anjuan` is what the service connects as and can read
and write data and make indexes, but not touch users or the replica set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from infra.local.directory import DataDirectory, Secrets, write_private
from infra.local.errors import ServerFailed, StaleData
from infra.local.ports import HOST
from infra.local.process import ServerProcess
from infra.local.programs import find_mongod

REPLICA_SET = "anjuan"
USER = "anjuan"
ADMIN = "anjuan_admin"
# `clusterMonitor` for health checks and `anjuan doctor`; no role that manages users or the replica set.
ROLES = ["readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"]
OPLOG_MEGABYTES = 1024
START_SECONDS = 90.0
STOP_SECONDS = 30.0
# A killed API leaves its open transactions, and what they lock, until this ends them (60 by default). Ours take
# milliseconds.
TRANSACTION_SECONDS = 10
_UNAUTHORIZED, _AUTHENTICATION_FAILED, _ALREADY_INITIALIZED = 13, 18, 23


class Mongod:
    """One mongod on 127.0.0.1:port over `<data>/mongo`."""

    def __init__(self, directory: DataDirectory, secrets: Secrets, port: int, cache_gigabytes: float) -> None:
        self._data = directory.path
        self._secrets = secrets
        self._port = port
        self._cache = cache_gigabytes
        self.process = ServerProcess("mongod", "mongod", directory.path)
        self.version = ""

    @property
    def url(self) -> str:
        """Connection string for the service; it holds the password."""
        password = quote_plus(self._secrets.mongo_password)
        return f"mongodb://{USER}:{password}@{HOST}:{self._port}/?replicaSet={REPLICA_SET}&authSource=admin"

    def launch(self, report: Callable[[str], None]) -> None:
        """Start the process; `bring_up` does the rest. Raises MissingLibrary."""
        version_file = self._data / "mongo" / "version"
        recorded = version_file.read_text(encoding="ascii").strip() if version_file.exists() else None
        program, self.version = find_mongod(self._data, recorded)
        key_file = self._prepare()
        report(f"Starting mongod {self.version} on {HOST}:{self._port}")
        command = [
            str(program),
            "--dbpath", str(self._data / "mongo" / "db"),
            "--port", str(self._port),
            "--bind_ip", HOST,
            "--nounixsocket",
            "--replSet", REPLICA_SET,
            "--auth",
            "--keyFile", str(key_file),
            "--wiredTigerCacheSizeGB", str(self._cache),
            "--oplogSize", str(OPLOG_MEGABYTES),
            "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=500",
            "--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}",
        ]  # fmt: skip
        self.process.start(command, cwd=self._data / "mongo")

    def bring_up(self) -> None:
        """Wait until it takes writes, with replica set and users in place. Raises ServerFailed, StaleData."""
        try:
            self._bring_up()
        except PyMongoError as error:
            self.process.require_running()
            raise ServerFailed("mongod", f"answers with {type(error).__name__}", self.process.log) from error
        write_private(self._data / "mongo" / "version", f"{self.version}\n")

    def stop(self) -> None:
        """A clean shutdown, else SIGKILL after STOP_SECONDS (the journal recovers the data)."""
        self.process.stop(STOP_SECONDS)

    def _prepare(self) -> Path:
        home = self._data / "mongo"
        for folder in (home, home / "db"):
            folder.mkdir(mode=0o700, exist_ok=True)
        key_file = home / "key"
        write_private(key_file, self._secrets.mongo_key_file + "\n")
        return key_file

    def _bring_up(self) -> None:
        anonymous = self._client()
        admin = self._client(ADMIN, self._secrets.mongo_admin_password)
        try:
            self.process.wait_until(lambda: _answers(anonymous), START_SECONDS)
            self._first_start(anonymous)
            self._place_member(admin)
            self.process.wait_until(lambda: _is_primary(anonymous), START_SECONDS)
            self._ensure_user(admin)
        except PyMongoError as error:
            if _refuses_password(error):
                raise StaleData(
                    f"The database in {self._data / 'mongo'} does not accept the password in secrets.json. "
                    "Restore the secrets.json that belongs to it, or start anew with `make reset`."
                ) from error
            raise
        finally:
            admin.close()
            anonymous.close()

    def _first_start(self, anonymous: MongoClient[dict[str, Any]]) -> None:
        """Initiate the replica set and make the administrator, through the localhost exception.

        As soon as there is a user, mongod refuses both: then there is nothing to do here. A first start
        that was cut off in between is taken up again.
        https://www.mongodb.com/docs/v6.0/core/localhost-exception/
        """
        member = {"_id": 0, "host": f"{HOST}:{self._port}"}
        try:
            anonymous.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                return
            if error.code != _ALREADY_INITIALIZED:
                raise
        self.process.wait_until(lambda: _is_primary(anonymous), START_SECONDS)
        try:
            anonymous.admin.command("createUser", ADMIN, pwd=self._secrets.mongo_admin_password, roles=["root"])
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise

    def _place_member(self, admin: MongoClient[dict[str, Any]]) -> None:
        """The replica set's only member is where mongod listens now; a changed port is written into it."""
        config = admin.admin.command("replSetGetConfig")["config"]
        host = f"{HOST}:{self._port}"
        if [member["host"] for member in config["members"]] == [host]:
            return
        config["members"] = [{**config["members"][0], "host": host}]
        config["version"] += 1
        admin.admin.command("replSetReconfig", config, force=True)

    def _ensure_user(self, admin: MongoClient[dict[str, Any]]) -> None:
        password = self._secrets.mongo_password
        known = admin.admin.command("usersInfo", USER)["users"]
        if not known:
            admin.admin.command("createUser", USER, pwd=password, roles=ROLES)
        elif {role["role"] for role in known[0]["roles"]} != set(ROLES):
            admin.admin.command("updateUser", USER, pwd=password, roles=ROLES)

    def _client(self, user: str | None = None, password: str | None = None) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            host=HOST,
            port=self._port,
            username=user,
            password=password,
            authSource="admin",
            directConnection=True,
            serverSelectionTimeoutMS=5_000,
        )


def _answers(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _is_primary(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    except PyMongoError:
        return False


def _refuses_password(error: PyMongoError) -> bool:
    # PyMongo reports it as the reason why no server could be selected.
    return getattr(error, "code", None) == _AUTHENTICATION_FAILED or "AuthenticationFailed" in str(error)
