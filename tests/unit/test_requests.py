"""Each request has an id, in its answer and in the log; what nobody expected is masked, whatever route it takes (P7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from schema.http.files import files_routes
from schema.http.requests import AnswerBroken, Requests
from service.storage import ObjectTrouble

SECRET = "mongodb://user:secret@10.0.0.1 { phone: 13812341234 }"
FILE = "/files/evd_01jd0000000000000000000000"


def _client(error: Exception) -> httpx.AsyncClient:
    """The routes of files, where finding out who asks fails in some way, and one whose answer breaks off."""

    async def get_caller(_: Request) -> Any:
        raise error

    async def broken(_: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"begun"
            raise error

        return StreamingResponse(chunks())

    routes = [*files_routes(get_caller, None), Route("/broken", broken)]  # type: ignore[arg-type]
    app = Starlette(routes=routes, middleware=[Middleware(Requests)])
    headers = {"authorization": "Bearer x", "x-request-id": "trace-0123456789", "accept-language": "en"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://files.test", headers=headers)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServerSelectionTimeoutError(SECRET), 503),
        (OperationFailure(SECRET), 503),
        (ObjectTrouble(SECRET), 503),
        (KeyError(SECRET), 500),
    ],
)
async def test_trouble_with_a_file_is_masked_and_logged_without_values(
    method: str, error: Exception, status: int
) -> None:
    with capture_logs() as log:
        answer = await _client(error).request(method, FILE)
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, "trace-0123456789")
    assert answer.json() == {
        "errors": [
            {
                "code": "INTERNAL",
                "field": None,
                "message": "Something went wrong on our side; the request id is trace-0123456789.",
            }
        ]
    }
    (line,) = log
    assert (line["request"], line["trouble"]) == ("trace-0123456789", type(error).__name__)
    assert "secret" not in str(log)


async def test_an_answer_that_breaks_off_is_logged_without_values() -> None:
    with capture_logs() as log, pytest.raises(AnswerBroken) as broken:
        await _client(OperationFailure(SECRET)).get("/broken")
    assert broken.value.__suppress_context__, "a server that prints the traceback prints nothing of the cause"
    (line,) = log
    assert (line["request"], line["trouble"]) == ("trace-0123456789", "OperationFailure")
    assert "secret" not in str(log)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", FILE, 405)])
async def test_every_answer_has_the_requests_id(method: str, path: str, status: int) -> None:
    answer = await _client(KeyError()).request(method, path)
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, "trace-0123456789")
    answer = await _client(KeyError()).request(method, path, headers={"x-request-id": "no plain one"})
    assert answer.headers["x-request-id"].startswith("req_")
