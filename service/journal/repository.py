"""Every query on the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from service.clock import first_id
from service.journal.model import JOURNAL, PREFIX, READING_COUNTS, UNINDEXED
from service.storage import Database, Index, UnitOfWork
from service.storage.paging import pages_of_each

INDEXES = (
    Index(JOURNAL, (("facets.records", 1), ("_id", -1)), "journal_records"),
    Index(JOURNAL, (("facets.actor", 1), ("_id", -1)), "journal_actor"),
    Index(JOURNAL, (("facets.action", 1), ("_id", -1)), "journal_action"),
    Index(
        JOURNAL,
        (("facets.idempotency.key", 1),),
        "journal_idempotency",
        unique=True,
        partial={"facets.idempotency.key": {"$exists": True}},
    ),
    Index(JOURNAL, (("progress.todo", 1), ("_id", 1)), "journal_todo", partial={"progress.todo": True}),
    Index(
        JOURNAL,
        (("before.id", 1), ("_id", -1)),
        "journal_before_id",
        partial={"before": {"$exists": True}},
    ),
    Index(UNINDEXED, (("due", 1),), "unindexed_due"),
    Index(READING_COUNTS, (("subject", 1), ("hour", 1)), "reading_counts_subject"),
    Index(READING_COUNTS, (("hour", 1),), "reading_counts_expiry", expire_after_seconds=26 * 3600),
)

_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
ID_SLACK = timedelta(minutes=1)
"""An entry's id is made a moment before its time is taken; clocks may be set in between."""


def entries_query(
    *,
    actor: str | Sequence[str] | None,
    actions: Sequence[str] | None,
    record: str | None,
    since: datetime | None,
    until: datetime | None,
    before_id: str | None,
) -> dict[str, Any]:
    """The filter of `entries`. Times bound the ids too, which every index ends with; `facets.at` decides."""
    where: dict[str, Any] = {}
    if actor is not None:
        where["facets.actor"] = actor if isinstance(actor, str) else {"$in": list(actor)}
    if actions is not None:
        where["facets.action"] = {"$in": list(actions)}
    if record is not None:
        where["facets.records"] = record
    times: dict[str, Any] = {}
    ids: dict[str, Any] = {}
    if since is not None:
        times["$gte"] = since
        ids["$gte"] = first_id(PREFIX, since - min(ID_SLACK, since - _BEGINNING))
    if until is not None:
        times["$lt"] = until
        ids["$lt"] = first_id(PREFIX, until + min(ID_SLACK, _END - until))
    if before_id is not None:
        ids["$lt"] = min(before_id, ids.get("$lt", before_id))
    if times:
        where["facets.at"] = times
    if ids:
        where["_id"] = ids
    return where


class JournalRepository:
    """Documents are inserted, read, and their `progress` updated; nothing else exists here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = database.collection(JOURNAL)
        self._unindexed = database.collection(UNINDEXED)

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Inside a unit of work. Raises DuplicateKey for a used idempotency key."""
        await unit.collection(JOURNAL).insert_one(document)

    async def insert_alone(self, documents: Sequence[dict[str, Any]]) -> None:
        """Entries that accompany no change of a record: reads, refusals."""
        if len(documents) == 1:
            await self._journal.insert_one(documents[0])
        else:
            await self._journal.insert_many(documents)

    async def get(self, entry: str) -> dict[str, Any] | None:
        """One entry."""
        return await self._journal.find_one({"_id": entry}, {"entry": 1, "facets": 1})

    async def by_idempotency_key(self, key: str) -> dict[str, Any] | None:
        """The entry that was written under this (hashed) key."""
        return await self._journal.find_one({"facets.idempotency.key": key}, {"facets": 1, "entry": 1})

    async def entries(
        self,
        *,
        actor: str | Sequence[str] | None,
        actions: Sequence[str] | None,
        record: str | None,
        since: datetime | None,
        until: datetime | None,
        before_id: str | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Newest first. Ids are UUIDv7, so they sort by time."""
        where = entries_query(
            actor=actor, actions=actions, record=record, since=since, until=until, before_id=before_id
        )
        return await self._journal.find(where, sort=[("_id", -1)], limit=limit, projection={"entry": 1, "facets": 1})

    async def former_states(self, record: str, *, before_version: int | None, limit: int) -> list[dict[str, Any]]:
        """Former states of one record, newest first, each with the entry that ended it."""
        match: dict[str, Any] = {"id": record}
        if before_version is not None:
            match["version"] = {"$lt": before_version}
        found = await self._journal.find(
            {"before": {"$elemMatch": match}},
            sort=[("_id", -1)],
            limit=limit,
            projection={"before": 1, "facets": 1},
        )
        return _states(found, record)

    async def first_former_states(
        self, collection: str, records: Sequence[str], *, limit: int
    ) -> dict[str, list[dict[str, Any]]]:
        """The newest former states of each of some records of a collection."""
        pipeline = pages_of_each(records, children=JOURNAL, key="before.id", where={}, sort=[("_id", -1)], limit=limit)
        found = await self._database.collection(collection).aggregate(pipeline)
        return {one["_id"]: _states(one["page"], one["_id"]) for one in found}

    async def to_index(self, limit: int) -> list[dict[str, Any]]:
        """Entries whose index work is not done, oldest first."""
        return await self._journal.find(
            {"progress.todo": True}, sort=[("_id", 1)], limit=limit, projection={"progress": 1}
        )

    async def index_done(self, ids: Sequence[str], generations: Sequence[str]) -> None:
        """The index work of these entries is done in these generations."""
        change: Mapping[str, Any] = {
            "$unset": {"progress.todo": ""},
            "$set": {"progress.generations": list(generations)},
        }
        await self._journal.update_many({"_id": {"$in": list(ids)}}, change)

    async def index_failed(self, record: str, trouble: str, at: datetime) -> None:
        """This record can't be indexed as it is. It is tried again, each time later: after a minute, an hour at most.
        Its entries hold up nobody's work meanwhile.
        """
        known = await self._unindexed.find_one({"_id": record})
        attempts = (known or {}).get("attempts", 0) + 1
        due = at + timedelta(minutes=min(2 ** (attempts - 1), 60))
        state = {"trouble": trouble, "attempts": attempts, "due": due}
        first = {"since": (known or {}).get("since", at)}
        await self._unindexed.update_one({"_id": record}, {"$set": {**state, **first}}, upsert=True)

    async def indexed(self, records: Sequence[str]) -> None:
        """Whatever was wrong with these records, they are indexed now."""
        await self._unindexed.delete_many({"_id": {"$in": list(records)}})

    async def unindexed_due(self, at: datetime, limit: int) -> list[str]:
        """Records that could not be indexed and are to be tried again."""
        where = {"due": {"$lte": at}}
        return [d["_id"] for d in await self._unindexed.find(where, sort=[("due", 1)], limit=limit)]

    async def unindexed(self) -> int:
        """How many records can't be indexed as they are: there is something to repair."""
        return await self._unindexed.count({})

    async def pending_ids(self, limit: int) -> list[str]:
        """Records with index work to do, those which failed among them; one more than `limit` means there are too
        many to name.
        """
        found = await self._journal.find(
            {"progress.todo": True}, limit=limit + 1, projection={"progress.index": 1, "_id": 0}
        )
        failed = await self._unindexed.find({}, sort=[("_id", 1)], limit=limit + 1, projection={"_id": 1})
        return [record for entry in found for record in entry["progress"]["index"]] + [d["_id"] for d in failed]

    async def changed_records(self) -> AsyncIterator[list[str] | None]:
        """None once the stream is open; then the ids of the records that each new entry about a change names, or
        whose index document it changes. Entries that changed nothing (reads, searches, refusals) are left out.
        """
        followed = self._journal.follow(("before", "progress"), ("facets.records", "progress.index"))
        async with aclosing(followed) as entries:  # type: ignore[type-var]
            async for entry in entries:
                if entry is None:
                    yield None
                else:
                    named = entry.get("facets", {}).get("records", [])
                    yield [*named, *entry.get("progress", {}).get("index", [])]


HOURS_MOST = 26
"""Buckets of one subject that may reach into a day's window: 25, and one for clocks that differ."""


class ReadingRepository:
    """Counts of what was shown in full: one document for each subject and hour."""

    def __init__(self, database: Database) -> None:
        self._counts = database.collection(READING_COUNTS)

    async def add(self, buckets: Iterable[Mapping[str, Any]]) -> None:
        """Adds to the counts (`subject`, `hour`, `minutes` of it, and a network's `actors`), in one round trip."""
        await self._counts.upsert_all([_addition(bucket) for bucket in buckets])

    async def since(self, subjects: Sequence[str], oldest: datetime) -> list[dict[str, Any]]:
        """The buckets of these subjects from that hour on."""
        where = {"subject": {"$in": list(subjects)}, "hour": {"$gte": oldest}}
        return await self._counts.find(where, limit=len(subjects) * HOURS_MOST)  # bounded, so without a cursor

    async def forget(self, unit: UnitOfWork, subjects: Sequence[str]) -> None:
        """Counts of these subjects begin anew."""
        await unit.collection(READING_COUNTS).delete_many({"subject": {"$in": list(subjects)}})


def _addition(bucket: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Filter and change of one bucket."""
    subject, hour, minutes = bucket["subject"], bucket["hour"], bucket["minutes"]
    change: dict[str, Any] = {
        "$inc": {"total": sum(minutes.values()), **{f"minutes.{place}": count for place, count in minutes.items()}},
        "$setOnInsert": {"subject": subject, "hour": hour},
    }
    if bucket["actors"]:
        change["$max"] = {f"actors.{actor}": minute for actor, minute in bucket["actors"].items()}
    return {"_id": f"{subject} {hour:%Y%m%d%H}"}, change


def _states(entries: Sequence[Mapping[str, Any]], record: str) -> list[dict[str, Any]]:
    """One record's states in these entries, newest first, each with who ended it when."""
    states = [
        {**state, "ended_by": entry["facets"]["actor"], "ended_at": entry["facets"]["at"]}
        for entry in entries
        for state in entry["before"]
        if state["id"] == record
    ]
    return sorted(states, key=lambda state: -state["version"])
