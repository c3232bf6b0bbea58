"""The services over a real mongod and a real S3, served over HTTP, and the people of two departments."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from reportlab.pdfgen.canvas import Canvas
from starlette.applications import Starlette
from starlette.requests import Request

from infra.local import Endpoints
from schema.http.files import files_routes
from service.access.actor import Actor, Caller
from service.access.policy import Policy, Role
from service.access.view import View
from service.cases.calendar import Calendar, ChineseWorkdays
from service.cases.repository import INDEXES as CASE_INDEXES
from service.cases.service import Cases
from service.clock import new_id, now
from service.crypto import BlindIndex, Keyring, KeyringEncryption
from service.customers.repository import INDEXES as CUSTOMER_INDEXES
from service.customers.service import Customers
from service.errors import NotSignedIn
from service.evidence.model import EVIDENCE, PAGES
from service.evidence.repository import INDEXES as EVIDENCE_INDEXES
from service.evidence.service import EvidenceRoom
from service.identity.model import User, UserState
from service.jobs.repository import INDEXES as JOB_INDEXES
from service.jobs.service import Jobs
from service.journal.model import JOURNAL
from service.journal.repository import INDEXES as JOURNAL_INDEXES
from service.journal.service import Journal
from service.keys.model import KEYS
from service.keys.service import Keys
from service.policies.service import seed_data
from service.storage import Database, Index, open_database, open_objects
from service.storage.epoch import EPOCHS, Epoch
from service.storage.objects import S3Objects
from service.templates.repository import INDEXES as TEMPLATE_INDEXES
from service.templates.service import Templates

MIB = 1024 * 1024
LIMIT = 20 * MIB
NORTH, SOUTH = "dep_north", "dep_south"
COLLECTIONS = (EVIDENCE, PAGES, JOURNAL, "cases", "case_events", "jobs")


class Staff:
    """Everybody who works here."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}

    async def user(self, user: str) -> User | None:
        return self.users.get(user)


@dataclass
class World:
    """The services over one database and one bucket, and the people of two departments."""

    database: Database
    objects: S3Objects
    room: EvidenceRoom
    cases: Cases
    customers: Customers
    jobs: Jobs
    callers: dict[str, Caller]
    client: httpx.AsyncClient
    case: str = ""
    customer: str = ""

    def by(self, name: str) -> Caller:
        return replace(self.callers[name], reads=set())

    async def announced(self, body: bytes, **values: Any) -> View:
        announced = {
            "case": self.case,
            "file_name": "合同 扫描.pdf",
            "kind": "CONTRACT",
            "size": len(body),
            "media_type": "application/pdf",
            **values,
        }
        return await self.room.create(self.by("agent"), announced)

    async def sent(self, evidence: str, body: Any, by: str = "agent", **headers: str) -> httpx.Response:
        return await self.client.put(f"/files/{evidence}", content=body, headers={**token(by), **headers})

    async def got(self, evidence: str, by: str = "agent", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(f"/files/{evidence}", headers={**token(by), **named})

    async def stored(self, body: bytes, **values: Any) -> View:
        view = await self.announced(body, **values)
        assert (await self.sent(view.id, body)).status_code == 204
        found = await self.room.get(self.by("agent"), view.id)
        assert found is not None
        return found

    async def document(self, evidence: str) -> dict[str, Any]:
        found = await self.database.collection(EVIDENCE).find_one({"_id": evidence})
        assert found is not None
        return found

    async def actions(self, evidence: str) -> list[str]:
        entries = await self.database.collection(JOURNAL).find({"facets.records": evidence}, sort=[("_id", 1)])
        return [entry["facets"]["action"] for entry in entries]

    async def everything(self) -> dict[str, list[dict[str, Any]]]:
        return {name: await self.database.collection(name).find({}, sort=[("_id", 1)]) for name in COLLECTIONS}

    def versions(self) -> list[str]:
        """Keys of everything in the bucket, deleted or not."""
        found = self.objects._client.list_objects(  # what really lies there
            self.objects._bucket,
            recursive=True,
            include_version=True,
        )
        return [str(item.object_name) for item in found]


def token(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def a_pdf(size: int = 0, text: str = "Quartz valve delivered late") -> bytes:
    """A real PDF with a text layer, filled up with bytes that a stream never shows."""
    target = io.BytesIO()
    canvas = Canvas(target, invariant=1)
    canvas.drawString(72, 720, text)
    canvas.save()
    body = target.getvalue()
    return body + b"\n%" + b"x" * (size - len(body) - 2) if size > len(body) + 2 else body


def codes(response: httpx.Response) -> list[str]:
    return [error["code"] for error in response.json()["errors"]]


async def serving(world_of: dict[str, Caller], room: EvidenceRoom) -> httpx.AsyncClient:
    async def get_caller(request: Request) -> Caller:
        name = request.headers["authorization"].removeprefix("Bearer ")
        if name not in world_of:
            raise NotSignedIn
        return replace(world_of[name], reads=set())

    app = Starlette(routes=files_routes(get_caller, room))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://files.test")


@pytest_asyncio.fixture
async def world(
    mongo_server: str, s3_server: Endpoints, mongo_database_name: str, tmp_path: Path
) -> AsyncIterator[World]:
    database = open_database(mongo_server, mongo_database_name)
    s3 = (s3_server.s3_endpoint, s3_server.s3_access_key, s3_server.s3_secret_key)
    objects = open_objects(*s3, bucket=f"t-{new_id('run')[4:]}")
    await objects.prepare()
    bare = [Index(name, (("_id", 1),), "_id_") for name in (KEYS, EPOCHS, "counters")]
    indexes = (
        CASE_INDEXES,
        CUSTOMER_INDEXES,
        EVIDENCE_INDEXES,
        JOB_INDEXES,
        JOURNAL_INDEXES,
        TEMPLATE_INDEXES,
    )
    await database.ensure([index for group in indexes for index in group])
    for index in bare:
        await database.native.create_collection(index.collection)
    keyring, epoch, journal, jobs = Keyring.create(tmp_path / "keyring.json"), *_ground(database)
    encryption = KeyringEncryption(keyring)
    templates, keys, staff = Templates(database, epoch, journal), Keys(database, encryption, epoch, journal), Staff()
    blind = BlindIndex(keyring.secret)
    customers = Customers(
        database, keys, blind, journal, jobs, templates, staff, lookups_per_minute=1_000, lookups_per_day=10_000
    )
    calendar = Calendar(ChineseWorkdays(), "Asia/Shanghai")
    cases = Cases(database, keys, journal, templates, staff, customers, calendar, blind)
    room = EvidenceRoom(
        database,
        keys,
        encryption,
        objects,
        journal,
        jobs,
        customers,
        cases,
        public_url="http://files.test",
        upload_limit_bytes=LIMIT,
    )
    callers = _people(staff)
    admin = Caller(Actor("usr_admin", "a", frozenset({Role.ADMIN}), None), Policy.read(seed_data()))
    label = {"zh": "标准", "en": "Standard"}
    for of in ("CUSTOMER", "CASE"):
        category = [{"key": "late_delivery", "label": label}] if of == "CASE" else []
        await templates.publish(
            admin,
            {
                "of": of,
                "key": "standard",
                "label": label,
                "fields": [],
                "categories": category,
                "schedule": [],
            },
        )
    world = World(database, objects, room, cases, customers, jobs, callers, await serving(callers, room))
    manager, supervisor, agent = world.by("manager"), world.by("supervisor"), world.by("agent")
    channels = [{"kind": "PHONE", "value": "13812341234", "label": None}]
    customer = await customers.create(manager, {"name": "苏州精工", "kind": "ORGANISATION", "channels": channels})
    raised = {"customer": customer.id, "category": "late_delivery", "title": "迟交", "description": "货没到"}
    case = await cases.raise_case(manager, raised)
    assert await cases.assign(supervisor, case.id, 1, agent.actor.id, None) is not None
    world.case, world.customer = case.id, customer.id
    yield world
    await world.client.aclose()
    await objects.close()
    await database.close()


def _ground(database: Database) -> tuple[Epoch, Journal, Jobs]:
    return Epoch(database), Journal(database), Jobs(database)


def _people(staff: Staff) -> dict[str, Caller]:
    policy, at, callers = Policy.read(seed_data()), now(), {}
    roles: Mapping[str, tuple[Role, str]] = {
        "manager": (Role.ACCOUNT_MANAGER, NORTH),
        "supervisor": (Role.SUPERVISOR, NORTH),
        "agent": (Role.AGENT, NORTH),
        "clerk": (Role.CLERK, NORTH),
        "stranger": (Role.AGENT, SOUTH),
        "auditor": (Role.AUDITOR, NORTH),
    }
    for name, (role, department) in roles.items():
        user = new_id("usr")
        staff.users[user] = User(
            user, f"{name}@example.com", name, [role], department, "en", UserState.ACTIVE, 1, at, at
        )
        callers[name] = Caller(Actor(user, name, frozenset({role}), department), policy, locale="en")
    return callers
