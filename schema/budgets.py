"""What an actor may ask for in a minute: the costs of their operations are added up (P1, P2).

In memory and by process, so that it costs no round trip: with several processes an actor has that many budgets.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from schema.limits import COST_MOST, too_costly

REMEMBERED_MOST = 10_000
MINUTE = 60.0


@dataclass(slots=True)
class _Minute:
    began: float
    spent: int


class Budgets:
    """`limit`: cost for each actor (or, before sign-in, each source) and minute; `most`: that of one operation."""

    def __init__(self, limit: int, *, most: int = COST_MOST) -> None:
        self.limit = limit
        self._most = most
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()

    def spend(self, who: str, cost: int) -> int:
        """What is left of this minute. Raises Refused TOO_COSTLY when it does not suffice; nothing is spent then."""
        if cost > self._most:
            raise too_costly("cost", cost, self._most)
        at = time.monotonic()
        minute = self._minutes.get(who)
        if minute is None or at - minute.began >= MINUTE:
            minute = self._minutes[who] = _Minute(at, 0)
            self._minutes.move_to_end(who)
            if len(self._minutes) > REMEMBERED_MOST:
                self._minutes.popitem(last=False)
        if minute.spent + cost > self.limit:
            raise too_costly("minute", minute.spent + cost, self.limit)
        minute.spent += cost
        return self.limit - minute.spent
