"""The whole proof on one engine: worlds for every viewer, every question, and the planted leaks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr

from infra.local import Endpoints
from service.config import Settings
from service.crypto import Keyring
from tests.fixtures.company import settings_on
from tests.proof.asking import Difference, Findings, compare, served
from tests.proof.leaks import LEAKS, Leak
from tests.proof.questions import Asked
from tests.proof.viewers import Person
from tests.proof.walk import Walk
from tests.proof.worlds import Servers, World, found_base, pinned

Say = Callable[[str], None]
LIMITS = tuple(name for name in Settings.model_fields if name.startswith(("cost_", "lookups_", "reading_limit_")))
"""How much may be asked or read: whoever tries everything must not be stopped by the way."""
LOCALISED_MOST = 3
"""Differences of a viewer for which the field is looked for."""


class Bench:
    """Worlds on one engine. The first is told once; the others when they are asked for."""

    def __init__(self, directory: Path, mongo_url: str, objects: Endpoints, search_url: str | None = None) -> None:
        keyring_file = directory / "keyring.json"
        Keyring.create(keyring_file)
        keyring = keyring_file.read_text("utf-8")
        bucket = f"proof-{secrets.token_hex(6)}"

        def settings(folder: Path, name: str) -> Settings:
            found = settings_on(folder, mongo_url, objects)
            return found.model_copy(
                update={
                    "database": f"p_{name[-30:]}",
                    "s3_bucket": bucket,
                    "keyring_json": SecretStr(keyring),
                    "public_url": "http://anjuan.test",
                    "search_url": SecretStr(search_url) if search_url else None,
                    "access_token_seconds": 10**8,
                    "refresh_token_days": 3650,  # the database drops what has expired by its own clock
                    **dict.fromkeys(LIMITS, 10**12),
                }
            )

        self.walk = Walk()
        self._servers = Servers(directory, settings)
        self.base = found_base(self._servers, keyring)
        self.first = World(self._servers, self.base, None)
        self._worlds: dict[str, World] = {}

    @property
    def viewers(self) -> list[Person]:
        return list(self.base.people.values())

    def world_of(self, viewer: Person) -> World:
        """The second world of a viewer."""
        if viewer.key not in self._worlds:
            self._worlds[viewer.key] = World(self._servers, self.base, viewer)
        return self._worlds[viewer.key]

    def asked(self, viewer: Person) -> Asked:
        return Asked(self.walk, viewer, self.first, self.world_of(viewer))

    def prove(self, viewer: Person, *, share: float = 1.0, seed: int = 0) -> Findings:
        """Every question of a viewer (a share of them), and where a difference comes from."""
        asked = self.asked(viewer)
        with pinned(), served(asked.first, asked.second) as (one, other):
            questions = asked.every() if share >= 1 else asked.sampled(share, seed)
            return compare(asked, (one, other), questions)

    def twins(self, viewer: Person, share: float, seed: int = 0) -> Findings:
        """The same story told twice: whatever differs then is the bench's own noise."""
        twin = World(self._servers, self.base, None)
        try:
            asked = Asked(self.walk, viewer, self.first, self.world_of(viewer))
            questions = asked.sampled(share, seed)
            with pinned(), served(self.first, twin) as (one, other):
                same = Asked(self.walk, viewer, self.first, twin)
                return compare(same, (one, other), questions)
        finally:
            twin.close()

    def origin(self, difference: Difference) -> list[str]:
        """Which single field makes the difference: a pair of worlds for each field that it could be."""
        viewer = self.base.people[difference.viewer]
        places = dict.fromkeys((one.path, one.sensitivity) for one in self.world_of(viewer).teller.hidden)
        found = []
        for place in places:
            other = World(self._servers, self.base, viewer, only=place)
            try:
                asked = Asked(self.walk, viewer, self.first, other)
                with pinned(), served(self.first, other) as (one, two):
                    if compare(asked, (one, two), [difference.question]).differences:
                        found.append(f"{place[0]} ({place[1].value})")
            finally:
                other.close()
        return found

    def finds(self, leak: Leak) -> Difference | None:
        """The first difference that a planted leak makes, None when the proof does not find it."""
        asked = self.asked(self.base.people[leak.viewer])
        with pytest.MonkeyPatch.context() as patch, pinned():
            leak.plant(patch)
            with served(asked.first, asked.second) as (one, other):
                questions = [question for question in asked.every() if question.root == leak.root]
                Random(leak.name).shuffle(questions)  # what many questions would find is found soon
                found = compare(asked, (one, other), questions, until=1)
        return found.differences[0] if found.differences else None

    def close(self) -> None:
        for world in (self.first, *self._worlds.values()):
            world.close()
        self._servers.loop.close()


def prove_all(
    bench: Bench, say: Say, share: float = 1.0, seed: int = 0, keys: Collection[str] = ()
) -> tuple[Findings, int]:
    """Every viewer (or those of these keys), then every leak."""
    total = Findings()
    for viewer in (viewer for viewer in bench.viewers if not keys or viewer.key in keys):
        found = bench.prove(viewer, share=share, seed=seed)
        say(f"  {viewer.key}: {found.asked} questions, {len(found.differences)} differences")
        for difference in found.differences[:LOCALISED_MOST]:
            say(f"    {difference}")
            say(f"    comes from: {', '.join(bench.origin(difference)) or 'no single field'}")
        total.add(found)
    leaks = 0
    for leak in LEAKS:
        difference = bench.finds(leak)
        leaks += difference is not None
        say(f"  {leak.name}: {'found' if difference else 'NOT FOUND'}")
    return total, leaks


def unanswered(walk: Walk, findings: Findings) -> list[str]:
    """Root fields, output fields, arguments, filters and orders that nobody ever got an answer from: questions that
    prove nothing. (A single value of a mutation's input may well be refused to everybody.)
    """
    return sorted(walk.everything(of_changes=False) - findings.answered)
