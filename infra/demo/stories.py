"""Storylines: what customers object to, in sentences with slots. The texts stand in `stories/*.toml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.demo.dice import Dice
from infra.demo.texts import read_toml

_KEYS = (
    "late_delivery", "invoice_amount", "damaged_goods", "warranty", "quality_defect", "missing_parts",
    "installation", "service_attitude", "wrong_model", "payment", "performance", "spare_parts", "documents",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Story:
    """One kind of objection. `disputed` is the least and greatest share of the order's worth in dispute."""

    key: str
    zh: str
    en: str
    weight: int
    persons: bool
    disputed: tuple[float, float] | None
    causes: tuple[str, ...]
    sentences: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Product:
    """A product line; prices in CNY a piece."""

    name: str
    models: tuple[str, ...]
    price: tuple[int, int]
    household: bool


def _story(key: str) -> Story:
    data = read_toml(f"stories/{key}.toml")
    sentences = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
    share: list[float] = data["disputed"]
    return Story(
        key=data["key"],
        zh=data["zh"],
        en=data["en"],
        weight=data["weight"],
        persons=data["persons"],
        disputed=(share[0], share[1]) if share else None,
        causes=tuple(data["causes"]),
        sentences=sentences,
    )


STORIES = tuple(_story(key) for key in _KEYS)
COMMON: Mapping[str, Any] = read_toml("stories/common.toml")
PRODUCTS = tuple(
    Product(
        item["name"],
        tuple(item["models"]),
        (item["price"][0], item["price"][1]),
        item.get("household", False),
    )
    for item in COMMON["product"]
)
CATEGORIES = tuple((story.key, story.zh, story.en) for story in STORIES)


class Teller:
    """Fills a storyline's sentences for one case; no sentence is used twice."""

    def __init__(self, story: Story, dice: Dice, slots: Mapping[str, str]) -> None:
        """`slots` are the values that this case puts into the sentences."""
        self._story = story
        self._dice = dice
        self._slots = slots
        self._left: dict[str, list[str]] = {}

    def say(self, group: str) -> str:
        """The next sentence of a group: of the storyline's own, or of those common to all."""
        left = self._left.get(group)
        if not left:
            sentences = self._story.sentences.get(group) or COMMON[group]
            left = self._left[group] = self._dice.some(sentences, len(sentences))
        # Small figures are thrown anew: the same sentence reads differently elsewhere.
        small = {
            "few": str(self._dice.whole(2, 6)),
            "hours": str(self._dice.one((4, 8, 12, 24, 36, 48, 72))),
            "units": str(self._dice.whole(1, int(self._slots["quantity"]))),
        }
        return left.pop().format_map({**self._slots, **small})

    def describe(self) -> str:
        """The objection: what happened, one to three circumstances, what is asked for."""
        details = [self.say("details") for _ in range(self._dice.whole(1, 3))]
        return "".join([self.say("openings"), *details, self.say("demands")])
