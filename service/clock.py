"""The only place that asks for the time or makes an id.

Seed and tests may set both for their own context; nobody else does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


@dataclass(slots=True)
class SetClock:
    """A clock that stands where it was put, with its own source of randomness."""

    at: datetime
    random: Random

    def advance(self, step: timedelta) -> None:
        """Move the clock on."""
        self.at += step


_set: ContextVar[SetClock | None] = ContextVar("clock", default=None)


def now() -> datetime:
    """The time in UTC, at the millisecond that MongoDB stores."""
    clock = _set.get()
    if clock is not None:
        return clock.at
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def new_id(prefix: str) -> str:
    """A TypeID: `prefix_` and a UUIDv7 (RFC 9562) in lower-case Crockford base32, 26 characters."""
    clock = _set.get()
    if clock is None:
        milliseconds = time.time_ns() // 1_000_000
        noise = int.from_bytes(os.urandom(10), "big")
    else:
        milliseconds = int(clock.at.timestamp() * 1000)
        noise = clock.random.getrandbits(80)
    random_a = noise >> 68
    random_b = noise & 0x3FFF_FFFF_FFFF_FFFF
    return _typed(prefix, milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0x2 << 62 | random_b)


def first_id(prefix: str, at: datetime) -> str:
    """What stands before every id that is made at this moment or later, and after every earlier one: a bound for ids
    by their time, no id itself.
    """
    return _typed(prefix, max(0, int(at.timestamp() * 1000)) << 80)


def _typed(prefix: str, value: int) -> str:
    letters = "".join([_PAIRS[(value >> shift) & 0x3FF] for shift in range(120, -1, -10)])
    return f"{prefix}_{letters}"


def is_id(value: object, prefix: str) -> bool:
    """Whether the value is a TypeID of this prefix. Upper case is refused; so is every other type's id."""
    if not isinstance(value, str) or len(value) != len(prefix) + 27 or not value.startswith(prefix + "_"):
        return False
    digits = value[len(prefix) + 1 :]
    return digits[0] in "01234567" and all(letter in _VALUES for letter in digits)


@contextmanager
def clock_set(at: datetime, seed: int = 0) -> Iterator[SetClock]:
    """Within this context the time stands still at `at`, and ids come from `seed` (seed and tests only)."""
    clock = SetClock(at, Random(seed))  # noqa: S311 - demo data must be the same every time
    token = _set.set(clock)
    try:
        yield clock
    finally:
        _set.reset(token)
