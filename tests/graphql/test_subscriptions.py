"""Subscriptions over a real socket: what is delivered, to whom, and how a connection ends (P5, P14, P23)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from infra.demo import make_content
from service import clock
from service.identity.tokens import LEEWAY_SECONDS
from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, assigned
from tests.graphql.sockets import CASE, UNKNOWN, Client, employ, retitle, say, watched

__all__ = ["watched"]

SHOWN = "subscription($i: ID!) { caseChanged(id: $i) { title customer { name channels { value } } } }"
TEXTS = "subscription($i: ID!) { evidenceTextReady(caseId: $i) { id textState text } }"


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


def test_the_readmes_example_follows_a_case(company: Company, watched: dict[str, Any]) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    program = text.partition("cat > follow.py <<'END'\n")[2].partition("\nEND\n")[0]
    command = [sys.executable, "-c", program, company.url, company.token("agent"), watched["id"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONUNBUFFERED": "1"}) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline()) == {"type": "connection_ack"}
        seen = [json.loads(following.stdout.readline())]
        retitle(company, watched, "说明中的例子")
        seen.append(json.loads(following.stdout.readline()))
        following.terminate()
    versions = [message["payload"]["data"]["caseChanged"]["version"] for message in seen]
    assert versions == [watched["version"], watched["version"] + 1]


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
