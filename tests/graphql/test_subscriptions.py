"""Subscriptions over a real socket: what is delivered, to whom, and how a connection ends (P5, P14, P23)."""

from __future__ import annotations

import json
import socket
import time
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus

from infra.demo import make_content
from service import clock
from service.identity.tokens import LEEWAY_SECONDS
from tests.fixtures.company import PASSWORD, Company
from tests.graphql.conftest import Stores, assigned
from tests.graphql.sockets import PROTOCOL, Client

CASE = "subscription($i: ID!) { caseChanged(id: $i) { id version state title } }"
SHOWN = "subscription($i: ID!) { caseChanged(id: $i) { title customer { name channels { value } } } }"
TEXTS = "subscription($i: ID!) { evidenceTextReady(caseId: $i) { id textState text } }"
UNKNOWN = "cas_01jdm2000000000000000000aa"


@pytest.fixture
def watched(company: Company) -> dict[str, Any]:
    """A case of the agent's, for one test."""
    customer = company.new_customer(name="订阅水务有限公司", channels=[{"kind": "PHONE", "value": "13912345678"}])
    return {**assigned(company, customer["id"], "agent", title="阀门漏水"), "customer": customer}


def say(company: Company, case: str, text: str = "已电话说明") -> None:
    company.change(
        "agent", "recordCaseStep", "case { id }", id=case, kind="COMMUNICATION", direction="TO_CUSTOMER", text=text
    )


def retitle(company: Company, case: dict[str, Any], title: str) -> dict[str, Any]:
    found: dict[str, Any] = company.change(
        "agent", "updateCase", "case { id version }", id=case["id"], version=case["version"], title=title
    )
    return found


def employ(company: Company, roles: list[str]) -> tuple[str, dict[str, Any]]:
    name = f"listener{time.time_ns()}"
    user = company.change(
        "admin", "createUser", "user { id version }", email=f"{name}@example.com", name="临时工",
        roles=roles, department=company.departments["east"], password=PASSWORD,
    )  # fmt: skip
    return name, user


# What is delivered


def test_a_case_comes_as_it_is_and_again_after_each_change(company: Company, watched: dict[str, Any]) -> None:
    with Client(company, "agent") as client:
        client.subscribe(CASE, i=watched["id"])
        seen = client.data()["caseChanged"]
        assert (seen["title"], seen["version"]) == ("阀门漏水", watched["version"])
        changed = retitle(company, watched, "阀门与管道漏水")
        assert client.data()["caseChanged"]["title"] == "阀门与管道漏水"
        say(company, watched["id"])
        assert client.data()["caseChanged"]["version"] == changed["version"], "an event moves no version, and is told"
        assert client.is_silent(), "nothing more until it changes again"
        client.send(id="1", type="complete")
        say(company, watched["id"])
        assert client.is_silent()
        client.subscribe(CASE, i=watched["id"])
        assert client.data()["caseChanged"], "the id may be used again"


def test_each_sees_through_their_own_masks(company: Company, watched: dict[str, Any]) -> None:
    with Client(company, "agent") as agent, Client(company, "auditor") as auditor:
        for client in (agent, auditor):
            client.subscribe(SHOWN, i=watched["id"])
        for change in (None, "又有变化"):
            if change:
                retitle(company, watched, change)
            full, masked = (client.data()["caseChanged"]["customer"] for client in (agent, auditor))
            assert full == {"name": "订阅水务有限公司", "channels": [{"value": "+8613912345678"}]}
            assert masked["name"] != full["name"]
            assert masked["channels"] == [{"value": "139****5678"}]


def test_what_is_delivered_answers_like_a_query(company: Company, watched: dict[str, Any]) -> None:
    fields = """{ __typename id number caseOwner: owner { name } events(first: 5) { nodes { kind text by { name } } }
                  customer { ... on Customer { name maskedFields { field } } } allowedActions nodes { node due } }"""
    with Client(company, "agent") as client:
        client.subscribe(f"subscription($i: ID!) {{ seen: caseChanged(id: $i) {fields} }}", i=watched["id"])
        asked = company.data("agent", f"query($i: ID!) {{ seen: case(id: $i) {fields} }}", i=watched["id"])
        assert client.data() == asked


def test_the_reading_is_journalled_before_it_is_delivered(
    company: Company, stores: Stores, watched: dict[str, Any]
) -> None:
    """P23. Nor does the entry about it wake the subscription again."""

    def readings() -> int:
        where = {"facets.actor": company.users["agent"], "facets.action": "record.read"}
        return len(stores.find("journal", {**where, "facets.records": watched["customer"]["id"]}))

    before = readings()
    with Client(company, "agent") as client:
        client.subscribe(SHOWN, i=watched["id"])
        client.data()
        assert readings() == before + 1
        say(company, watched["id"])
        client.data()
        assert readings() == before + 2
        assert client.is_silent(1.0)
        assert readings() == before + 2


def test_a_file_is_told_once_its_text_was_read(company: Company, watched: dict[str, Any]) -> None:
    scan = next(scan for scan in make_content().scans if scan.media_type == "application/pdf")

    def filed(body: bytes) -> str:
        evidence = company.change(
            "clerk", "createEvidence", "evidence { id uploadUrl }",
            case=case, kind="CONTRACT", fileName="扫描.pdf", mediaType="application/pdf", size=len(body),
        )  # fmt: skip
        headers = {**company.headers("clerk"), "content-type": "application/pdf"}
        assert httpx.put(evidence["uploadUrl"], content=body, headers=headers, timeout=60).status_code == 204
        return str(evidence["id"])

    case = assigned(company, watched["customer"]["id"], "agent")["id"]
    with Client(company, "agent") as agent, Client(company, "auditor") as auditor:
        for client in (agent, auditor):
            client.subscribe(TEXTS, i=case)
        first = filed(scan.draw())
        seen = agent.data(seconds=60)["evidenceTextReady"]
        assert (seen["id"], seen["textState"]) == (first, "READ")
        assert seen["text"]
        assert auditor.data(seconds=60)["evidenceTextReady"]["id"] == first
        # What was read before a subscription began is not told, an unreadable file is.
        agent.subscribe(TEXTS, "2", i=case)
        second = filed(b"%PDF-1.4\nnothing that could be read\n%%EOF\n")
        told = {message["id"]: message["payload"]["data"]["evidenceTextReady"] for message in
                (agent.next_message(60), agent.next_message(60))}  # fmt: skip
        assert {(identifier, file["id"], file["textState"]) for identifier, file in told.items()} == {
            ("1", second, "UNREADABLE"),
            ("2", second, "UNREADABLE"),
        }
        assert agent.is_silent()


# What can't be seen


@pytest.mark.parametrize("document", [CASE, TEXTS])
def test_what_may_not_be_seen_completes_like_what_there_is_not(
    company: Company, watched: dict[str, Any], document: str
) -> None:
    with Client(company, "other_agent") as client:
        for number, case in enumerate((watched["id"], UNKNOWN)):
            client.subscribe(document, str(number), i=case)
            assert client.next_message() == {"id": str(number), "type": "complete"}
        client.subscribe(document, i=watched["customer"]["id"])
        assert client.error() == "INVALID_ID"


@pytest.mark.parametrize("document", [CASE, TEXTS])
def test_a_case_that_moves_out_of_reach_completes(company: Company, watched: dict[str, Any], document: str) -> None:
    with Client(company, "agent") as client:
        client.subscribe(document, i=watched["id"])
        if document is CASE:
            client.data()
        else:
            assert client.is_silent(0.3)
        company.change(
            "supervisor", "assignCase", "case { id }",
            id=watched["id"], version=watched["version"], assignee=company.users["other_agent"],
        )  # fmt: skip
        assert client.next_message() == {"id": "1", "type": "complete"}


# The end of rights (P14)


def test_another_role_ends_an_open_socket(company: Company, watched: dict[str, Any]) -> None:
    name, user = employ(company, ["SUPERVISOR"])
    with Client(company, name) as client:
        client.subscribe(CASE, i=watched["id"])
        client.data()
        company.change("admin", "updateUser", "user { id }", id=user["id"], version=user["version"], roles=["CLERK"])
        began = time.monotonic()
        assert client.close_code() == 4403
        assert time.monotonic() - began < 5


def test_signing_out_and_being_disabled_end_an_open_socket(company: Company) -> None:
    for way in ("signOut", "disableUser"):
        name, user = employ(company, ["SUPERVISOR"])
        with Client(company, name) as client:
            if way == "signOut":
                company.data(name, "mutation { signOut { done } }")
            else:
                company.change("admin", "disableUser", "user { id }", id=user["id"], version=user["version"])
            began = time.monotonic()
            assert client.close_code() == 4401
            assert time.monotonic() - began < 5


def test_what_another_process_revokes_ends_an_open_socket(company: Company, stores: Stores) -> None:
    """The API's own process is not told; it finds out."""
    name, user = employ(company, ["SUPERVISOR"])
    with Client(company, name) as client:
        identity = stores.system.identity

        async def disable() -> None:
            await stores.system.epoch.refresh()
            admin = await identity.caller(company.token("admin"), request_id="req_test", source="192.0.2.7")
            await identity.disable_user(admin, user["id"], user["version"])

        stores.runner.run(disable())
        began = time.monotonic()
        assert client.close_code() == 4401
        assert time.monotonic() - began < 5


def test_a_connection_ends_with_its_token(company: Company, stores: Stores) -> None:
    claims = jwt.decode(company.token("agent"), options={"verify_signature": False})
    living = company.settings.access_token_seconds + LEEWAY_SECONDS

    def issued(seconds_left: int) -> str:
        with clock.clock_set(clock.now() - timedelta(seconds=living - seconds_left)):
            return stores.system.identity.tokens.issue(claims["sub"], claims["sid"])[0]

    with Client(company, token=issued(2)) as client:
        assert client.close_code(5) == 4401
    with Client(company) as client:
        client.send(type="connection_init", payload={"authorization": f"Bearer {issued(-1)}"})
        assert client.close_code() == 4403


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
        assert idler.close_code(20) in (None, 1013)
