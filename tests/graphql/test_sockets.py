"""The socket itself: who is let in, what is understood, what is bounded, and what becomes of a slow reader (P5)."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.fixtures.company import Company
from tests.graphql.sockets import CASE, PROTOCOL, UNKNOWN, Client, employ, say, watched

__all__ = ["watched"]


# The door (P5)


@pytest.mark.parametrize("protocol", [None, "graphql-ws", "graphql-transport-ws2"])
def test_only_one_subprotocol_is_spoken(company: Company, protocol: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Client(company, protocol=protocol)
    assert refused.value.response.status_code == 400


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_pages_of_foreign_origins_are_refused(company: Company, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Client(company, origin=origin)
    assert refused.value.response.status_code == 403


def test_the_apis_own_pages_are_let_in(company: Company) -> None:
    with Client(company, "agent", origin=company.url) as client:
        assert client.socket.subprotocol == PROTOCOL


@pytest.mark.parametrize("message", [
    {"type": "subscribe", "id": "1", "payload": {"query": CASE}}, {"type": "complete", "id": "1"},
])  # fmt: skip
def test_nothing_comes_before_an_authenticated_init(company: Company, message: dict[str, Any]) -> None:
    with Client(company) as client:
        client.send(**message)
        assert client.close_code() == 4401


@pytest.mark.parametrize("payload", [
    None, {}, {"authorization": None}, {"authorization": "Bearer x.y.z"}, {"authorization": ["Bearer"]}, [], "Bearer",
    {"authorization": "Basic YTpi"}, {"Authorization": "Bearer"},
])  # fmt: skip
def test_an_init_without_a_token_that_holds_is_refused(company: Company, payload: Any) -> None:
    with Client(company) as client:
        client.send(type="connection_init", payload=payload)
        assert client.close_code() == 4403


def test_an_init_must_come_soon_and_once(company: Company) -> None:
    with Client(company) as late:
        began = time.monotonic()
        late.send(type="ping")
        assert late.next_message() == {"type": "pong"}
        with Client(company, "agent") as twice:
            twice.send(type="connection_init", payload={"authorization": f"Bearer {company.token('agent')}"})
            assert twice.close_code() == 4429
        assert late.close_code() == 4408
        assert 4 < time.monotonic() - began < 7


@pytest.mark.parametrize("sent", [
    "hello", "[]", '{"id": "1"}', '{"type": "start", "id": "1"}', '{"type": 1}', '{"type": "subscribe", "id": "1"}',
    '{"type": "subscribe", "id": "", "payload": {"query": "{ a }"}}', '{"type": "complete"}', b'{"type": "ping"}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}', "[" * 5_000,
])  # fmt: skip
def test_what_is_no_message_of_the_protocol_ends_the_connection(company: Company, sent: str | bytes) -> None:
    with Client(company, "auditor") as client:
        client.socket.send(sent)
        assert client.close_code() == 4400


def test_a_message_has_a_largest_size(company: Company) -> None:
    with Client(company, "auditor") as client:
        client.send(type="ping", payload={"x": "x" * 60_000})
        assert client.next_message() == {"type": "pong"}
        client.send(type="ping", payload={"x": "x" * 70_000})
        assert client.close_code() == 1009


# What may be subscribed to, and how often


def test_queries_and_mutations_are_not_served_here(company: Company) -> None:
    with Client(company, "agent") as client:
        for document in ("{ viewer { id } }", "mutation { signOut { done } }"):
            client.subscribe(document)
            assert client.error() == "INVALID_QUERY"
        assert company.data("agent", "{ viewer { id } }")["viewer"], "nobody was signed out"
    answer = company.ask("agent", CASE, i=UNKNOWN)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_QUERY", "nor are subscriptions by POST"


def test_documents_are_checked_as_over_http(company: Company, watched: dict[str, Any]) -> None:
    deep = "customer { cases { nodes { " * 9 + "id" + " } } }" * 9
    wrong = {
        "subscription {": "GRAPHQL_PARSE_FAILED",
        "subscription { nothing }": "GRAPHQL_VALIDATION_FAILED",
        "subscription($i: ID!) { a: caseChanged(id: $i) { id } b: caseChanged(id: $i) { id } }": "GRAPHQL_VALIDATION_FAILED",
        "subscription { caseChanged { id } }": "GRAPHQL_VALIDATION_FAILED",
        "subscription($n: ID!) { caseChanged(id: $n) { id } }": "GRAPHQL_VALIDATION_FAILED",
        f"subscription($i: ID!) {{ caseChanged(id: $i) {{ {deep} }} }}": "TOO_COSTLY",
        f"subscription($i: ID!) {{ caseChanged(id: $i) {{ {'id ' * 2_500} }} }}": "GRAPHQL_PARSE_FAILED",
        f"subscription($i: ID!) {{ caseChanged(id: $i) {{ id }} }} #{'x' * 20_000}": "TOO_LARGE",
        "subscription($i: ID!) { caseChanged(id: $i) { customer { cases(first: 200) { nodes { events(first: 200) { nodes "
        "{ by { id name email department { id key } } text kind happenedAt layer direction id } } } } } } }": "TOO_COSTLY",
    }  # fmt: skip
    with Client(company, "agent") as client:
        for document, code in wrong.items():
            client.subscribe(document, i=watched["id"])
            assert client.error() == code, document[:80]
        client.send(id="1", type="subscribe", payload={"query": f"{CASE} query Other {{ viewer {{ id }} }}",
                                                       "variables": {"i": watched["id"]}})  # fmt: skip
        assert client.error() == "GRAPHQL_VALIDATION_FAILED", "which of the two?"
        client.subscribe(CASE, i=watched["id"])
        assert client.data()["caseChanged"]["id"] == watched["id"], "the connection is none the worse"


def test_an_id_in_use_ends_the_connection(company: Company, watched: dict[str, Any]) -> None:
    with Client(company, "agent") as client:
        client.subscribe(CASE, i=watched["id"])
        client.subscribe(CASE, i=watched["id"])
        assert client.close_code() == 4409


def test_a_connection_has_so_many_subscriptions_and_no_more(company: Company, watched: dict[str, Any]) -> None:
    with Client(company, "agent") as client:
        for number in range(20):
            client.subscribe(CASE, str(number), i=watched["id"])
            client.data(str(number))
        client.subscribe(CASE, "20", i=watched["id"])
        assert client.error("20") == "TOO_MANY"
        client.send(id="7", type="complete")
        client.subscribe(CASE, "20", i=watched["id"])
        client.data("20")
        say(company, watched["id"])
        told = {client.next_message()["id"] for _ in range(20)}
        assert told == {str(number) for number in range(21)} - {"7"}


def test_a_person_has_so_many_connections_and_no_more(company: Company) -> None:
    name, _ = employ(company, ["CLERK"])
    token = company.token(name)
    clients = [Client(company, token=token) for _ in range(10)]
    with Client(company) as eleventh:
        eleventh.send(type="connection_init", payload={"authorization": f"Bearer {token}"})
        assert eleventh.close_code() == 4429
    with Client(company, "auditor"):
        pass  # others are not concerned
    clients.pop().close()
    company.eventually(lambda: _is_admitted(company, token), seconds=5)
    for client in clients:
        client.close()


def _is_admitted(company: Company, token: str) -> bool:
    with Client(company) as client:
        client.send(type="connection_init", payload={"authorization": f"Bearer {token}"})
        return bool(json.loads(client.socket.recv(5))["type"] == "connection_ack") if client else False


# A slow reader


def _ended(company: Company, code: int) -> float:
    lines = company.client.get(f"{company.url}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f'anjuan_websocket_ended_total{{code="{code}"}}')]
    return float(found[0].split()[-1]) if found else 0.0


def _is_held(company: Company, port: int) -> bool:
    """Whether the server's side of a connection still exists, with all that is buffered for it (Linux)."""
    table = Path("/proc/net/tcp")
    ends = f":{company.settings.port:04X} 0100007F:{port:04X}"
    return table.exists() and any(ends in line for line in table.read_text().splitlines())


def test_who_does_not_read_is_cut_off_and_nobody_else(company: Company, watched: dict[str, Any]) -> None:
    # Given a case whose events are a megabyte, somebody who reads, and somebody who doesn't
    for _ in range(18):
        say(company, watched["id"], "长" * 20_000)
    big = "subscription($i: ID!) { caseChanged(id: $i) { events(first: 200) { nodes { text } } } }"
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", company.settings.port))
    cut_off = _ended(company, 1013)
    with Client(company, "agent") as reader, Client(company, "agent", sock=narrow, max_queue=1) as idler:
        idler.subscribe(big, i=watched["id"])
        reader.subscribe(CASE, i=watched["id"])
        reader.data()
        assert _is_held(company, narrow.getsockname()[1]) or not Path("/proc/net/tcp").exists()
        # When the case changes
        began = time.monotonic()
        for _ in range(4):
            say(company, watched["id"], "又")
            reader.data()
        # Then the idler is gone soon, with what was meant for it
        company.eventually(lambda: _ended(company, 1013) == cut_off + 1, seconds=10)
        assert time.monotonic() - began < 9
        say(company, watched["id"])
        reader.data()
        company.eventually(lambda: not _is_held(company, narrow.getsockname()[1]), seconds=5)
        assert idler.close_code(20) in (None, 1013)
