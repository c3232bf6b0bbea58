"""Cursors: opaque, authenticated, bound to actor, role set and question (P13).

AES-256-GCM over the position and the moment of issue, with associated data of everything it is bound to; so a cursor
tells nothing, and one that was forged, cut, or taken from another actor or question does not open, nor an old one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.access.actor import Caller
from service.clock import now
from service.errors import Code, Refused

LIFE = timedelta(hours=24)
"""A list is paged through within a working day; a cursor that is found later, in a log or a bookmark, opens nothing."""
_NONCE = 12


class Cursors:
    """`secret`: 32 bytes of the keyring, for this purpose alone."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)

    def write(self, caller: Caller, question: Any, position: Any) -> str:
        """A cursor for a position (JSON-able; datetimes allowed) in the answer to a question."""
        nonce = os.urandom(_NONCE)
        content = orjson.dumps([int(now().timestamp()), _tagged(position)])
        sealed = self._cipher.encrypt(nonce, content, _bound(caller, question))
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def read(self, caller: Caller, question: Any, cursor: str | None) -> Any:
        """The position, None for None. Raises Refused INVALID_CURSOR."""
        if cursor is None:
            return None
        if len(cursor) > 1_000:
            raise Refused(Code.INVALID_CURSOR, "after")
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            opened = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _bound(caller, question))
        except (binascii.Error, ValueError, InvalidTag):
            raise Refused(Code.INVALID_CURSOR, "after") from None
        issued, position = orjson.loads(opened)
        if now() - datetime.fromtimestamp(issued, UTC) > LIFE:
            raise Refused(Code.INVALID_CURSOR, "after")
        return _untagged(position)


def _bound(caller: Caller, question: Any) -> bytes:
    roles = sorted(role.value for role in caller.actor.roles)
    text = orjson.dumps([caller.actor.id, roles, question], option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(text).digest()


def _tagged(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    return [_tagged(item) for item in value] if isinstance(value, (list, tuple)) else value


def _untagged(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"at"}:
        return datetime.fromisoformat(value["at"])
    return [_untagged(item) for item in value] if isinstance(value, list) else value
