"""One collection of MongoDB, in either driver, inside a unit of work or outside: what repositories use."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

Document = dict[str, Any]
Filter = Mapping[str, Any]
Change = Filter | Sequence[Filter]
"""Update operators, or a pipeline of them."""
Sorting = Sequence[tuple[str, int]]


class DuplicateKey(Exception):
    """A unique index refused a write. `index` is the index's name; no value is carried."""

    def __init__(self, index: str) -> None:
        super().__init__(index)
        self.index = index


@dataclass(frozen=True, slots=True)
class Index:
    """An index that a repository needs; `name` is stable, because errors are recognised by it."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    name: str
    unique: bool = False
    partial: Mapping[str, Any] | None = None
    expire_after_seconds: int | None = None


async def settled(value: Any) -> Any:
    """What one driver returns and the other returns an awaitable of."""
    return await value if inspect.isawaitable(value) else value


def _index_of(error: DuplicateKeyError | BulkWriteError) -> str:
    text = str((error.details or {}).get("errmsg") or error)
    for write_error in (error.details or {}).get("writeErrors", []):
        text = str(write_error.get("errmsg", text))
    _, _, rest = text.partition("index: ")
    return rest.split(" ", 1)[0] or "_id_"


class Collection:
    """One collection, optionally inside a unit of work. Every method is awaited, in both drivers."""

    __slots__ = ("_native", "_session", "name")

    def __init__(self, native: Any, session: Any = None) -> None:
        self._native = native
        self._session = session
        self.name: str = native.name

    async def find_one(self, where: Filter, projection: Filter | None = None) -> Document | None:
        """The first matching document, or None."""
        if self._session is None:
            found, _ = await self._first_batch({"filter": where, "limit": 1, "singleBatch": True}, projection)
            return found[0] if found else None
        one: Document | None = await self._native.find_one(where, projection, session=self._session)
        return one

    async def find(
        self,
        where: Filter,
        *,
        sort: Sorting | None = None,
        limit: int = 0,
        projection: Filter | None = None,
        maximum_ms: int | None = None,
    ) -> list[Document]:
        """The matching documents as a list; `limit` 0 means all."""
        if limit and maximum_ms is None and self._session is None:
            page: dict[str, Any] = {"filter": where, "limit": limit, "batchSize": limit + 1}
            if sort:
                page["sort"] = dict(sort)
            batch, complete = await self._first_batch(page, projection)
            if complete:
                return batch
        cursor = self._native.find(
            where,
            projection,
            sort=list(sort) if sort else None,
            limit=limit,
            batch_size=limit + 1 if limit else 1000,
            session=self._session,
            max_time_ms=maximum_ms,
        )
        found: list[Document] = await cursor.to_list(None)
        return found

    async def _first_batch(self, asked: Document, projection: Filter | None) -> tuple[list[Document], bool]:
        """The `find` command as it is: the drivers' cursors cost a fifth of a small read's processor time. What does
        not fit into one answer of the server (16 MB) is not complete.
        """
        native = self._native
        command = {"find": self.name, **asked, "readConcern": native.read_concern.document}
        if projection:
            command["projection"] = projection
        answer = await native.database.command(command, codec_options=native.codec_options)
        cursor = answer["cursor"]
        if cursor["id"]:
            await native.database.command({"killCursors": self.name, "cursors": [cursor["id"]]})
            return [], False
        return cursor["firstBatch"], True

    async def scan(
        self, where: Filter, *, sort: Sorting | None = None, projection: Filter | None = None
    ) -> AsyncIterator[Document]:
        """The matching documents one by one, memory flat."""
        cursor = self._native.find(where, projection, sort=list(sort) if sort else None, batch_size=500)
        async for document in cursor:
            yield document

    async def insert_one(self, document: Document) -> None:
        """Raises DuplicateKey."""
        try:
            await self._native.insert_one(document, session=self._session)
        except DuplicateKeyError as error:
            raise DuplicateKey(_index_of(error)) from None

    async def insert_many(self, documents: Sequence[Document]) -> None:
        """Raises DuplicateKey."""
        try:
            await self._native.insert_many(documents, session=self._session)
        except BulkWriteError as error:
            if any(e.get("code") == 11000 for e in (error.details or {}).get("writeErrors", [])):
                raise DuplicateKey(_index_of(error)) from None
            raise

    async def update_one(self, where: Filter, change: Change, *, upsert: bool = False) -> int:
        """How many documents matched (0 or 1). Raises DuplicateKey."""
        try:
            result = await self._native.update_one(where, change, upsert=upsert, session=self._session)
        except DuplicateKeyError as error:
            raise DuplicateKey(_index_of(error)) from None
        return int(result.matched_count)

    async def update_many(self, where: Filter, change: Filter) -> int:
        """How many documents matched."""
        result = await self._native.update_many(where, change, session=self._session)
        return int(result.matched_count)

    async def upsert_all(self, changes: Sequence[tuple[Filter, Filter]]) -> None:
        """Each change of one document, made where it is missing, in one round trip and no order."""
        await self._native.bulk_write(
            [UpdateOne(where, change, upsert=True) for where, change in changes], ordered=False, session=self._session
        )

    async def find_one_and_update(
        self,
        where: Filter,
        change: Change,
        *,
        upsert: bool = False,
        before: bool = False,
        sort: Sorting | None = None,
    ) -> Document | None:
        """The changed document (or, with `before`, its former state); None when nothing matched."""
        try:
            found: Document | None = await self._native.find_one_and_update(
                where,
                change,
                upsert=upsert,
                sort=list(sort) if sort else None,
                return_document=ReturnDocument.BEFORE if before else ReturnDocument.AFTER,
                session=self._session,
            )
        except DuplicateKeyError as error:
            raise DuplicateKey(_index_of(error)) from None
        return found

    async def delete_many(self, where: Filter) -> int:
        """How many documents were deleted."""
        result = await self._native.delete_many(where, session=self._session)
        return int(result.deleted_count)

    async def aggregate(self, pipeline: Sequence[Filter]) -> list[Document]:
        """The pipeline's documents as a list."""
        cursor = await settled(self._native.aggregate(list(pipeline), session=self._session))
        found: list[Document] = await cursor.to_list(None)
        return found

    async def count(self, where: Filter, *, limit: int | None = None, hint: str | None = None) -> int:
        """How many documents match, counted up to `limit`; `hint` names the index to count along."""
        options: dict[str, Any] = {"limit": limit} if limit else {}
        if hint:
            options["hint"] = hint
        return int(await self._native.count_documents(where, session=self._session, **options))

    async def estimated_count(self) -> int:
        """About how many documents there are, from metadata."""
        return int(await self._native.estimated_document_count())

    async def insertions(self) -> AsyncIterator[None]:
        """Yields once whenever something was inserted: a wake-up, never needed for correctness."""
        pipeline = [{"$match": {"operationType": "insert"}}, {"$project": {"_id": 1}}]
        stream = await settled(self._native.watch(pipeline, max_await_time_ms=1000))
        try:
            async for _ in stream:
                yield None
        finally:
            await stream.close()

    async def follow(self, holding: Sequence[str], fields: Sequence[str]) -> AsyncIterator[Document | None]:
        """None once the stream is open; then every document that is inserted and holds one of `holding`, with nothing
        but `fields` of it. Raises the driver's error when the stream breaks; whoever follows reads again then.
        """
        held = [{f"fullDocument.{name}": {"$exists": True}} for name in holding]
        pipeline = [
            {"$match": {"operationType": "insert", "$or": held}},
            {"$project": {"_id": 1, **{f"fullDocument.{name}": 1 for name in fields}}},
        ]
        stream = await settled(self._native.watch(pipeline, max_await_time_ms=1000))
        async with stream:  # here Motor opens it
            yield None
            async for change in stream:
                yield change.get("fullDocument", {})
