"""Connections come and go by the thousand, and nothing of them stays (P5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio
from starlette.applications import Starlette

from schema.http import conversation, websocket
from service.app import create_app
from tests.fixtures.company import Company
from tests.graphql.conftest import assigned
from tests.graphql.sockets import PROTOCOL, Client

CASE = "subscription($i: ID!) { caseChanged(id: $i) { id version } }"
OPENS, TOGETHER = 10_000, 30
WAYS = ("leaves", "completes", "breaks", "never begins")
PEOPLE = ("auditor", "compliance", "agent", "manager", "supervisor", "handling_supervisor")


@pytest.fixture(scope="module")
def watched(company: Company) -> dict[str, Any]:
    """A case that many look at."""
    customer = company.new_customer(name="川流水务有限公司")
    found: dict[str, Any] = assigned(company, customer["id"], "agent")
    return found


@pytest_asyncio.fixture
async def app(company: Company) -> AsyncIterator[Starlette]:
    """The application in this process, on the company's stores."""
    app = create_app(company.settings)
    async with app.router.lifespan_context(app):
        yield app


class Line:
    """What a server is to the application: one connection, without a network."""

    def __init__(self, app: Starlette) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "scheme": "ws",
            "server": ("127.0.0.1", 80), "client": ("192.0.2.7", 4711), "root_path": "", "path": "/graphql",
            "raw_path": b"/graphql", "query_string": b"", "headers": [], "subprotocols": [PROTOCOL], "state": {},
            "extensions": {},
        }  # fmt: skip
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(scope, self._to_app.get, self._from_app.put))

    def say(self, **message: Any) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            event = await self._from_app.get()
        return json.loads(event["text"]) if event["type"] == "websocket.send" else event

    def fills_up(self) -> None:
        """From now on one more message is taken, and nobody takes it from there."""
        self._from_app._maxsize = 1  # type: ignore[attr-defined]

    def waiting(self) -> int:
        return self._from_app.qsize()

    async def leave(self) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task


async def visit(app: Starlette, case: str, token: str, way: str) -> None:
    """One connection, which ends in one of the ways that there are."""
    line = Line(app)
    assert (await line.hear())["type"] == "websocket.accept"
    if way != "never begins":
        line.say(type="connection_init", payload={"authorization": f"Bearer {token}"})
        assert await line.hear() == {"type": "connection_ack"}
        line.say(type="subscribe", id="1", payload={"query": CASE, "variables": {"i": case}})
        if way != "breaks":
            assert (await line.hear())["type"] == "next"
        if way == "completes":
            line.say(type="complete", id="1")
            line.say(type="nonsense")
            assert (await line.hear())["code"] == 4400
    await line.leave()


def tasks() -> list[str]:
    """What is under way, by the names of the coroutines: the driver's own tasks are begun anew now and then."""
    return sorted(str(getattr(task.get_coro(), "__qualname__", "")) for task in asyncio.all_tasks())


async def at_rest(app: Starlette, case: str, token: str) -> list[str]:
    """The tasks that there are once the connections to the stores are open."""
    await visit(app, case, token, "leaves")
    await asyncio.sleep(0.1)
    return tasks()


async def settled(before: list[str]) -> list[str]:
    """The tasks that are left once the driver has put its connections away."""
    for _ in range(100):
        if tasks() == before:
            break
        await asyncio.sleep(0.05)
    return tasks()


async def test_ten_thousand_opens_and_closes_leave_no_task_behind(
    company: Company, watched: dict[str, Any], app: Starlette
) -> None:
    tokens = [company.token(person) for person in PEOPLE]
    numbers = iter(range(OPENS))

    async def come_and_go() -> None:
        for number in numbers:
            await visit(app, watched["id"], tokens[number % len(tokens)], WAYS[number % len(WAYS)])

    before = await at_rest(app, watched["id"], tokens[0])
    await asyncio.gather(*(come_and_go() for _ in range(TOGETHER)))
    assert next(numbers, None) is None
    assert await settled(before) == before


async def test_a_process_has_so_many_connections_and_no_more(
    company: Company, watched: dict[str, Any], app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CONNECTIONS_MOST", 2)
    lines = [Line(app) for _ in range(2)]
    for line in lines:
        assert (await line.hear())["type"] == "websocket.accept"
    third = Line(app)
    assert (await third.hear())["type"] == "websocket.close", "before the handshake"
    await third.task
    await lines.pop().leave()
    await visit(app, watched["id"], company.token("auditor"), "leaves")
    await lines.pop().leave()


async def test_a_line_that_takes_nothing_is_given_up_with_all_its_subscriptions(
    company: Company, watched: dict[str, Any], app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "SEND_SECONDS", 0.2)
    before = await at_rest(app, watched["id"], company.token("auditor"))
    line = Line(app)
    await line.hear()
    line.say(type="connection_init", payload={"authorization": f"Bearer {company.token('auditor')}"})
    await line.hear()
    line.fills_up()
    for number in range(20):
        line.say(type="subscribe", id=str(number), payload={"query": CASE, "variables": {"i": watched["id"]}})
    async with asyncio.timeout(10):
        await line.task
    kept = [await line.hear() for _ in range(line.waiting())]
    assert [message["type"] for message in kept] == ["next"], "one was on its way, none is kept"
    assert await settled(before) == before


def test_hundreds_of_real_connections_leave_the_server_as_it_was(company: Company, watched: dict[str, Any]) -> None:
    def visit(number: int) -> None:
        with Client(company, PEOPLE[number % len(PEOPLE)]) as client:
            client.subscribe(CASE, i=watched["id"])
            client.data()
            if number % 2:
                client.socket.socket.close()  # without a word

    for person in PEOPLE:
        company.token(person)
    with ThreadPoolExecutor(10) as visitors:
        list(visitors.map(visit, range(300)))
    company.eventually(lambda: _metric(company, "anjuan_websocket_connections") == 0, seconds=10)


def _metric(company: Company, name: str) -> float:
    lines = company.client.get(f"{company.url}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))
