"""What counts as a request's source: the peer, or behind trusted proxies the nearest address that is none of them.

From the attacker's side: nobody may choose the address that they are counted under by sending a header (P6).
"""

from __future__ import annotations

import pytest
from starlette.requests import Request

from schema.http.callers import Callers
from schema.http.requests import request_id_of


def request(peer: str, forwarded: str | None = None) -> Request:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded is not None else []
    return Request({"type": "http", "headers": headers, "client": (peer, 4000)})


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "source"),
    [
        ("", "198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.0/8", "198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.0/8", "10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "'; drop table", "10.1.2.3"),
        ("10.0.0.0/8", "10.1.2.3", None, "10.1.2.3"),
        ("::1, 127.0.0.1", "::1", "2001:db8::5", "2001:db8::5"),
    ],
)
def test_only_trusted_proxies_are_believed(trusted: str, peer: str, forwarded: str | None, source: str) -> None:
    callers = Callers(None, trusted)  # type: ignore[arg-type]
    assert callers.source(request(peer, forwarded)) == source


def test_a_request_id_is_taken_over_only_when_it_is_a_plain_one() -> None:
    strange = Request({"type": "http", "headers": [(b"x-request-id", b'{"$ne": 1}')], "client": None})
    made = request_id_of(strange)
    assert made.startswith("req_")
    assert request_id_of(strange) == made, "one request has one id"
    plain = Request({"type": "http", "headers": [(b"x-request-id", b"trace-0123456789")], "client": None})
    assert request_id_of(plain) == "trace-0123456789"
