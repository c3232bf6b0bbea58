"""What an actor may ask for in a minute: the costs of their operations are added up (P1, P2).

In memory and by process, so that it costs no round trip. An expensive operation is also charged to its actor and its
source in MongoDB: of those, all processes together answer one budget a minute, and a source SOURCES of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from schema.limits import COST_MOST, too_costly
from service.storage.buckets import Buckets, Rate

REMEMBERED_MOST = 10_000
MINUTE = 60.0
EXPENSIVE = 100_000
"""From this cost on a round trip is little beside the operation: 200 customers with all of their fields come to it."""
SOURCES = 10
"""How many people may work behind one address as hard as one person may."""


@dataclass(slots=True)
class _Minute:
    began: float
    spent: int


class Budgets:
    """`limit`: cost for each actor (or, before sign-in, each source) and minute; `most`: that of one operation."""

    def __init__(self, limit: int, buckets: Buckets, *, most: int = COST_MOST) -> None:
        self.limit = limit
        self._most = most
        self._buckets = buckets
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()

    async def spend(self, who: str, source: str, cost: int) -> int:
        """What is left of this minute. Raises Refused TOO_COSTLY when it does not suffice, and THROTTLED when it would
        not suffice in all processes together; nothing is spent here then.
        """
        if cost > self._most:
            raise too_costly("cost", cost, self._most)
        minute = self._minute(who)
        if minute.spent + cost > self.limit:
            raise too_costly("minute", minute.spent + cost, self.limit)
        if cost >= EXPENSIVE:
            await self._buckets.charge(f"cost {who}", Rate(self.limit, MINUTE), cost)
            await self._buckets.charge(f"cost from {source}", Rate(self.limit * SOURCES, MINUTE), cost)
        minute.spent += cost
        return self.limit - minute.spent

    def _minute(self, who: str) -> _Minute:
        at = time.monotonic()
        minute = self._minutes.get(who)
        if minute is None or at - minute.began >= MINUTE:
            minute = self._minutes[who] = _Minute(at, 0)
            self._minutes.move_to_end(who)
            if len(self._minutes) > REMEMBERED_MOST:
                self._minutes.popitem(last=False)
        return minute
