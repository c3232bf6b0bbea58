"""`POST /graphql`: JSON in, JSON out (GraphQL over HTTP). Thin: limits, caller, execution, the journal of reads.

State never changes by GET, and only by a content type that no form can send (P4). What the caller was shown in
full is recorded before the first byte of the answer leaves (P23); if that fails, nothing is answered.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import orjson
import structlog
from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema, parse, validate
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schema.context import Context, Parts
from schema.errors import presented, record_refusals
from schema.execution import Operations
from schema.http.callers import Callers
from service.errors import Code, Problem, Refused

BODY_MOST = 1_000_000
DOCUMENT_MOST = 16_384
TOKENS_MOST = 2_000
log = structlog.get_logger("anjuan.api")
answered = Counter("anjuan_graphql_requests", "GraphQL requests by outcome", ["outcome"])
took = Histogram("anjuan_graphql_seconds", "Time to answer a GraphQL request")


def checked(schema: GraphQLSchema, text: str) -> DocumentNode | list[GraphQLError]:
    """A document that was parsed within limits and validated, or what is wrong with it."""
    try:
        document = parse(text, max_tokens=TOKENS_MOST)
    except GraphQLError as error:
        return [error]
    return validate(schema, document, max_errors=20) or document


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

    def __init__(self, parts: Parts, callers: Callers, schema: GraphQLSchema) -> None:
        self._parts = parts
        self._callers = callers
        self._operations = Operations(schema, partial(checked, schema))

    async def post(self, request: Request) -> Response:
        """Answers one request."""
        began = time.perf_counter()
        context = Context(
            self._parts, None, self._callers.request_id(request), self._callers.source(request), _locale(request)
        )
        try:
            status, body = await self._answer(request, context)
        except Refused as refused:
            status, body = _STATUS.get(refused.problem.code, 400), _refusal(refused.problem, context)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            log.error("unexpected", trouble=type(error).__name__, request=context.request_id)
            problem = Problem(Code.INTERNAL, None, {"request": context.request_id})
            status, body = 500, _refusal(problem, context)
        answered.labels("ok" if status == 200 and "errors" not in body else "errors").inc()
        took.observe(time.perf_counter() - began)
        accepts = request.headers.get("accept", "")
        media = "application/graphql-response+json" if "graphql-response+json" in accepts else "application/json"
        headers = {"cache-control": "no-store", "x-request-id": context.request_id}
        return Response(orjson.dumps(body), status, headers, media)

    async def _answer(self, request: Request, context: Context) -> tuple[int, dict[str, Any]]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(Code.UNSUPPORTED_MEDIA_TYPE)
        asked = _asked(await bounded_body(request, BODY_MOST))
        if len(asked["query"].encode()) > DOCUMENT_MOST:
            raise Refused(Code.TOO_LARGE, limit=DOCUMENT_MOST)
        context.caller = await self._callers.of(request, context)
        operation = self._operations.read(asked["query"], asked.get("operationName"))
        if isinstance(operation, list):
            return 200 if context.caller else 400, {"errors": [presented(error, context) for error in operation]}
        return 200, await self._delivered(await operation.run(context, asked.get("variables")), context)

    async def _delivered(self, result: ExecutionResult, context: Context) -> dict[str, Any]:
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [presented(error, context) for error in result.errors]
            await record_refusals(result.errors, context)
        if context.caller is not None:
            await self._parts.journal.record_reads(context.caller)
        return body


def _asked(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Code.INVALID_QUERY, reason="not JSON") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise Refused(Code.INVALID_QUERY, reason="`query` is missing")
    if not isinstance(asked.get("variables"), dict | None):
        raise Refused(Code.INVALID_QUERY, reason="`variables` is no object")
    if not isinstance(asked.get("operationName") or "", str):
        raise Refused(Code.INVALID_QUERY, reason="`operationName` is no text")
    return asked


def _locale(request: Request) -> str:
    wanted = request.headers.get("accept-language", "").lower()
    return "en" if wanted.startswith("en") else "zh-CN"


_STATUS = {
    Code.UNAUTHENTICATED: 401,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.TOO_LARGE: 413,
    Code.THROTTLED: 429,
}


def _refusal(problem: Problem, context: Context) -> dict[str, Any]:
    return {"errors": [{"message": problem.message(context.locale), "extensions": {"code": problem.code.value}}]}
