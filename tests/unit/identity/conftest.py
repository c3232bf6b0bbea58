"""An identity service over a real database, with its own keys and hashing made cheap (counted, not timed)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.access.actor import Caller
from service.identity.model import FAILURES, SESSIONS, USERS, Department, Tokens, User
from service.identity.passwords import Passwords
from service.identity.repository import INDEXES
from service.identity.service import Identity
from service.journal.model import JOURNAL
from service.journal.repository import INDEXES as JOURNAL_INDEXES
from service.journal.service import Journal
from service.policies.repository import INDEXES as POLICY_INDEXES
from service.policies.service import Policies
from service.storage import Database
from service.storage.epoch import EPOCHS, Epoch

ISSUER, AUDIENCE = "anjuan", "anjuan-api"
PASSWORD = "violet anvil 37 rivers"
SOURCE = "192.0.2.7"


@dataclass
class OwnKeys:
    """Signing keys made for one test."""

    keys: dict[str, Ed25519PrivateKey] = field(default_factory=lambda: {"k1": Ed25519PrivateKey.generate()})
    current: str = "k1"

    def signing_key(self) -> tuple[str, Ed25519PrivateKey]:
        return self.current, self.keys[self.current]

    def verification_key(self, kid: str) -> Ed25519PublicKey | None:
        return self.keys[kid].public_key() if kid in self.keys else None

    def secret(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b"-")


class CountingHasher(PasswordHasher):
    """argon2id with the least work, which remembers what it was asked."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.calls: list[str] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.calls.append("hash")
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.calls.append("verify")
        return super().verify(hash, password)


@dataclass
class Process:
    """One process of the system: its own caches over the shared database."""

    identity: Identity
    epoch: Epoch
    policies: Policies
    hasher: CountingHasher

    async def actor(self, token: str) -> Any:
        """What a request does: refresh the epoch, then authenticate."""
        await self.epoch.refresh()
        return await self.identity.authenticate(token)

    async def caller(self, token: str) -> Caller:
        await self.epoch.refresh()
        return await self.identity.caller(token, request_id="req_test", source=SOURCE)


class World:
    """Processes over one database, and the steps that tests are told in."""

    def __init__(self, database: Database, keys: OwnKeys) -> None:
        self.database = database
        self.keys = keys
        self.processes: list[Process] = []

    def process(self, hasher: CountingHasher | None = None) -> Process:
        epoch, journal, hasher = Epoch(self.database), Journal(self.database), hasher or CountingHasher()
        policies = Policies(self.database, epoch, journal)
        identity = Identity(
            self.database,
            self.keys,
            epoch,
            journal,
            policies,
            issuer=ISSUER,
            audience=AUDIENCE,
            access_seconds=600,
            refresh_days=14,
            passwords=Passwords(hasher),
        )
        self.processes.append(Process(identity, epoch, policies, hasher))
        return self.processes[-1]

    @property
    def here(self) -> Process:
        return self.processes[0]

    @property
    def identity(self) -> Identity:
        return self.here.identity

    async def department(self, key: str) -> Department:
        return await self.identity.seed_department({"key": key, "name": {"zh-CN": key, "en": key}})

    async def user(self, email: str, *roles: str, department: str | None = None) -> User:
        values = {
            "email": email,
            "name": email.partition("@")[0],
            "roles": list(roles),
            "department": department,
        }
        return (await self.identity.seed_user(values, PASSWORD)).user

    async def sign_in(self, email: str, password: str = PASSWORD) -> Tokens:
        return await self.identity.sign_in(email, password, source=SOURCE, request_id="req_test")

    async def refresh(self, token: str) -> Tokens:
        return await self.identity.refresh(token, source=SOURCE, request_id="req_test")

    async def signed_in(self, email: str) -> Caller:
        return await self.here.caller((await self.sign_in(email)).access_token)

    async def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All that identity may change, to prove that nothing did."""
        names = (USERS, SESSIONS, JOURNAL, EPOCHS, "departments")
        return {name: await self.database.collection(name).find({}, sort=[("_id", 1)]) for name in names}

    async def actions(self) -> list[str]:
        """Actions in the journal, oldest first."""
        found = await self.database.collection(JOURNAL).find({}, sort=[("_id", 1)])
        return [entry["facets"]["action"] for entry in found]

    async def failures(self) -> list[dict[str, Any]]:
        return await self.database.collection(FAILURES).find({})


@pytest.fixture
def keys() -> OwnKeys:
    """Fresh keys."""
    return OwnKeys()


@pytest_asyncio.fixture
async def world(database: Database, keys: OwnKeys) -> AsyncIterator[World]:
    """A seeded policy, one department and one user per role: `agent@example.com`, `admin@example.com` …"""
    await database.ensure([*INDEXES, *JOURNAL_INDEXES, *POLICY_INDEXES])
    world = World(database, keys)
    await world.process().policies.seed()
    sales = (await world.department("sales")).id
    for role in ("AGENT", "SUPERVISOR", "AUDITOR", "ADMIN"):
        await world.user(f"{role.lower()}@example.com", role, department=sales)
    yield world
    for process in world.processes:
        process.identity.close()
