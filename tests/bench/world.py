"""The world that is measured: a real mongod and SeaweedFS, the product's API as a process, 10,000 customers.

The customers are filled in by a bulk loader of our own (`sealing`): stored as `Customers.create` stores them, but
unchecked and without entries in the journal; the product reads each of them before anything is measured. No worker
runs while something is measured, so that one server process has the machine's other core to itself with the
loader and mongod.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
from pydantic import SecretStr
from pymongo import MongoClient

from infra.local import LocalServers, Ports
from service.config import Settings
from service.crypto import Keyring
from service.system import open_system
from service.templates.model import TemplateOf
from tests.bench import workloads
from tests.bench.sealing import File, Sealer
from tests.fixtures.company import Company, company_settings, found_company
from tests.fixtures.engines import free_port

MANAGER = "manager"
PLAIN = "plain_customers"
_AT_ONCE = 500


@dataclass
class World:
    """Everything that runs. `bare_url` is the address of the bare servers."""

    company: Company
    ids: list[str]
    bare_url: str
    versions: dict[str, str]
    fill_seconds: float
    scratch: Path
    pids: dict[str, int]
    file: File
    cursor_length: int = 64

    @property
    def settings(self) -> Settings:
        """The system's."""
        return self.company.settings

    def pid(self, part: str) -> int:
        """Process id of `product`, `bare` or `mongod`."""
        return self.pids[part]

    def sign_in(self) -> dict[str, str]:
        """Fresh headers of the bench actor: a token lives ten minutes."""
        self.company._tokens.clear()
        return self.company.headers(MANAGER)

    def database(self) -> MongoClient[dict[str, Any]]:
        """A client for counting; close it."""
        assert self.settings.mongo_url is not None
        return MongoClient(self.settings.mongo_url.get_secret_value())

    def counts(self) -> tuple[int, int]:
        """How many customers, and how many entries of reads, are stored."""
        with self.database() as client:
            found = client[self.settings.database]
            return (
                found["customers"].count_documents({}),
                found["journal"].count_documents({"facets.action": "record.read"}),
            )


async def _founded(settings: Settings) -> tuple[dict[str, str], dict[str, str], File]:
    system = open_system(settings, writes_index=True)
    try:
        users, departments = await found_company(system)
        await system.indexer.prepare()
        template = await system.templates.newest(TemplateOf.CUSTOMER, "standard")
        assert template is not None
        return users, departments, File(users[MANAGER], departments["east"], template.id)
    finally:
        await system.close()


def _filled(settings: Settings, file: File, customers: int) -> list[str]:
    """The ids of so many customers, sealed and with their blind tokens; no entries in the journal."""
    assert settings.mongo_url is not None
    sealer, ids = Sealer(Keyring.load(settings.keyring_path), file), list[str]()
    with MongoClient[dict[str, Any]](settings.mongo_url.get_secret_value()) as client:
        database = client[settings.database]
        for start in range(0, customers, _AT_ONCE):
            count = min(_AT_ONCE, customers - start)
            pairs = [sealer.sealed(workloads.person(start + index)) for index in range(count)]
            database["keys"].insert_many([key for key, _ in pairs])
            database["customers"].insert_many([document for _, document in pairs])
            ids += [document["_id"] for _, document in pairs]
    return ids


def _plain_copy(world: World) -> None:
    """What the product answers for every customer, as the plain server's collection: the same number of bytes."""
    headers, after, copied = world.sign_in(), None, 0
    with world.database() as client, httpx.Client(timeout=60) as http:
        plain = client[world.settings.database][PLAIN]
        plain.create_index([("owner", 1), ("_id", -1)])
        while True:
            body = workloads.body(workloads.LIST, {"first": 200, "after": after})
            asked = {**headers, "content-type": "application/json"}
            page = orjson.loads(http.post(f"{world.company.url}/graphql", content=body, headers=asked).content)
            found = page["data"]["customers"]
            plain.insert_many([_plain(node, world.company.users[MANAGER]) for node in found["nodes"]])
            copied += len(found["nodes"])
            after = found["pageInfo"]["endCursor"]
            if not found["pageInfo"]["hasNextPage"]:
                break
    if copied != len(world.ids):
        raise LookupError(f"the list has {copied} customers of {len(world.ids)}")


def _plain(node: dict[str, Any], owner: str) -> dict[str, Any]:
    for name in ("createdAt", "updatedAt"):
        node[name] = datetime.fromisoformat(node[name])
    return {"_id": node["id"], "owner": owner, **node}


@contextlib.contextmanager
def _bare(settings: Settings, file: File, port: int) -> Iterator[int]:
    assert settings.mongo_url is not None
    environment = {
        **os.environ,
        "BENCH_MONGO_URL": settings.mongo_url.get_secret_value(),
        "BENCH_DATABASE": settings.database,
        "BENCH_KEYRING": str(settings.keyring_path),
        "BENCH_FILE": f"{file.owner} {file.department} {file.template}",
        "BENCH_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.bare"], env=environment)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/ready")
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the bare servers did not start")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def running_world(directory: Path, customers: int, driver: Any) -> Iterator[World]:
    """Starts, founds, fills; stops everything by its pid at the end."""
    servers = LocalServers(directory / "servers", ports=Ports.free(), mongo_cache_gigabytes=1.0)
    with servers as endpoints:
        (directory / "data").mkdir()
        settings = company_settings(
            directory / "data",
            env="production",
            cost_per_minute=2**60,
            mongo_url=SecretStr(endpoints.mongo_url),
            mongo_driver=driver,
            s3_endpoint=endpoints.s3_endpoint,
            s3_access_key=SecretStr(endpoints.s3_access_key),
            s3_secret_key=SecretStr(endpoints.s3_secret_key),
        )
        Keyring.create(settings.keyring_path)
        users, departments, file = asyncio.run(_founded(settings))
        began = time.perf_counter()
        ids = _filled(settings, file, customers)
        took = time.perf_counter() - began
        company = Company(settings.url, settings, users, departments)
        port = free_port()
        scratch = directory / "scratch"
        scratch.mkdir(mode=0o700)
        try:
            company.start("serve")
            company.wait_until_ready()
            pids = {**servers.pids(), "product": company.processes["serve"].pid}
            world = World(company, ids, f"http://127.0.0.1:{port}", servers.versions(), took, scratch, pids, file)
            _plain_copy(world)
            with _bare(settings, file, port) as pids["bare"]:
                yield world
        finally:
            company.stop()
