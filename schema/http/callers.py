"""Who sends a request: bearer token → caller; and from where."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Protocol

from starlette.requests import HTTPConnection, Request

from schema.context import Context
from schema.http.requests import language_of, request_id_of
from service.access.actor import Caller
from service.errors import NotSignedIn
from service.identity.service import Identity
from service.storage.epoch import Epoch


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
        return None if header is None else await self.bearer(header, context)

    async def bearer(self, authorization: str, context: Context) -> Caller:
        """The caller whose token this is, with the rights of this moment. Raises NotSignedIn."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotSignedIn
        await self._doors.epoch.refresh()
        return await self._doors.identity.caller(
            token.strip(), request_id=context.request_id, source=context.source, locale=context.language
        )

    async def required(self, request: Request) -> Caller:
        """For routes beside GraphQL. Raises NotSignedIn."""
        request_id, source = request_id_of(request), self.source(request)
        nobody = Context(None, None, request_id, source, language_of(request))  # type: ignore[arg-type]
        caller = await self.of(request, nobody)
        if caller is None:
            raise NotSignedIn
        return caller

    def source(self, request: HTTPConnection) -> str:
        """The client's address: the peer, or behind trusted proxies the nearest address that is none of them."""
        peer = request.client.host if request.client else ""
        if not self._trusted or not self._is_trusted(peer):
            return peer
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            address = hop.strip()
            if address and not self._is_trusted(address):
                return address if _is_address(address) else peer
        return peer

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
