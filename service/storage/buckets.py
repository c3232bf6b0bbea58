"""Token buckets that all processes share: how often somebody may do something, kept in MongoDB.

The generic cell rate algorithm (ITU-T I.371, Annex A): of each bucket one moment is stored, up to which it is owed for.
Taking is one step of the database, so that any number of takers at once, in any number of processes, are charged one by
one, and no bucket is ever overdrawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.clock import now
from service.errors import Code, Refused
from service.storage.collection import Change, DuplicateKey, Index
from service.storage.mongo import Database

BUCKETS = "buckets"
INDEXES = (Index(BUCKETS, (("owed_until", 1),), "buckets_owed", expire_after_seconds=60),)


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` units, which fills again evenly within `seconds`."""

    burst: int
    seconds: float

    def milliseconds(self, units: int) -> int:
        """How long so many units take to come back; one at least."""
        return max(1, math.ceil(units * self.seconds * 1_000 / self.burst))


class Buckets:
    """Keys name who is limited in what; they should hold no personal data, for they are stored as they are."""

    def __init__(self, database: Database) -> None:
        self._buckets = database.collection(BUCKETS)

    async def take(self, key: str, rate: Rate, units: int = 1) -> float:
        """Takes the units and returns 0; or takes nothing and returns after how many seconds they could be had
        (`math.inf` for more units than the bucket holds).
        """
        if units > rate.burst:
            return math.inf
        at, charge = now(), rate.milliseconds(units)
        latest = at + timedelta(milliseconds=max(0, round(rate.seconds * 1_000) - charge))
        owed = {"$max": [{"$ifNull": ["$owed_until", at]}, at]}
        change: Change = [{"$set": {"owed_until": {"$add": [owed, charge]}}}]
        where = {"_id": key, "owed_until": {"$lte": latest}}
        try:
            taken = await self._buckets.find_one_and_update(where, change, upsert=True)
        except DuplicateKey:  # it is owed for longer; or somebody else made it in the same moment
            taken = await self._buckets.find_one_and_update(where, change)
        return 0.0 if taken is not None else await self._wait(key, latest)

    async def charge(self, key: str, rate: Rate, units: int = 1) -> None:
        """Takes the units. Raises Refused THROTTLED, which says when to try again; nothing is taken then."""
        wait = await self.take(key, rate, units)
        if wait:
            raise Refused(Code.THROTTLED, seconds=math.ceil(wait))

    async def _wait(self, key: str, latest: datetime) -> float:
        found = await self._buckets.find_one({"_id": key})
        return max(0.001, (found["owed_until"] - latest).total_seconds()) if found else 0.001

    async def give_back(self, key: str, rate: Rate, units: int = 1) -> None:
        """Returns what was taken and not used."""
        less = {"$subtract": ["$owed_until", rate.milliseconds(units)]}
        await self._buckets.update_one({"_id": key}, [{"$set": {"owed_until": less}}])
