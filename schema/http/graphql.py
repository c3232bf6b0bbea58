"""`POST /graphql`: JSON in, JSON out (GraphQL over HTTP). Thin: limits, caller, execution, the journal of reads.

State never changes by GET, and only by a content type that no form can send (P4). What the caller was shown in
full is recorded before the first byte of the answer leaves (P23); if that fails, nothing is answered.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from graphql import OperationType
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schema.context import Context, Parts
from schema.errors import presented, unexpected
from schema.http.answering import Answering
from schema.http.callers import Callers
from schema.http.requests import language_of, request_id_of
from service.errors import Code, Problem, Refused

BODY_MOST = 1_000_000
BODY_SECONDS = 10
JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
answered = Counter("anjuan_graphql_requests", "GraphQL requests by outcome", ["outcome"])
_well, _badly = answered.labels("ok"), answered.labels("errors")
took = Histogram("anjuan_graphql_seconds", "Time to answer a GraphQL request")


async def bounded_body(request: Request, most: int) -> bytes:
    """The body, refused before it is buffered when it is too large. Raises Refused TOO_LARGE."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise Refused(Code.TOO_LARGE, limit=most)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise Refused(Code.TOO_LARGE, limit=most)
        pieces.append(piece)
    return b"".join(pieces)


class GraphQLRoute:
    """The endpoint."""

    def __init__(self, parts: Parts, callers: Callers, answering: Answering) -> None:
        self._parts = parts
        self._callers = callers
        self._answering = answering

    async def post(self, request: Request) -> Response:
        """Answers one request."""
        began = time.perf_counter()
        context = Context(
            self._parts, None, request_id_of(request), self._callers.source(request), language_of(request)
        )
        media = _media(request.headers.get("accept", "*/*"))
        try:
            if media is None:
                raise Refused(Code.NOT_ACCEPTABLE)
            status, body = await self._answer(request, context, media)
        except Refused as refused:
            status, body = _STATUS.get(refused.problem.code, 400), _refusal(refused.problem, context)
        except TimeoutError:
            status, body = 408, _refusal(Problem(Code.TIMED_OUT), context)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            status, body = 500, _refusal(unexpected(error, context.request_id), context)
        (_well if status == 200 and "errors" not in body else _badly).inc()
        took.observe(time.perf_counter() - began)
        return Response(orjson.dumps(body), status, {"cache-control": "no-store"}, media or JSON)

    async def _answer(self, request: Request, context: Context, media: str) -> tuple[int, dict[str, Any]]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise Refused(Code.UNSUPPORTED_MEDIA_TYPE)
        async with asyncio.timeout(BODY_SECONDS):
            asked = _asked(await bounded_body(request, BODY_MOST))
        context.caller = await self._callers.of(request, context)
        operation, variables = self._answering.operation(asked), asked.get("variables")
        if isinstance(operation, list):
            # GraphQL over HTTP: a request error, which only the newer media type tells by its status.
            status = 400 if media == RESPONSE_JSON else 200
            return status, {"errors": [presented(error, context) for error in operation]}
        if operation.kind is OperationType.SUBSCRIPTION:
            raise Refused(Code.INVALID_QUERY, reason="subscriptions are served over WebSocket")
        cost = await self._answering.pay(operation, variables, context)
        body = await self._answering.run(operation, variables, context)
        body["extensions"] = {"cost": cost}
        return 200, body


def _asked(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Code.INVALID_QUERY, reason="not JSON") from None
    if not isinstance(asked, dict):
        raise Refused(Code.INVALID_QUERY, reason="`query` is missing")
    return asked


def _media(accept: str) -> str | None:
    """The media type to answer in; None where the client accepts neither of ours."""
    accepted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if RESPONSE_JSON in accepted:
        return RESPONSE_JSON
    return JSON if accepted & {JSON, "application/*", "*/*", ""} else None


_STATUS = {
    Code.UNAUTHENTICATED: 401,
    Code.ACCOUNT_LOCKED: 403,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.TOO_LARGE: 413,
    Code.THROTTLED: 429,
    Code.NOT_ACCEPTABLE: 406,
}


def _refusal(problem: Problem, context: Context) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": problem.code.value}
    if problem.field:
        extensions["field"] = problem.field
    return {"errors": [{"message": problem.message(context.locale), "extensions": extensions}]}
