"""Requests that can't be answered: cursors, ids, sizes, documents; and the unexpected, masked (P6, P7, P13)."""

from __future__ import annotations

import json
import re
import socket
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service.access.actor import Actor, Caller
from service.access.policy import Role
from service.clock import clock_set, new_id, now
from tests.fixtures.company import Company, dumped
from tests.graphql.conftest import Stores, new_phone

# Cursors


PAGE = "query($a: String, $o: CustomerOrder!) { customers(first: 1, after: $a, orderBy: $o) { nodes { id } pageInfo { endCursor hasNextPage } } }"


def _cursor(company: Company) -> str:
    company.new_customer()
    company.new_customer()
    found = company.data("manager", PAGE, o="CREATED_AT_DESC")["customers"]["pageInfo"]
    assert found["hasNextPage"]
    return str(found["endCursor"])


def _refused_cursor(company: Company, cursor: str, order: str = "CREATED_AT_DESC") -> None:
    answer = company.ask("manager", PAGE, a=cursor, o=order)
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("INVALID_CURSOR", "after")


def test_a_forged_cursor_is_refused(company: Company) -> None:
    cursor = _cursor(company)
    assert company.data("manager", PAGE, a=cursor, o="CREATED_AT_DESC")["customers"]["nodes"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(0, len(cursor) - 1, 7):
        other = letters[(letters.index(cursor[place]) + 1) % 64]
        _refused_cursor(company, cursor[:place] + other + cursor[place + 1 :])
    for forged in ("", "A", "====", cursor[:-4], cursor + "AAAA", "你好", "eyJpZCI6MX0", "x" * 100_000, "\x00"):
        _refused_cursor(company, forged)


def test_a_cursor_is_refused_under_another_question(company: Company) -> None:
    """What a cursor was made for has passed: it does not open another list, nor the same in another order."""
    cursor = _cursor(company)
    _refused_cursor(company, cursor, "CREATED_AT_ASC")
    for question in ("cases(after: $a)", "users(after: $a)", 'searchCases(query: "水泵", after: $a)'):
        answer = company.ask("manager", f"query($a: String!) {{ {question} {{ nodes {{ id }} }} }}", a=cursor)
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


def test_a_cursor_of_yesterday_is_refused(company: Company, stores: Stores) -> None:
    """Made as the API makes them, by the same keyring, but a day ago."""
    last = company.new_customer()["id"]
    company.new_customer()
    manager = Actor(company.users["manager"], "", frozenset({Role.ACCOUNT_MANAGER}), None)
    caller = Caller(manager, stores.runner.run(stores.system.policies.current()))
    made = {}
    for age in (timedelta(hours=23), timedelta(hours=25)):
        with clock_set(now() - age):
            made[age] = stores.system.cursors.write(caller, ["customers", None, {}, "_id"], [last, last])
    young, old = made.values()
    assert company.data("manager", PAGE, a=young, o="CREATED_AT_ASC")["customers"]["nodes"]
    _refused_cursor(company, old, "CREATED_AT_ASC")


@pytest.mark.parametrize("first", [0, -1, 201, 2_147_483_647])
def test_a_page_has_bounds(company: Company, first: int) -> None:
    answer = company.ask("manager", "query($f: Int!) { customers(first: $f) { nodes { id } } }", f=first)
    error = answer["errors"][0]["extensions"]
    assert (error["code"], error["field"]) == ("VALIDATION", "first")


@pytest.mark.parametrize("name", ["customer", "case", "evidence"])
def test_an_id_of_another_type_is_no_id_of_this_one(company: Company, customer: dict[str, Any], name: str) -> None:
    wrong = customer["id"] if name != "customer" else new_id("cas")
    answer = company.ask("manager", f"query($i: ID!) {{ {name}(id: $i) {{ id }} }}", i=wrong)
    error = answer["errors"][0]["extensions"]
    assert (error["code"], error["field"], answer["data"]) == ("INVALID_ID", "id", {name: None})


# The request itself


def _posted(company: Company, body: bytes, **headers: str) -> httpx.Response:
    given = {**company.headers("manager"), "content-type": "application/json", **headers}
    return httpx.post(f"{company.url}/graphql", content=body, headers=given, timeout=60)


def test_a_document_over_16_kb_is_refused(company: Company) -> None:
    query = "{ viewer { id } }"
    fitting = query + " " * (16_384 - len(query))
    assert _posted(company, json.dumps({"query": fitting}).encode()).json()["data"]["viewer"]["id"]
    answer = _posted(company, json.dumps({"query": fitting + " "}).encode())
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (413, "TOO_LARGE")


def test_a_body_over_1_mb_is_refused_before_it_is_buffered(company: Company, stores: Stores) -> None:
    before = stores.everything()
    document = "mutation($i: CreateCustomerInput!) { createCustomer(input: $i) { customer { id } } }"
    values = {"kind": "PERSON", "name": "甲", "channels": [], "tags": ["x" * 1_000_000]}
    body = json.dumps({"query": document, "variables": {"i": values}}).encode()
    answer = _posted(company, body)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (413, "TOO_LARGE")
    # Announced, it is refused while the body is still on its way.
    parts = urlsplit(company.url)
    head = f"POST /graphql HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.sendall(head.encode() + b"{")
        assert b" 413 " in connection.recv(4096)
    assert stores.everything() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"query": 7}', b'{"query": "{ viewer { id } }", "variables": []}',
     b'{"query": "{ viewer { id } }", "operationName": 7}', b'{"variables": {}}', b'{"query": "\\ud800"}'],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(company: Company, body: bytes) -> None:
    answer = _posted(company, body)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "INVALID_QUERY")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{ viewer { id }", "GRAPHQL_PARSE_FAILED"),
        ("{ viewer { passwordHash } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ " + "a: __typename " * 1_000 + "}", "GRAPHQL_PARSE_FAILED"),
        ("mutation { raiseCase(input: {title: 7}) { case { id } } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_document_that_can_not_be_is_refused(company: Company, document: str, code: str) -> None:
    answer = company.ask("manager", document)
    assert answer["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize(
    "document",
    [
        '{ cases(filter: {raisedFrom: "0001-01-01T00:00:00+14:00"}) { nodes { id } } }',
        '{ cases(filter: {raisedFrom: "9999-12-31T23:59:59-14:00"}) { nodes { id } } }',
        '{ cases(filter: {number: "\\u0000"}) { nodes { id } } }',
        '{ customers(filter: {phone: {eq: "\\u0000"}}) { nodes { id } } }',
        '{ customers(filter: {tag: "$ne"}) { nodes { id } } }',
        '{ users(query: "(((", first: 1) { nodes { id } } }',
    ],
)
def test_odd_values_are_no_surprise(company: Company, document: str) -> None:
    answer = company.ask("manager", document)
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    assert "INTERNAL" not in codes


def test_the_unexpected_is_masked_and_logged_without_values(company: Company, stores: Stores) -> None:
    """P7: neither exception text nor stored values nor a literal of the query."""
    # Given a customer whose contact section somebody corrupted in the database
    phone, name, literal = new_phone(), "柳如烟水务工程公司", "绝密字面量甲乙丙"
    made = company.new_customer(name=name, channels=[{"kind": "PHONE", "value": phone}])
    sealed = bytes(stores.one("customers", made["id"])["sealed"]["CONTACT"])
    stores.change("customers", made["id"], {"$set": {"sealed.CONTACT": sealed[:-1] + bytes([sealed[-1] ^ 1])}})
    # When it is read
    document = f'{{ customer(id: "{made["id"]}") {{ name channels {{ value }} }} searchCases(query: "{literal}") {{ totalCount }} }}'
    answer = company.client.post(f"{company.url}/graphql", json={"query": document}, headers=company.headers("manager"))
    # Then the client learns the request's id and nothing else
    body = answer.json()
    (error,) = body["errors"]
    assert error["extensions"] == {"code": "INTERNAL"}
    assert error["path"] == ["customer", "channels"]
    request = answer.headers["x-request-id"]
    assert request in error["message"]
    assert body["data"]["customer"]["channels"] is None
    shown = dumped(body["errors"])
    for secret in (phone, name, literal, "Traceback", "Ciphertext", "cryptography", ".py"):
        assert secret not in shown
    # And the log tells where it happened, by that id, without values
    log = (company.settings.data_dir / "serve.log").read_text("utf-8")
    (line,) = [line for line in log.splitlines() if request in line and "unexpected" in line]
    assert "CiphertextError" in line
    assert re.search(r"\w+\.py:\d+", line)
    for secret in (phone, phone[3:], name, literal, "searchCases"):
        assert secret not in log


def test_nothing_that_these_tests_sent_stands_in_the_log(company: Company) -> None:
    log = (company.settings.data_dir / "serve.log").read_text("utf-8")
    for sent in ("不变水务", "0512-62881234", "水泵外壳", "shoe_size", "Bearer", company.token("manager")):
        assert sent not in log
