"""The count of what was shown in full, kept in the database, asked before an answer leaves (R70, P30).

Counted are records of which a value of CONTACT, IDENTITY or FINANCIAL is delivered in full, files handed out, and
revealed fields, once for each account and ten minutes in each process. First the count is raised, then it is read: of all
answers that were let go, the one that raised it last has read all the others, in whatever process, so no more than the
limit ever leaves. Both are done in the group commit of the journal's reads: however many requests wait, they share one
write and one read of counts and one insert of entries, in this order, so that what is withheld is never said to have been read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from service.access.actor import SYSTEM, Caller
from service.clock import now
from service.errors import Code, Refused
from service.journal.repository import ReadingRepository
from service.journal.windows import (
    COUNTED_AGAIN,
    Limits,
    ReadingWindow,
    contributors,
    first_hour,
    hour_of,
    is_network,
    minute_of,
    network_of,
    totals,
)
from service.storage import Database, UnitOfWork


class Excess(Exception):
    """More would be shown than one may be. `subject` (an account or a network) has `count` in `window`, with what was
    just asked for; `actors` are the accounts that it was shown to.
    """

    def __init__(self, subject: str, window: ReadingWindow, limit: int, count: int, actors: Sequence[str]) -> None:
        super().__init__(window.value)
        self.subject = subject
        self.window = window
        self.limit = limit
        self.count = count
        self.actors = tuple(actors)


OnExcess = Callable[[Caller, Excess, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer would show, and to whom, from where: `records` that were not counted lately."""

    actor: str
    network: str | None
    records: tuple[str, ...]
    at: datetime

    @property
    def subjects(self) -> tuple[str, ...]:
        """The account, and the network that it asks from."""
        return (self.actor, self.network) if self.network else (self.actor,)


class Readings:
    """Nothing is limited until `limit_by` is called. The journal commits readings in its groups (`Journal`)."""

    def __init__(self, database: Database) -> None:
        self._repository = ReadingRepository(database)
        self._limits: Limits | None = None
        self._on_excess: OnExcess | None = None
        self._slot = 0
        self._counted: dict[str, set[str]] = {}

    def limit_by(self, limits: Limits, on_excess: OnExcess) -> None:
        """`on_excess(caller, excess, records)` is awaited before the caller is refused."""
        self._limits, self._on_excess = limits, on_excess

    def reading(self, caller: Caller, records: Collection[str]) -> Reading | None:
        """What is to be counted before these records are shown in full to the caller; None when nothing is."""
        if self._limits is None or caller.actor is SYSTEM:
            return None
        at = now()
        counted = self._counted_lately(caller.actor.id, at)
        fresh = tuple(record for record in records if record not in counted)
        if not fresh:
            return None
        network = network_of(caller.source) if self._limits.network_factor else None
        return Reading(caller.actor.id, network, fresh, at)

    def shown(self, reading: Reading) -> None:
        """It was counted, and may be shown."""
        self._counted_lately(reading.actor, reading.at).update(reading.records)

    async def refuse(self, caller: Caller, excess: Excess, records: Collection[str]) -> NoReturn:
        """Raises Refused ACCOUNT_LOCKED, once the account is."""
        if self._on_excess is not None:
            await self._on_excess(caller, excess, sorted(records))
        raise Refused(Code.ACCOUNT_LOCKED) from None

    async def forget(self, unit: UnitOfWork, subjects: Iterable[str]) -> None:
        """Accounts that are unlocked, and the networks they were locked for, begin anew."""
        await self._repository.forget(unit, sorted(set(subjects)))

    def _counted_lately(self, actor: str, at: datetime) -> set[str]:
        slot = int(at.timestamp() // COUNTED_AGAIN.total_seconds())
        if slot != self._slot:
            self._slot, self._counted = slot, {}
        return self._counted.setdefault(actor, set())

    async def count(self, readings: Sequence[Reading]) -> list[Excess | None]:
        """Counts a group; what becomes of each: None, or the Excess because of which it may not be shown."""
        assert self._limits is not None  # noqa: S101 - there are no readings without limits
        added = _Added()
        for reading in readings:
            added.add(reading)
        await self._repository.add(added.buckets.values())
        oldest = first_hour(min(reading.at for reading in readings))
        buckets: dict[str, list[Mapping[str, Any]]] = {subject: [] for subject in added.records}
        for bucket in await self._repository.since(list(added.records), oldest):
            buckets[bucket["subject"]].append(bucket)
        return _Judging(self._limits, buckets, added.records).all(readings)


class _Added:
    """What a group adds: to each bucket, and to each subject in all."""

    def __init__(self) -> None:
        self.buckets: dict[tuple[str, datetime], dict[str, Any]] = {}
        self.records: dict[str, int] = {}

    def add(self, reading: Reading) -> None:
        hour, minute = hour_of(reading.at), minute_of(reading.at)
        for subject in reading.subjects:
            self.records[subject] = self.records.get(subject, 0) + len(reading.records)
            bucket = self.buckets.setdefault(
                (subject, hour), {"subject": subject, "hour": hour, "minutes": {}, "actors": {}}
            )
            place = str(reading.at.minute)
            bucket["minutes"][place] = bucket["minutes"].get(place, 0) + len(reading.records)
            if is_network(subject):
                bucket["actors"][reading.actor] = max(minute, bucket["actors"].get(reading.actor, 0))


class _Judging:
    """One group, in order: what was there before it, and what of it came before each reading."""

    def __init__(
        self, limits: Limits, buckets: Mapping[str, Sequence[Mapping[str, Any]]], added: Mapping[str, int]
    ) -> None:
        self._limits = limits
        self._buckets = buckets
        self._left = dict(added)
        self._known: dict[tuple[str, int], dict[ReadingWindow, int]] = {}

    def all(self, readings: Sequence[Reading]) -> list[Excess | None]:
        return [self._one(reading) for reading in readings]

    def _one(self, reading: Reading) -> Excess | None:
        minute, found = minute_of(reading.at), None
        for subject in reading.subjects:
            self._left[subject] -= len(reading.records)
            later = self._left[subject]
            counts = self._known.get((subject, minute))
            if counts is None:
                counts = self._known[subject, minute] = totals(self._buckets[subject], minute)
            for window, total in counts.items():
                limit = self._limits.of(window, subject)
                if total - later > limit and found is None:
                    actors = (
                        contributors(self._buckets[subject], window, minute) if is_network(subject) else [reading.actor]
                    )
                    found = Excess(subject, window, limit, total - later, actors)
        return found
