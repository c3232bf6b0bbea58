"""Worlds: databases that are told the same story, served over HTTP on 127.0.0.1 with clock and ids pinned.

What every world shares (departments, people, templates, sessions) is made once, through the services, and copied; one
keyring opens all of them. Ciphertexts, data keys and object keys are random in each world, as they are in use; where an
answer holds a digest of a ciphertext (an audit entry's hashes, a file's ETag), it is compared by what it is the digest
of, and only if it is exactly that.

Pinned for the servers, in this process: the clock and the ids of `service.clock`, the nonces of cursors, and the minute
of the cost budgets. Nothing else.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import uvicorn

import schema.budgets
import schema.cursors
from schema.http.conversation import MESSAGE_MOST
from service.access.actor import Actor, Caller
from service.access.policy import Policy, Role
from service.app import create_app
from service.clock import SetClock, clock_set
from service.config import Settings
from service.crypto import Keyring
from service.evidence.reading import Reader
from service.evidence.texts import EvidenceTexts
from service.journal.model import JOURNAL, sealed_hash
from service.sockets import BoundedWebSocket
from service.storage.epoch import EPOCHS
from service.system import INDEXES, System, open_system
from tests.fixtures.engines import free_port
from tests.proof.story import Made, Story, Teller, templates
from tests.proof.viewers import NORTH, SOUTH, Person, people_of

T = TypeVar("T")
PASSWORD = "红色的风箱 amber bellows 41"
TOLD_AT = datetime(2026, 10, 20, 1, 0, tzinfo=UTC)
ASKED_AT = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
PACE = timedelta(seconds=11)
"""How far the clock moves between two questions."""
_DIGEST = re.compile(rb"[0-9a-f]{64}")


class Loop:
    """An event loop in a thread of its own: systems, servers and their clocks live on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it there and waits for it; each call in a context of its own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(300)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def pinned() -> Iterator[None]:
    """What is random or runs on in a server stands still, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema.cursors, "os", SimpleNamespace(urandom=bytes))
        patch.setattr(schema.budgets, "time", SimpleNamespace(monotonic=lambda: 0.0))
        yield


class Server:
    """One API process's worth: the ASGI application behind uvicorn, its clock in the hands of who asks."""

    def __init__(self, loop: Loop, settings: Settings) -> None:
        self._loop = loop
        self.port = free_port()
        self.clock: SetClock
        self._ready = threading.Event()
        self._server: uvicorn.Server
        self._task: Any = None
        loop.run(self._start(settings))

    async def _start(self, settings: Settings) -> None:
        with clock_set(ASKED_AT, 1) as clock:
            self.clock = clock
            app = create_app(settings)
            self._server = uvicorn.Server(
                uvicorn.Config(
                    app,
                    host="127.0.0.1",
                    port=self.port,
                    log_level="error",
                    access_log=False,
                    server_header=False,
                    date_header=False,
                    ws=BoundedWebSocket,
                    ws_max_size=MESSAGE_MOST,
                    timeout_graceful_shutdown=2,
                )
            )
            self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            assert not self._task.done(), self._task.exception()
            await asyncio.sleep(0.01)

    def rewind(self) -> None:
        """The clock as it was at the start."""
        self.clock.at = ASKED_AT

    def step(self, number: int) -> None:
        """To the next question. Its ids do not depend on how many were made before: in use they are random, and tell
        nobody that an earlier question made one more.
        """
        self.clock.advance(PACE)
        self.clock.random.seed(number)

    def stop(self) -> None:
        async def stop() -> None:
            self._server.should_exit = True
            await self._task

        self._loop.run(stop())


@dataclass
class Base:
    """What every world begins with."""

    documents: dict[str, list[dict[str, Any]]]
    policy: Policy
    people: dict[str, Person]
    actors: dict[str, Actor]
    tokens: dict[str, str]
    departments: dict[str, str]
    refresh: dict[str, str] = field(default_factory=dict)


@dataclass
class Servers:
    """Where worlds are built: the stores, and one set of settings."""

    directory: Path
    settings: Callable[[Path, str], Settings]
    loop: Loop = field(default_factory=Loop)

    def settings_of(self, name: str) -> Settings:
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        return self.settings(folder, name)


async def _founded(system: System) -> Base:
    await system.prepare()
    with clock_set(TOLD_AT - timedelta(days=30), 3) as clock:
        policy = await system.policies.current()
        departments = {}
        for key in (NORTH, SOUTH):
            named = {"key": key, "name": {"zh-CN": key, "en": key.title()}}
            departments[key] = (await system.identity.seed_department(named)).id
        people, actors = people_of(policy), {}
        for person in people.values():
            values = {
                "email": f"{person.key}@example.com",
                "name": person.key,
                "roles": sorted(role.value for role in person.roles),
                "department": departments[person.department] if person.department else None,
                "locale": "en",
            }
            user = (await system.identity.seed_user(values, PASSWORD)).user
            actors[person.key] = Actor(user.id, user.name, person.roles, user.department)
            clock.advance(timedelta(minutes=1))
        await system.epoch.refresh()
        administrator = next(actors[p.key] for p in people.values() if Role.ADMIN in p.roles)
        for template in templates():
            await system.templates.publish(Caller(administrator, policy), template)
        await system.epoch.refresh()
    tokens, refresh = {}, {}
    with clock_set(ASKED_AT - timedelta(minutes=1), 4) as clock:
        for person in people.values():
            clock.advance(timedelta(seconds=1))
            email = f"{person.key}@example.com"
            given = await system.identity.sign_in(email, PASSWORD, source="story", request_id="req_story")
            tokens[person.key], refresh[person.key] = given.access_token, given.refresh_token
    documents = await _everything(system)
    return Base(documents, policy, people, actors, tokens, departments, refresh)


async def _everything(system: System) -> dict[str, list[dict[str, Any]]]:
    native = system.database.native
    names = [name for name in await native.list_collection_names() if not name.startswith("system.")]
    return {name: await native[name].find({}).to_list() for name in sorted(names)}


def found_base(servers: Servers, keyring: str) -> Base:
    """Makes it, once for all worlds."""

    async def found() -> Base:
        system = open_system(servers.settings_of(f"base_{secrets.token_hex(4)}"))
        try:
            return await _founded(system)
        finally:
            await system.database.drop()
            await system.close()

    assert Keyring.from_json(keyring)
    return servers.loop.run(found())


class World:
    """One database, told the story for one viewer (none: the first world), with its index."""

    def __init__(self, servers: Servers, base: Base, viewer: Person | None, only: Any = None) -> None:
        self._servers = servers
        self.base = base
        self.teller = Teller(base.policy, base.people, viewer, only)
        self.name = f"{viewer.key if viewer else 'first'}_{secrets.token_hex(4)}"
        self.settings = servers.settings_of(self.name)
        self.made: Made
        self.digests: dict[bytes, bytes] = {}
        self._system: System
        self.snapshot: dict[str, list[dict[str, Any]]] = {}
        servers.loop.run(self._build())

    async def _build(self) -> None:
        self._system = system = open_system(self.settings, writes_index=True)
        database = system.database
        await database.ensure(INDEXES)
        for name, documents in self.base.documents.items():
            if documents:
                await database.native[name].insert_many([dict(document) for document in documents])
        await system.epoch.refresh()
        with clock_set(TOLD_AT, 5) as clock:
            async with Reader() as reader:
                texts = EvidenceTexts(system.evidence, reader)
                self.made = await Story(system, self.teller, self.base.actors, clock, texts).tell()
            await system.indexer.prepare()
            while await system.indexer.catch_up():
                pass
        self.snapshot = await _everything(system)
        self._learn(self.snapshot)

    def _learn(self, everything: dict[str, list[dict[str, Any]]]) -> None:
        """What each digest of a ciphertext is the digest of."""
        for name, documents in everything.items():
            for document in documents:
                if name == JOURNAL:
                    for former in document.get("before", ()):
                        self._digest(former["document"], f"{former['id']}@{former['version']}")
                    continue
                self._digest(document, f"{document['_id']}@{document.get('version')}")
                tag = (document.get("object") or {}).get("ciphertext_sha256")
                if tag:
                    self.digests[tag.encode()] = f"<object of {document['_id']}>".encode()

    def _digest(self, document: dict[str, Any], label: str) -> None:
        digest = sealed_hash(document)
        if digest:
            self.digests[digest.encode()] = f"<ciphertexts of {label}>".encode()

    def learn(self) -> None:
        """The digests of what was written since."""
        self._learn(self._servers.loop.run(_everything(self._system)))

    def named(self, content: bytes) -> bytes:
        """The content with every digest of a ciphertext replaced by what it is the digest of."""
        return _DIGEST.sub(lambda found: self.digests.get(found.group(), found.group()), content)

    def serve(self) -> Server:
        """A new server of this world."""
        return Server(self._servers.loop, self.settings)

    def restore(self) -> None:
        """Everything as the story left it; the epoch only rises, so that servers forget what they remember."""

        async def restore() -> None:
            native = self._system.database.native
            for name in await native.list_collection_names():
                if name.startswith("system.") or name == EPOCHS:
                    continue
                await native[name].delete_many({})
                documents = self.snapshot.get(name)
                if documents:
                    await native[name].insert_many([dict(document) for document in documents])
            await native[EPOCHS].update_one({"_id": "epoch"}, {"$inc": {"value": 1}}, upsert=True)

        self._servers.loop.run(restore())

    def stored(self, collection: str, identifier: str) -> dict[str, Any] | None:
        """A document as it is stored."""
        found: dict[str, Any] | None = self._servers.loop.run(
            self._system.database.collection(collection).find_one({"_id": identifier})
        )
        return found

    def run(self, work: Callable[[System], Coroutine[Any, Any, T]]) -> T:
        """Something done with the world's own system."""
        return self._servers.loop.run(work(self._system))

    def epoch(self) -> int:
        return int((self.stored(EPOCHS, "epoch") or {"value": 0})["value"])

    def close(self) -> None:
        """The database is dropped."""

        async def close() -> None:
            await self._system.database.drop()
            await self._system.close()

        self._servers.loop.run(close())
