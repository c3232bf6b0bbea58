"""kill -9 of `anjuan rotate-keys` at random points, beside a running API (P18).

Whatever moment it is killed at, everything stays readable, what is written meanwhile too, and a repeat finishes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import Binary
from pymongo import MongoClient

from infra.local import Endpoints
from service.access.actor import SYSTEM, Caller
from service.crypto import Keyring
from service.crypto.wrapping import peek_key_id
from service.keys.model import key_context
from tests.fixtures.company import Company, environment_of, running_company, settings_on
from tests.graphql.conftest import PDF, assigned, stored_file

ROOT = Path(__file__).parents[2]
OWNERS, KILLS, PATIENCE_SECONDS = 1_000, 3, 60.0


@pytest.fixture(scope="module")
def company(mongo_server: str, s3_server: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company of its own, whose keyring may change, with thousands of data keys more than customers."""
    with running_company(settings_on(tmp_path_factory.mktemp("rotating"), mongo_server, s3_server)) as company:
        _add_owners(company, Keyring.load(company.settings.keyring_path))
        yield company


def _add_owners(company: Company, keyring: Keyring) -> None:
    documents = []
    for number in range(OWNERS):
        owner = f"cus_{number:026d}"
        versions = [
            {"version": v, "wrapped": Binary(keyring.wrap(_material(number, v), context=key_context(owner, v)))}
            for v in (1, 2)
        ]
        documents.append({"_id": owner, "versions": versions})
    with company.inside() as (runner, system):
        runner.run(system.database.collection("keys").insert_many(documents))


def _material(number: int, version: int) -> bytes:
    return number.to_bytes(31, "big") + bytes([version])


def _command(company: Company, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", "rotate-keys", *arguments],
        env=environment_of(company.settings), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _kill_at(company: Company, place: int, former: str) -> None:
    """Runs it until it has wrapped the key at this place anew, or (-1) has written the file, and kills it there."""
    settings, owner = company.settings, f"cus_{max(place, 0):026d}"
    with MongoClient[dict[str, Any]](settings.mongo_url.get_secret_value()) as client:
        keys = client[settings.database]["keys"]

        def is_there() -> bool:
            if place < 0:
                return Keyring.load(settings.keyring_path).current_id != former
            document = keys.find_one({"_id": owner})
            return document is not None and peek_key_id(bytes(document["versions"][0]["wrapped"])) != former

        running, deadline = _command(company), time.monotonic() + PATIENCE_SECONDS
        while not is_there():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline, "it did not get there"
            time.sleep(0.002)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()


def _stored(company: Company) -> list[tuple[str, int, bytes]]:
    """Every wrapped key: holder, version (0 for a file's), text."""
    settings = company.settings
    with MongoClient[dict[str, Any]](settings.mongo_url.get_secret_value()) as client:
        database = client[settings.database]
        keys = [
            (document["_id"], item["version"], bytes(item["wrapped"]))
            for document in database["keys"].find()
            for item in document["versions"]
        ]
        files = database["evidence"].find({"object": {"$exists": True}})
        return keys + [(document["_id"], 0, bytes(document["object"]["wrapped_key"])) for document in files]


def _wrapped_by(company: Company) -> Counter[str]:
    return Counter(peek_key_id(wrapped) for _, _, wrapped in _stored(company))


def _unreadable(company: Company) -> list[str]:
    """What the keyring on disk does not open to exactly what it held before."""
    keyring, wrong = Keyring.load(company.settings.keyring_path), []
    for holder, version, wrapped in _stored(company):
        if holder < f"cus_{OWNERS:026d}" and version:
            opened = keyring.unwrap(wrapped, context=key_context(holder, version))
            if opened != _material(int(holder[4:]), version):
                wrong.append(holder)
    return wrong


class Clerks:
    """Somebody opens files and reads them again all the while."""

    def __init__(self, company: Company) -> None:
        self.company, self.opened, self.troubles = company, dict[str, str](), list[Any]()
        self._headers, self._stopping = company.headers("manager"), threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Clerks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        made = "mutation($i: CreateCustomerInput!) { createCustomer(input: $i) { customer { id name } } }"
        with httpx.Client(timeout=20, headers=self._headers) as client:
            while not self._stopping.is_set():
                name = f"轮换{len(self.opened)}有限公司"
                given = {
                    "kind": "ORGANISATION", "name": name, "channels": [{"kind": "PHONE", "value": "0512-62881234"}],
                    "attributes": [{"key": "industry", "value": "water"}],
                }  # fmt: skip
                answer = client.post(
                    f"{self.company.url}/graphql", json={"query": made, "variables": {"i": given}}
                ).json()
                if "errors" in answer or answer["data"]["createCustomer"]["customer"]["name"] != name:
                    self.troubles.append(answer)
                else:
                    self.opened[answer["data"]["createCustomer"]["customer"]["id"]] = name
                time.sleep(0.1)


def test_rotation_killed_at_random_points_leaves_everything_readable_and_a_repeat_finishes(company: Company) -> None:
    chance = random.Random(18)
    customer = company.new_customer(name="轮换之前有限公司")
    case = assigned(company, customer["id"], "agent")
    evidence = stored_file(company, case["id"])
    (first,) = _wrapped_by(company)
    seen_partly = 0
    with Clerks(company) as clerks:
        # Between the file and everything else, and then at some of the keys
        for place in (-1, *sorted(chance.sample(range(OWNERS), KILLS - 1))):
            _kill_at(company, place, first)
            seen_partly += len(_wrapped_by(company)) > 1
            assert _unreadable(company) == []
            shown = company.data("manager", "query($i: ID!) { customer(id: $i) { name } }", i=customer["id"])
            assert shown["customer"]["name"] == "轮换之前有限公司"
        # Until it is finished: what was cut off first, and nothing is left under a former key
        assert seen_partly >= KILLS - 1, "it was killed in the middle"
        done = _command(company, "--rewrap")
        told, trouble = done.communicate(timeout=60)
        assert done.returncode == 0, trouble.decode()
    assert clerks.troubles == [], "nobody was refused, whatever was killed when"
    assert len(clerks.opened) > 5
    current = Keyring.load(company.settings.keyring_path).current_id
    assert current != first
    assert _wrapped_by(company).keys() == {current}, told.decode()
    assert _unreadable(company) == []
    # And a process that starts now, with nothing in memory, reads all of it
    with company.inside() as (runner, system):
        assert set(clerks.opened) | {customer["id"]} <= _openable(runner, system)
    received = company.client.get(f"{company.url}/files/{evidence['id']}", headers=company.headers("agent"))
    assert received.content == PDF
    leftovers = [path.name for path in company.settings.keyring_path.parent.iterdir() if "keyring" in path.name]
    assert [name for name in leftovers if not name.startswith(".")] == ["keyring.json"]


def _openable(runner: Any, system: Any) -> set[str]:
    runner.run(system.epoch.refresh())
    caller = Caller(SYSTEM, runner.run(system.policies.current()))
    documents = runner.run(system.database.collection("customers").find({}))
    views = runner.run(system.customers.load(caller, [document["_id"] for document in documents]))
    return {view.id for view in views.values() if system.customers._sealed(view.document).values()["name"]}
