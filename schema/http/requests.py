"""What every request has, whatever route it takes: an id, in each answer and in the log; and an answer, for what nobody
expected is masked here last (P7).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schema.errors import unexpected
from service.clock import new_id
from service.errors import LOCALES, Code, Problem

_PLAIN_ID = re.compile(r"[A-Za-z0-9._\-]{8,64}")
_LANGUAGES = {locale.partition("-")[0]: locale for locale in LOCALES}
STATUSES = {
    Code.UNAUTHENTICATED: 401,
    Code.INVALID_SESSION: 401,
    Code.SIGN_IN_REFUSED: 403,
    Code.ACCOUNT_LOCKED: 403,
    Code.NOT_PERMITTED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_UPLOADED: 409,
    Code.UPLOAD_EXPIRED: 410,
    Code.FILE_TOO_LARGE: 413,
    Code.FILE_TYPE_REFUSED: 415,
    Code.THROTTLED: 429,
    Code.INTERNAL: 500,
}
PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AnswerBroken(Exception):
    """An answer that had begun can't be ended: the connection closes, and the log has said why, without values."""


def request_id_of(request: HTTPConnection) -> str:
    """The client's X-Request-Id if it is a plain one, or a new id; the same as often as it is asked for."""
    state = request.scope.setdefault("state", {})
    if "request_id" not in state:
        given = request.headers.get("x-request-id", "")
        state["request_id"] = given if _PLAIN_ID.fullmatch(given) else new_id("req")
    return str(state["request_id"])


def language_of(request: HTTPConnection) -> str | None:
    """The language that the client asks for (RFC 9110, 12.5.4), if it is one of ours; None leaves it to the user."""
    wanted: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "").lower().split(","):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.partition("q=")[2]) if "q=" in weight else 1.0
        except ValueError:
            continue
        locale = _LANGUAGES.get(tag.strip().partition("-")[0])
        if locale and quality > 0:
            wanted.append((-quality, locale))
    return min(wanted, key=lambda one: one[0])[1] if wanted else None


def problem_response(problems: Sequence[Problem], locale: str, status: int | None = None) -> Response:
    """The same form as GraphQL's `userErrors`, with the status of the first problem."""
    body = {"errors": [{"code": p.code.value, "field": p.field, "message": p.message(locale)} for p in problems]}
    found = status or STATUSES.get(problems[0].code, 422)
    headers = {**PROTECTION, **({"WWW-Authenticate": "Bearer"} if found == 401 else {})}
    return JSONResponse(body, found, headers)


class Requests:
    """Middleware around all routes; see the module's docstring."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, began = Request(scope), False
        request_id = request_id_of(request)

        async def named(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, named)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            problem = unexpected(error, request_id)
            if began:
                raise AnswerBroken from None
            await problem_response([problem], language_of(request) or LOCALES[0])(scope, receive, named)
