"""One connection that speaks graphql-transport-ws: its messages, its subscriptions, its end.

One task listens (the connection's own), one watches the caller's rights, one serves each subscription; all in one
TaskGroup, so that whichever ends the connection ends the others, and none is left.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError, OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect

from schema.context import Context
from schema.errors import presented
from schema.http.requests import language_of, request_id_of
from schema.subscriptions import SOURCES
from service.access.actor import Caller
from service.clock import now
from service.errors import LOCALES, Code, Invalid, NotSignedIn, Problem, Refused
from service.storage.grouping import end_task

if TYPE_CHECKING:
    from schema.http.websocket import Sockets

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 5.0
SEND_SECONDS = 5.0
MESSAGE_MOST = 65_536
"""Bytes of a client's message."""
ID_MOST = 200
SUBSCRIPTIONS_MOST = 20
CONNECTIONS_OF_ACTOR_MOST = 10
log = structlog.get_logger("anjuan.api")


class Closed(Exception):
    """Ends the connection, with a code of the protocol (44xx) or of RFC 6455."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Conversation:
    """See the module's docstring."""

    def __init__(self, sockets: Sockets, socket: WebSocket) -> None:
        self._sockets = sockets
        self._socket = socket
        self._request_id = request_id_of(socket)
        self._source = sockets.callers.source(socket)
        self._locale = language_of(socket)
        self._authorization = ""
        self._caller: Caller | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._look = asyncio.Event()

    def look_again(self) -> None:
        """Rights may have changed."""
        self._look.set()

    async def run(self) -> Closed | None:
        """Talks until either side ends it. How to close; None when the client is gone."""
        try:
            await self._socket.accept(subprotocol=PROTOCOL)
            try:
                async with asyncio.timeout(INIT_SECONDS):
                    caller = await self._initialised()
            except TimeoutError:
                return Closed(4408, "Connection initialisation timeout")
            self._sockets.admit(caller.actor.id)
            self._sockets.under(caller.policy.version)
            try:
                await self._talk(caller)
            finally:
                self._sockets.dismiss(caller.actor.id)
        except WebSocketDisconnect:
            return None
        except Closed as closed:
            return closed
        except Exception as error:
            return self._ending(error)
        return None

    async def _talk(self, caller: Caller) -> None:
        await self._send({"type": "connection_ack"})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_rights(caller))
            await self._listen(group)

    def _ending(self, error: Exception) -> Closed | None:
        """What of several reasons is said: a Closed, the client's departure, or trouble of ours."""
        causes = _leaves(error)
        for cause in causes:
            if isinstance(cause, Closed):
                return cause
        if any(isinstance(cause, WebSocketDisconnect) for cause in causes):
            return None
        log.error("unexpected", trouble=type(causes[0]).__name__, request=self._request_id)
        return Closed(1011, "Internal error")

    # Who

    async def _initialised(self) -> Caller:
        """Raises Closed for anything but a `connection_init` with a token that holds."""
        while True:
            message = await self._message()
            kind = message["type"]
            if kind == "connection_init":
                break
            await self._anything_else(kind)
        payload = message.get("payload")
        given = payload.get("authorization") if isinstance(payload, dict) else None
        if not isinstance(given, str):
            raise Closed(4403, "Forbidden")
        self._authorization = given
        try:
            self._caller = (await self._fresh()).signed_in
        except NotSignedIn:
            raise Closed(4403, "Forbidden") from None
        return self._caller

    async def _fresh(self) -> Context:
        """A context whose caller has the rights of this moment. Raises NotSignedIn."""
        context = Context(self._sockets.parts, None, self._request_id, self._source, self._locale)
        context.caller = await self._sockets.callers.bearer(self._authorization, context)
        return context

    async def _watch_rights(self, caller: Caller) -> None:
        """Ends the connection with its token, its session, its account, or other roles; under another policy what is
        followed is read again.
        """
        while True:
            left = (caller.expires - now()).total_seconds() if caller.expires else None
            try:
                async with asyncio.timeout(left):
                    await self._look.wait()
            except TimeoutError:
                raise Closed(4401, "Token expired") from None
            self._look.clear()
            try:
                now_is = (await self._fresh()).signed_in
            except NotSignedIn:
                raise Closed(4401, "Unauthorized") from None
            actor = now_is.actor
            if (actor.roles, actor.department) != (caller.actor.roles, caller.actor.department):
                raise Closed(4403, "Forbidden")
            self._sockets.under(now_is.policy.version)

    # What the client says

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        while True:
            message = await self._message()
            kind = message["type"]
            if kind == "subscribe":
                await self._subscribe(group, message)
            elif kind == "complete":
                await self._complete(_id_of(message))
            elif kind == "connection_init":
                raise Closed(4429, "Too many initialisation requests")
            else:
                await self._anything_else(kind)

    async def _anything_else(self, kind: str) -> None:
        """Ping and pong may come at any time; of what else comes here, nothing may."""
        if kind == "ping":
            await self._send({"type": "pong"})
        elif kind in ("subscribe", "complete"):
            raise Closed(4401, "Unauthorized")
        elif kind != "pong":
            raise Closed(4400, "Invalid message")

    async def _message(self) -> dict[str, Any]:
        event = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        text = event.get("text")
        if text is None or len(text) > MESSAGE_MOST or len(text.encode()) > MESSAGE_MOST:
            raise Closed(4400, "Invalid message")
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise Closed(4400, "Invalid message") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closed(4400, "Invalid message")
        return message

    async def _subscribe(self, group: asyncio.TaskGroup, message: dict[str, Any]) -> None:
        identifier, asked = _id_of(message), _asked(message)
        if identifier in self._running:
            raise Closed(4409, "Subscriber already exists")
        if len(self._running) >= SUBSCRIPTIONS_MOST:
            problem = Problem(Code.TOO_MANY, "subscriptions", {"limit": SUBSCRIPTIONS_MOST})
            await self._send_problem(identifier, problem)
            return
        self._running[identifier] = group.create_task(self._serve(identifier, asked))

    async def _complete(self, identifier: str) -> None:
        """Ends a subscription; one that ended by itself meanwhile is no fault."""
        task = self._running.pop(identifier, None)
        if task is not None:
            await end_task(task)

    # What the client gets

    async def _serve(self, identifier: str, asked: dict[str, Any]) -> None:
        """One subscription, to its end; its last message is `complete` or `error`."""
        try:
            last = await self._follow(identifier, asked)
        except NotSignedIn:
            raise Closed(4401, "Unauthorized") from None
        except Refused as refused:
            last = self._error(refused.problem)
        except Invalid as invalid:
            last = self._error(*invalid.problems)
        except (Closed, WebSocketDisconnect):
            raise
        except TimeoutError:
            last = self._error(Problem(Code.TIMED_OUT))
        except Exception as error:
            log.error("unexpected", trouble=type(error).__name__, request=self._request_id)
            last = self._error(Problem(Code.INTERNAL, None, {"request": self._request_id}))
        self._running.pop(identifier, None)  # the client may use the id again once it hears of the end
        await self._send({"id": identifier, **last})

    async def _follow(self, identifier: str, asked: dict[str, Any]) -> dict[str, Any]:
        answering, variables = self._sockets.answering, asked.get("variables") or {}
        context = await self._fresh()
        operation = answering.operation(asked)
        if isinstance(operation, list):
            return _errors(operation, context)
        if operation.kind in (OperationType.QUERY, OperationType.MUTATION):
            raise Refused(Code.INVALID_QUERY, reason="only subscriptions are served here; POST the rest")
        source = await operation.source(context, variables)
        if isinstance(source, ExecutionResult):
            return _errors(source.errors or [], context)
        events = SOURCES[source.field](self._sockets.feed, self._fresh, **source.arguments)
        async with aclosing(events):
            async for context, event in events:
                await answering.pay(operation, variables, context)
                payload = await answering.run(operation, variables, context, event)
                await self._send({"id": identifier, "type": "next", "payload": payload})
        return {"type": "complete"}

    def _error(self, *problems: Problem) -> dict[str, Any]:
        shown = [
            {"message": p.message(self._locale or LOCALES[0]), "extensions": {"code": p.code.value}} for p in problems
        ]
        return {"type": "error", "payload": shown}

    async def _send_problem(self, identifier: str, problem: Problem) -> None:
        await self._send({"id": identifier, **self._error(problem)})

    async def _send(self, message: dict[str, Any]) -> None:
        """Raises Closed when the client does not take it in time: nothing is kept for it."""
        text = orjson.dumps(message).decode()
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                await self._socket.send_text(text)
        except TimeoutError:
            raise Closed(1013, "Reading too slowly") from None


def _errors(errors: list[GraphQLError], context: Context) -> dict[str, Any]:
    return {"type": "error", "payload": [presented(error, context) for error in errors]}


def _id_of(message: dict[str, Any]) -> str:
    identifier = message.get("id")
    if not isinstance(identifier, str) or not 1 <= len(identifier) <= ID_MOST:
        raise Closed(4400, "Invalid message")
    return identifier


def _asked(message: dict[str, Any]) -> dict[str, Any]:
    asked = message.get("payload")
    if (
        not isinstance(asked, dict)
        or not isinstance(asked.get("query"), str | None)
        or not isinstance(asked.get("variables"), dict | None)
        or not isinstance(asked.get("operationName"), str | None)
    ):
        raise Closed(4400, "Invalid message")
    return asked


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
