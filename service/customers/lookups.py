"""How often somebody may look for a whole value (B2): a mask with an unlimited lookup behind it is no mask.

Two shared buckets for each actor, one for the minute and one for the day, so that processes and aliases of one document
draw from the same. Blind equality, numbers in a search, and being told of a duplicate all draw from them: each tells
that somebody has a value.
"""

from __future__ import annotations

import math

from service.access.actor import Caller
from service.errors import Code, Refused
from service.storage.buckets import Buckets, Rate

MINUTE, DAY = 60, 86_400
"""Seconds."""


class Lookups:
    """`per_minute`, `per_day`: the largest numbers of values that one actor may look for."""

    def __init__(self, buckets: Buckets, *, per_minute: int, per_day: int) -> None:
        self._buckets = buckets
        self._rates = {"minute": Rate(per_minute, MINUTE), "day": Rate(per_day, DAY)}

    async def spend(self, caller: Caller, field: str, count: int = 1) -> None:
        """Draws for `count` values, before they are looked for. Raises Refused THROTTLED, the same whatever they are;
        nothing is drawn then.
        """
        seconds = await self.wait(caller, count)
        if seconds:
            raise Refused(Code.THROTTLED, field, seconds=seconds)

    async def wait(self, caller: Caller, count: int = 1) -> int:
        """Draws for `count` values and gives 0, or the seconds until they may be looked for."""
        drawn: list[tuple[str, Rate, int]] = []
        for name, rate in self._rates.items():
            one = f"lookups {name} {caller.actor.id}", rate, min(count, rate.burst)
            seconds = await self._buckets.take(*one)
            if seconds:
                for former in drawn:
                    await self._buckets.give_back(*former)
                return math.ceil(seconds)
            drawn.append(one)
        return 0
