"""How often somebody may look for a whole value (B2): a mask with an unlimited lookup behind it is no mask.

Two buckets for each actor, one for the minute and one for the day, fill up evenly and are drawn from in one step of
the database, so that processes and aliases of one document share them. Blind equality, numbers in a search, and being
told of a duplicate all draw from them: each tells that somebody has a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from service.access.actor import Caller
from service.clock import now
from service.customers.repository import CustomerRepository
from service.errors import Code, Refused

MINUTE, DAY = 60, 86_400
"""Seconds."""


class Lookups:
    """`per_minute`, `per_day`: the largest numbers of values that one actor may look for."""

    def __init__(self, repository: CustomerRepository, *, per_minute: int, per_day: int) -> None:
        self._repository = repository
        self._most = {"minute": (per_minute, MINUTE), "day": (per_day, DAY)}

    async def spend(self, caller: Caller, field: str, count: int = 1) -> None:
        """Draws for `count` values, before they are looked for. Raises Refused THROTTLED, the same whatever they are;
        nothing is drawn then.
        """
        seconds = await self.wait(caller, count)
        if seconds:
            raise Refused(Code.THROTTLED, field, seconds=seconds)

    async def wait(self, caller: Caller, count: int = 1) -> int:
        """Draws for `count` values and gives 0, or the seconds until they may be looked for."""
        found = await self._repository.draw_lookups(caller.actor.id, count, self._most, now())
        return 0 if found["allowed"] else _seconds(found, count, self._most)


def _seconds(left: Mapping[str, Any], count: int, most: Mapping[str, tuple[int, int]]) -> int:
    """Until every bucket holds enough again."""
    waits = [(min(count, size) - float(left[name])) * seconds / size for name, (size, seconds) in most.items()]
    return max(1, math.ceil(max(waits)))
