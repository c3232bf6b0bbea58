"""A client that speaks graphql-transport-ws by hand, so that tests can also say what they should not."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.fixtures.company import PASSWORD, Company
from tests.graphql.conftest import assigned

PROTOCOL = "graphql-transport-ws"
PATIENCE = 10.0
CASE = "subscription($i: ID!) { caseChanged(id: $i) { id version state title } }"
UNKNOWN = "cas_01jdm2000000000000000000aa"


def opened(company: Company, *, protocol: str | None = PROTOCOL, origin: str | None = None, **options: Any) -> Any:
    """A socket after its handshake. Raises InvalidStatus when that is refused."""
    return connect(
        company.url.replace("http", "ws", 1) + "/graphql",
        subprotocols=[Subprotocol(protocol)] if protocol else None,
        origin=Origin(origin) if origin else None,
        additional_headers={"accept-language": "en"},
        max_size=None,
        close_timeout=2,
        **options,
    )


class Client:
    """A connection. With `person` (or `token`) it is past its connection_ack."""

    def __init__(
        self, company: Company, person: str | None = None, *, token: str | None = None, **options: Any
    ) -> None:
        self._opening = opened(company, **options)
        self.socket: ClientConnection = self._opening.__enter__()
        if person is not None or token is not None:
            self.send(
                type="connection_init", payload={"authorization": f"Bearer {token or company.token(person or '')}"}
            )
            assert self.next_message() == {"type": "connection_ack"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._opening.__exit__(None, None, None)

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def next_message(self, seconds: float = PATIENCE) -> Any:
        """The next message. Raises TimeoutError, ConnectionClosed."""
        return json.loads(self.socket.recv(seconds))

    def subscribe(self, document: str, identifier: str = "1", **variables: Any) -> None:
        self.send(id=identifier, type="subscribe", payload={"query": document, "variables": variables})

    def data(self, identifier: str = "1", seconds: float = PATIENCE) -> Any:
        """Of the next message, which must be a `next` of this subscription without errors."""
        message = self.next_message(seconds)
        assert (message["type"], message["id"]) == ("next", identifier), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    def error(self, identifier: str = "1") -> str:
        """The code of the next message, which must be an `error`."""
        message = self.next_message()
        assert (message["type"], message["id"]) == ("error", identifier), message
        return str(message["payload"][0]["extensions"]["code"])

    def is_silent(self, seconds: float = 0.5) -> bool:
        try:
            self.next_message(seconds)
        except TimeoutError:
            return True
        return False

    def close_code(self, seconds: float = PATIENCE) -> int | None:
        """The code with which the server closes; what it says before that is passed over."""
        try:
            while True:
                self.next_message(seconds)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


# The case that tests follow, and what they do with it


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
