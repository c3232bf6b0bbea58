"""`/graphql` over WebSocket: subscriptions by the protocol graphql-transport-ws, and nothing else (P5).

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

Foreign origins are refused before the handshake (OWASP, "Cross-Site WebSocket Hijacking"). Nothing is answered before
a `connection_init` with a bearer token. Every connection has bounds; a client that does not read is cut off, never
buffered. Rights are today's: each event is read anew, and a connection ends when its token does, when its session or
account ends, or when its roles change. Under another policy everything that is followed is delivered anew, or ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import structlog
from prometheus_client import Counter as Count
from prometheus_client import Gauge
from starlette.responses import Response
from starlette.websockets import WebSocket

from schema.context import Parts
from schema.http.answering import Answering
from schema.http.callers import Callers
from schema.http.conversation import CONNECTIONS_OF_ACTOR_MOST, PROTOCOL, Closed, Conversation
from service.journal.feed import Feed
from service.storage.epoch import Epoch
from service.storage.grouping import end_task

CONNECTIONS_MOST = 1_000
"""Of one process."""
GUARD_SECONDS = 2.0
"""How often the epoch is read while there are connections: rights that were taken away end a connection after that."""
CLOSE_SECONDS = 1.0
log = structlog.get_logger("anjuan.api")
connected = Gauge("anjuan_websocket_connections", "Open WebSocket connections")
ended = Count("anjuan_websocket_ended", "WebSocket connections that ended, by close code; 0: the client left", ["code"])


class Sockets:
    """All connections of this process."""

    def __init__(
        self,
        parts: Parts,
        callers: Callers,
        answering: Answering,
        feed: Feed,
        epoch: Epoch,
        *,
        origins: frozenset[str],
    ) -> None:
        self.parts = parts
        self.callers = callers
        self.answering = answering
        self.feed = feed
        self._epoch = epoch
        self._origins = origins
        self._open: set[Conversation] = set()
        self._of_actor: Counter[str] = Counter()
        self._guard: asyncio.Task[None] | None = None
        self._policy = 0
        epoch.on_change(self._look_again)

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from its handshake to its end; no task of it is left."""
        status = self._refusal(socket)
        if status is not None:
            await _refuse(socket, status)
            return
        conversation = Conversation(self, socket)
        self._open.add(conversation)
        connected.set(len(self._open))
        if self._guard is None:
            self._guard = asyncio.create_task(self._watch_epoch(), name="guard of rights")
        try:
            ending = await conversation.run()
        finally:
            self._open.discard(conversation)
            connected.set(len(self._open))
            await self._rest()
        ended.labels(ending.code if ending else 0).inc()
        if ending is not None:
            await _close(socket, ending)

    def admit(self, actor: str) -> None:
        """Counts a connection of an actor. Raises Closed when there are too many."""
        if self._of_actor[actor] >= CONNECTIONS_OF_ACTOR_MOST:
            raise Closed(4429, "Too many connections")
        self._of_actor[actor] += 1

    def dismiss(self, actor: str) -> None:
        """The end of an admitted connection."""
        self._of_actor[actor] -= 1
        if not self._of_actor[actor]:
            del self._of_actor[actor]

    def under(self, policy: int) -> None:
        """A connection reads under this version of the policy. Whatever others follow is read again under a newer one:
        it may be shown otherwise, or not at all, although no record changed.
        """
        if policy > self._policy:
            self._policy = policy
            self.feed.flag_all()

    def _refusal(self, socket: WebSocket) -> int | None:
        if not self._origins.issuperset(origin.lower() for origin in socket.headers.getlist("origin")):
            return 403
        if PROTOCOL not in socket.scope.get("subprotocols", ()):
            return 400
        return 503 if len(self._open) >= CONNECTIONS_MOST else None

    def _look_again(self) -> None:
        for conversation in self._open:
            conversation.look_again()

    async def _watch_epoch(self) -> None:
        while True:
            await asyncio.sleep(GUARD_SECONDS)
            try:
                await self._epoch.refresh()
            except Exception as error:  # nothing is shown meanwhile: each event asks the same database first
                log.warning("the epoch can't be read", trouble=type(error).__name__)

    async def _rest(self) -> None:
        if not self._open and self._guard is not None:
            guard, self._guard = self._guard, None
            await end_task(guard)


async def _refuse(socket: WebSocket, status: int) -> None:
    """Before the handshake."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(Response(status_code=status))
    else:
        await socket.close()


async def _close(socket: WebSocket, ending: Closed) -> None:
    """A client that does not read does not get the frame either; the server then drops the connection."""
    with suppress(TimeoutError, RuntimeError, OSError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(ending.code, ending.reason)
