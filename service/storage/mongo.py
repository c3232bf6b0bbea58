"""MongoDB through either driver: PyMongo's asyncio API or Motor, chosen by one setting.

The two differ only in what must be awaited (`aggregate`, `watch`, `start_session`,
`start_transaction`, `list_indexes`); that difference ends here and in `collection`. Everything above uses
`Collection` and `UnitOfWork` and can't tell which driver is open. Decision record 0001.

Read and write concern are majority, set here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import pymongo
from bson import CodecOptions
from pymongo import ReadPreference
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from service.storage.collection import Collection, Document, DuplicateKey, Index, settled
from service.storage.grouping import GroupCommit

T = TypeVar("T")

MAJORITY_READ = ReadConcern("majority")
SNAPSHOT_READ = ReadConcern("snapshot")
MAJORITY_WRITE = WriteConcern("majority", wtimeout=20_000)
ATTEMPTS = 8
UNITS_MOST = 64
DatabaseTrouble = PyMongoError
"""What either driver raises when the database refuses or does not answer; its text may hold values."""


class StoreUnreachable(Exception):
    """The database can't be used; the text is a sentence with the remedy and holds no password. `may_pass`: it may
    be starting still.
    """

    def __init__(self, text: str, *, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


class UnitOfWork:
    """Everything written through it is committed together or not at all."""

    __slots__ = ("_database", "_session")

    def __init__(self, database: Database, session: Any) -> None:
        self._database = database
        self._session = session

    def collection(self, name: str) -> Collection:
        """The collection, inside this unit of work."""
        return Collection(self._database.native[name], self._session)


@dataclass(slots=True)
class Database:
    """An open database. `driver` and `where` (host and port) are for reports only."""

    client: Any
    native: Any
    driver: str
    where: str = ""
    _collections: dict[str, Collection] = field(default_factory=dict)
    _inserts: GroupCommit[Mapping[str, Sequence[Document]]] = field(init=False)

    def __post_init__(self) -> None:
        """Groups units that only insert."""
        self._inserts = GroupCommit(self._insert_all, largest=UNITS_MOST)

    def collection(self, name: str) -> Collection:
        """The collection, outside any unit of work."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self.native[name])
        return found

    async def insert(self, unit: Mapping[str, Sequence[Document]]) -> None:
        """A unit of work that only inserts: new documents by collection, all of them or none. Raises DuplicateKey.

        Units that arrive while others commit share one transaction: a majority commit waits for the disk, and it
        waits no longer for sixteen units than for one. If one of them is refused, each is tried by itself.
        """
        await self._inserts.commit(unit)

    async def _insert_all(self, units: Sequence[Mapping[str, Sequence[Document]]]) -> Sequence[Exception | None] | None:
        together: dict[str, list[Document]] = {}
        for unit in units:
            for name, documents in unit.items():
                together.setdefault(name, []).extend(documents)

        async def work(under_way: UnitOfWork) -> None:
            for name, documents in together.items():
                collection = under_way.collection(name)
                await (collection.insert_many(documents) if len(documents) > 1 else collection.insert_one(documents[0]))

        try:
            await self.transact(work)
        except DuplicateKey as refused:
            return [refused] if len(units) == 1 else [await self._failure(unit) for unit in units]
        return None

    async def _failure(self, unit: Mapping[str, Sequence[Document]]) -> Exception | None:
        try:
            failures = await self._insert_all([unit])
        except PyMongoError as error:
            return error
        return failures[0] if failures else None

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Runs `work` in one majority transaction and returns its result.

        Transient errors (write conflicts, elections) are retried at most ATTEMPTS times with jitter, so
        `work` must be free of effects outside the unit of work. Raises what `work` raises.
        """
        attempt = 0
        session = await settled(self.client.start_session())
        try:
            while True:
                attempt += 1
                try:
                    await settled(
                        session.start_transaction(
                            read_concern=SNAPSHOT_READ,
                            write_concern=MAJORITY_WRITE,
                            read_preference=ReadPreference.PRIMARY,
                        )
                    )
                    result = await work(UnitOfWork(self, session))
                    await self._commit(session)
                    return result
                except BaseException as error:
                    if session.in_transaction:
                        await _abort_quietly(session)
                    transient = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
                    if not transient or attempt >= ATTEMPTS:
                        raise
                await asyncio.sleep(random.uniform(0.2, 1.0) * 0.004 * 2**attempt)  # noqa: S311 - jitter
        finally:
            await session.end_session()

    async def _commit(self, session: Any) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await session.commit_transaction()
                return
            except PyMongoError as error:
                unknown = error.has_error_label("UnknownTransactionCommitResult")
                if not unknown or error.has_error_label("TransientTransactionError") or attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(random.uniform(0.2, 1.0) * 0.01 * 2**attempt)  # noqa: S311 - jitter

    async def ensure(self, indexes: Iterable[Index]) -> None:
        """Creates collections and indexes that are missing; an existing one is left as it is."""
        wanted = list(indexes)
        existing = set(await self.native.list_collection_names())
        for name in sorted({index.collection for index in wanted} - existing):
            await self._create(name)
        for index in wanted:
            options: dict[str, Any] = {"name": index.name, "unique": index.unique}
            if index.partial is not None:
                options["partialFilterExpression"] = dict(index.partial)
            if index.expire_after_seconds is not None:
                options["expireAfterSeconds"] = index.expire_after_seconds
            await self.native[index.collection].create_index(list(index.keys), **options)

    async def _create(self, name: str) -> None:
        try:
            await self.native.create_collection(name)
        except OperationFailure as error:
            if error.code != 48:  # NamespaceExists: another process was faster
                raise

    async def ping(self) -> str:
        """The server's version."""
        info = await self.native.command("buildInfo")
        return str(info["version"])

    async def require_reachable(self) -> None:
        """Raises StoreUnreachable unless a replica set (or a router) answers to our user and password."""
        try:
            answer = await self.native.command("hello")
            await self.native["meta"].find_one({}, {"_id": 1})  # the first asks no right, this one does
        except OperationFailure as error:
            why = (error.details or {}).get("codeName", error.code)
            raise StoreUnreachable(
                f"MongoDB at {self.where} refuses us ({why}). Check user, password and authSource in ANJUAN_MONGO_URL."
            ) from error
        except PyMongoError as error:
            raise StoreUnreachable(
                f"MongoDB at {self.where} can't be reached. Start it, or correct ANJUAN_MONGO_URL.", may_pass=True
            ) from error
        if not answer.get("setName") and answer.get("msg") != "isdbgrid":
            raise StoreUnreachable(
                f"MongoDB at {self.where} is no replica set, which transactions need. "
                "Start it with --replSet and initiate the set."
            )

    async def reachable(self) -> bool:
        """Whether a writable primary answers."""
        try:
            answer = await self.native.command("hello")
        except (ConnectionFailure, PyMongoError):
            return False
        return bool(answer.get("isWritablePrimary"))

    async def drop(self) -> None:
        """Removes the whole database (tests and `reset`)."""
        await self.client.drop_database(self.native.name)

    async def close(self) -> None:
        """Closes every connection."""
        await settled(self.client.close())


async def _abort_quietly(session: Any) -> None:
    try:
        await session.abort_transaction()
    except PyMongoError:
        return  # the server ends it by itself; the first error is the one to report


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Database work in this context is ended by the server when the time is over (maxTimeMS), in both drivers."""
    with pymongo.timeout(seconds):
        yield


def open_database(url: str, name: str, driver: Literal["pymongo", "motor"] = "pymongo") -> Database:
    """Opens the database lazily: no connection is made before the first operation. Raises StoreUnreachable for a URL
    that can't be read.
    """
    options: dict[str, Any] = {
        "tz_aware": True,
        "serverSelectionTimeoutMS": 5_000,
        "connectTimeoutMS": 5_000,
        "maxPoolSize": 64,
        "retryWrites": True,
        "appname": "anjuan",
    }
    client: Any
    try:
        if driver == "motor":
            from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - only when it is asked for

            client = AsyncIOMotorClient(url, **options)
        else:
            from pymongo import AsyncMongoClient  # noqa: PLC0415

            client = AsyncMongoClient(url, **options)
    except (ConfigurationError, ValueError):  # their texts may repeat the password
        raise StoreUnreachable(
            "ANJUAN_MONGO_URL can't be read. Write mongodb://user:password@host:port/?replicaSet=name, "
            "with special characters of user and password percent-encoded."
        ) from None
    native = client.get_database(
        name,
        codec_options=CodecOptions(tz_aware=True, tzinfo=UTC),
        read_concern=MAJORITY_READ,
        write_concern=MAJORITY_WRITE,
    )
    return Database(client, native, driver, urlsplit(url).netloc.rpartition("@")[2])
