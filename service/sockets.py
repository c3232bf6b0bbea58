"""uvicorn's WebSocket protocol, with bounds on what is kept for a client that does not read."""

from __future__ import annotations

import socket
import struct
from asyncio.transports import BaseTransport

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

KERNEL_MOST = 256 * 1024
"""Bytes that the system keeps for a client, where it would let megabytes pile up."""
LINGER_SECONDS = 2.0


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Writing to a client waits when its buffers are full, and a connection that has ended is let go of."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Bounds what the system buffers."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_MOST)

    async def run_asgi(self) -> None:
        """What can't be written after the end is dropped: closing alone would wait for the client for ever."""
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self._let_go)

    def _let_go(self) -> None:
        if not self.transport.get_write_buffer_size():
            return
        connection = self.transport.get_extra_info("socket")
        if connection is not None:  # a reset: the system forgets what it still holds for the client, too
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
