"""Reproducible choices: the same seed and path give the same throws on every machine and Python version.

Only `random.Random.random` is used underneath, the one generator method whose stream Python promises to keep
(see "Notes on Reproducibility" in the documentation of `random`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Throws for one thing, named by its path, so that a change of one thing leaves every other as it was."""

    def __init__(self, seed: int, *path: str | int) -> None:
        """`path` says what the throws are for."""
        name = "/".join(str(part) for part in (seed, *path))
        self._random = random.Random(name)

    def share(self) -> float:
        """At least 0, below 1."""
        return self._random.random()

    def chance(self, probability: float) -> bool:
        """True in this share of throws."""
        return self._random.random() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random.random() * (high - low + 1))

    def between(self, low: float, high: float) -> float:
        """A number, the upper end excluded."""
        return low + self._random.random() * (high - low)

    def one(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[int(self._random.random() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Different ones in a new order; all of them when there are no more than `count`."""
        left = list(items)
        return [left.pop(int(self._random.random() * len(left))) for _ in range(min(count, len(left)))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """One of them, by weight."""
        at = self._random.random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            at -= weight
            if at < 0:
                return item
        return items[-1]
