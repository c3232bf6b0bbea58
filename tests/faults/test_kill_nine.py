"""kill -9 of mongod, the worker and the API in the middle of 500 writes (P27).

What was acknowledged is there, with its revision, its audit entry and its index document; what was tried again
under its idempotency key was done once. The servers here are the test's own, so that they may die.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local import Endpoints, LocalServers, Ports
from tests.fixtures.company import CASE_FIELDS, CUSTOMER_FIELDS, Company, running_company, settings_on

WRITERS, CUSTOMERS = 16, 200
RENAMED = RAISED = range(150)
WRITES = CUSTOMERS + len(RENAMED) + len(RAISED)
PATIENCE_SECONDS, QUIET_SECONDS = 75.0, 30.0


class Servers:
    """A mongod that can be killed and started again where it was."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._ports = directory, Ports.free()
        self._running = self._made()

    def _made(self) -> LocalServers:
        return LocalServers(self._directory, ports=self._ports, objects=False)

    def start(self) -> Endpoints:
        """Starts it, on the same data and port each time."""
        return self._running.start()

    def kill(self) -> None:
        """SIGKILL; nothing is flushed."""
        os.kill(self._running.pids()["mongod"], signal.SIGKILL)

    def start_again(self) -> None:
        """After `kill`."""
        self._running.stop()
        self._running = self._made()
        self._running.start()

    def stop(self) -> None:
        """At the end."""
        self._running.stop()


@dataclass
class Writer:
    """Sends each write until it is acknowledged: same key, same input."""

    company: Company
    headers: dict[str, str]
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def life(self, number: int) -> None:
        """A customer is opened, given a case, and renamed."""
        with httpx.Client(timeout=20, headers=self.headers) as client:
            given = {
                "kind": "ORGANISATION",
                "name": f"断电{number:03d}有限公司",
                "channels": [{"kind": "PHONE", "value": f"0512-6288{number:04d}"}],
                **CUSTOMER_FIELDS,
            }
            customer = self._write(client, f"open-{number}", "createCustomer", "customer", given)
            if number in RAISED:
                case = {"customer": customer["id"], "title": f"停机{number:03d}", "description": "忽然停机"}
                self._write(client, f"raise-{number}", "raiseCase", "case", {**case, **CASE_FIELDS})
            if number in RENAMED:
                change = {"id": customer["id"], "version": 1, "name": f"复电{number:03d}有限公司"}
                self._write(client, f"rename-{number}", "updateCustomer", "customer", change)

    def _write(
        self, client: httpx.Client, key: str, mutation: str, returns: str, values: dict[str, Any]
    ) -> dict[str, Any]:
        kind = f"{mutation[0].upper()}{mutation[1:]}Input"
        document = (
            f"mutation($i: {kind}!) {{ {mutation}(input: $i)"
            f" {{ {returns} {{ id version }} userErrors {{ code field }} }} }}"
        )
        body = {"query": document, "variables": {"i": {**values, "idempotencyKey": key}}}
        began = time.monotonic()
        while True:
            payload = self._answer(client, body, mutation)
            if payload is not None:
                break
            assert time.monotonic() - began < PATIENCE_SECONDS, f"{key} was never acknowledged: {self.troubles}"
            time.sleep(0.1)
        assert payload["userErrors"] == [], (key, payload)
        changed: dict[str, Any] = payload[returns]
        with self._lock:
            self.acknowledged[key] = changed
        return changed

    def _answer(self, client: httpx.Client, body: dict[str, Any], mutation: str) -> dict[str, Any] | None:
        """The payload; None when the write may or may not have been done."""
        try:
            answer = client.post(f"{self.company.url}/graphql", json=body).json()
        except httpx.TransportError as error:
            self._note(type(error).__name__)
            return None
        if "errors" in answer:
            code = answer["errors"][0]["extensions"]["code"]
            assert code == "INTERNAL", answer
            self._note(code)
            return None
        payload: dict[str, Any] = answer["data"][mutation]
        return payload

    def _note(self, trouble: str) -> None:
        with self._lock:
            self.troubles[trouble] += 1


def _kill(company: Company, name: str) -> None:
    process = company.processes[name]
    assert process.poll() is None, f"{name} had ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Aftermath:
    """What is left when everything runs again and all writes were acknowledged."""

    company: Company
    writer: Writer
    acknowledged_while: dict[str, list[int]]

    def ids(self, kind: str) -> set[str]:
        """Ids acknowledged under the keys of one kind of write."""
        return {changed["id"] for key, changed in self.writer.acknowledged.items() if key.startswith(f"{kind}-")}


@pytest.fixture(scope="module")
def aftermath(s3_server: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """500 writes by 16 writers, with three deaths in between."""
    servers = Servers(tmp_path_factory.mktemp("mortal"))
    try:
        settings = settings_on(tmp_path_factory.mktemp("company"), servers.start().mongo_url, s3_server)
        with running_company(settings) as company:
            writer = Writer(company, company.headers("manager"))
            yield Aftermath(company, writer, _write_through_three_deaths(servers, company, writer))
    finally:
        servers.stop()


def _write_through_three_deaths(servers: Servers, company: Company, writer: Writer) -> dict[str, list[int]]:
    """Returns how many writes were acknowledged at each death, and just before the dead was started again."""
    acknowledged: dict[str, list[int]] = {}
    with ThreadPoolExecutor(WRITERS) as pool:
        lives = [pool.submit(writer.life, number) for number in range(CUSTOMERS)]

        def until(acknowledged: int) -> None:
            while len(writer.acknowledged) < acknowledged and not all(life.done() for life in lives):
                time.sleep(0.002)

        def dead(name: str) -> None:
            at_death = len(writer.acknowledged)
            time.sleep(0.5)
            acknowledged[name] = [at_death, len(writer.acknowledged)]

        until(WRITES // 5)
        servers.kill()
        dead("mongod")
        servers.start_again()
        until(2 * WRITES // 5)
        _kill(company, "worker")
        dead("worker")
        company.start("worker")
        until(3 * WRITES // 5)
        _kill(company, "serve")
        dead("serve")
        company.start("serve")
        for life in lives:
            life.result()
    company.wait_until_ready()
    return acknowledged


def _pages(company: Company, person: str, connection: str, **variables: Any) -> list[dict[str, Any]]:
    """All nodes of a connection, page by page."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        answer = company.data(person, connection, after=after, **variables)
        (page,) = answer.values()
        found += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


def test_the_deaths_came_in_the_middle_of_the_writes(aftermath: Aftermath) -> None:
    assert len(aftermath.writer.acknowledged) == WRITES
    for name, (at_death, before_restart) in aftermath.acknowledged_while.items():
        assert 0 < at_death <= before_restart < WRITES, name
        if name != "worker":  # writes go on without it
            on_their_way = before_restart - at_death
            assert on_their_way <= WRITERS, f"nothing that was sent later is acknowledged without {name}"
    assert aftermath.writer.troubles, "writers were cut off and tried again"


def test_every_acknowledged_write_is_there_and_none_twice(aftermath: Aftermath) -> None:
    with aftermath.company.inside() as (runner, system):

        def stored(collection: str) -> list[dict[str, Any]]:
            return runner.run(system.database.collection(collection).find({}, projection={"version": 1}))

        customers, cases = stored("customers"), stored("cases")
        keys = stored("keys")
    assert {customer["_id"] for customer in customers} == aftermath.ids("open")
    assert len(customers) == len(keys) == CUSTOMERS, "a retry under the same key opened no second file"
    assert {case["_id"] for case in cases} == aftermath.ids("raise")
    assert len(cases) == len(RAISED)
    renamed = aftermath.ids("rename")
    assert {customer["_id"]: customer["version"] for customer in customers} == {
        customer: 2 if customer in renamed else 1 for customer in aftermath.ids("open")
    }


@pytest.mark.parametrize(
    ("action", "kind", "version"),
    [("customer.create", "open", 1), ("customer.update", "rename", 2), ("case.raise", "raise", 1)],
)
def test_each_write_has_exactly_one_audit_entry(aftermath: Aftermath, action: str, kind: str, version: int) -> None:
    entries = _pages(
        aftermath.company,
        "auditor",
        """query($after: String, $actions: [String!]) {
             auditEntries(filter: {actions: $actions}, first: 200, after: $after) {
               edges { node { records details } } pageInfo { hasNextPage endCursor } } }""",
        actions=[action],
    )
    (prefix,) = {record[:4] for record in aftermath.ids(kind)}
    written = Counter(record for entry in entries for record in entry["records"] if record.startswith(prefix))
    assert written == Counter(aftermath.ids(kind))
    assert all(f'"version":{version}' in entry["details"] for entry in entries)


def test_each_renamed_customer_has_both_its_revisions(aftermath: Aftermath) -> None:
    for key, customer in aftermath.writer.acknowledged.items():
        if not key.startswith("rename-"):
            continue
        number = int(key.removeprefix("rename-"))
        found = aftermath.company.data(
            "manager",
            "query($c: ID!) { customer(id: $c) { revisions { edges { node { version customer { name } } } } } }",
            c=customer["id"],
        )["customer"]["revisions"]["edges"]
        shown = [(edge["node"]["version"], edge["node"]["customer"]["name"]) for edge in found]
        assert shown == [(2, f"复电{number:03d}有限公司"), (1, f"断电{number:03d}有限公司")]


@pytest.mark.parametrize(
    ("connection", "word", "kind"),
    [("searchCases", "停机", "raise"), ("customers", "有限公司", "open"), ("customers", "复电", "rename")],
)
def test_each_write_is_found_once_the_index_is_quiet(
    aftermath: Aftermath, connection: str, word: str, kind: str
) -> None:
    document = (
        f"query($q: String!, $after: String) {{ {connection}(query: $q, first: 200, after: $after)"
        " { edges { node { id } } pageInfo { hasNextPage endCursor } } }"
    )
    expected = sorted(aftermath.ids(kind))

    def found() -> list[str]:
        return sorted(node["id"] for node in _pages(aftermath.company, "manager", document, q=word))

    aftermath.company.eventually(lambda: found() == expected, seconds=QUIET_SECONDS, every=0.5)


def test_no_customer_is_found_by_a_name_that_it_no_longer_has(aftermath: Aftermath) -> None:
    document = "query($q: String!) { customers(query: $q, first: 200) { edges { node { id } } } }"
    still_named_so = aftermath.ids("open") - aftermath.ids("rename")

    def found() -> set[str]:
        edges = aftermath.company.data("manager", document, q="断电")["customers"]["edges"]
        return {edge["node"]["id"] for edge in edges}

    aftermath.company.eventually(lambda: found() == still_named_so, seconds=QUIET_SECONDS, every=0.5)
