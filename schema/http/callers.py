"""Who sends a request: bearer token → caller; and from where."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Protocol

from starlette.requests import Request

from schema.context import Context
from service.access.actor import Caller
from service.clock import new_id
from service.errors import NotSignedIn
from service.identity.service import Identity
from service.storage.epoch import Epoch

_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{8,64}")


class Doors(Protocol):
    """What is needed of the system."""

    identity: Identity
    epoch: Epoch


class Callers:
    """`trusted`: proxies (addresses or networks) whose X-Forwarded-For counts."""

    def __init__(self, doors: Doors, trusted: str) -> None:
        self._doors = doors
        self._trusted = [ip_network(part.strip(), strict=False) for part in trusted.split(",") if part.strip()]

    async def of(self, request: Request, context: Context) -> Caller | None:
        """None without an Authorization header. Raises NotSignedIn for a token that does not hold.

        The epoch is refreshed first: whatever was revoked before this request is not remembered any more (P14).
        """
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotSignedIn
        await self._doors.epoch.refresh()
        return await self._doors.identity.caller(
            token.strip(), request_id=context.request_id, source=context.source, locale=context.locale
        )

    async def required(self, request: Request) -> Caller:
        """For routes beside GraphQL. Raises NotSignedIn."""
        locale = "en" if request.headers.get("accept-language", "").lower().startswith("en") else "zh-CN"
        nobody = Context(None, None, self.request_id(request), self.source(request), locale)  # type: ignore[arg-type]
        caller = await self.of(request, nobody)
        if caller is None:
            raise NotSignedIn
        return caller

    def source(self, request: Request) -> str:
        """The client's address: the peer, or behind trusted proxies the nearest address that is none of them."""
        peer = request.client.host if request.client else ""
        if not self._is_trusted(peer):
            return peer
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            address = hop.strip()
            if address and not self._is_trusted(address):
                return address if _is_address(address) else peer
        return peer

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)

    @staticmethod
    def request_id(request: Request) -> str:
        """The client's X-Request-Id if it is a plain one, or a new id."""
        given = request.headers.get("x-request-id", "")
        return given if _REQUEST_ID.fullmatch(given) else new_id("req")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
