"""The public keys of an outside issuer (JWK Set, RFC 7517): typed, of one algorithm, fetched at most once a minute (P9).

A fetch is due when a key id is unknown, or when the keys are older than FRESH_SECONDS; within REST_SECONDS of the last
one, failed or not, there is none, whatever is asked. Requests that need the same fetch share it; those whose key is
known do not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
KEY_TYPES = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
REST_SECONDS = 60.0
FRESH_SECONDS = 900.0
OLDEST_SECONDS = 3600.0
"""Keys that could not be fetched anew for so long verify nothing any more: the issuer may have withdrawn them."""
KEYS_MOST = 50
KID_LONGEST = 200
RSA_BITS = 2048
log = structlog.get_logger("anjuan.issuer")


class IssuerKeys:
    """`fetch` gets the JWK Set; whatever it raises leaves the keys as they are."""

    def __init__(self, algorithm: str, fetch: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._algorithm = algorithm
        self._fetch = fetch
        self._keys: Mapping[str, PublicKey] = {}
        self._fetched = self._begun = float("-inf")
        self._running: asyncio.Task[None] | None = None

    async def key(self, kid: object) -> PublicKey | None:
        """The key of this id, if the issuer has it."""
        if not isinstance(kid, str) or not 0 < len(kid) <= KID_LONGEST:
            return None
        age = monotonic() - self._fetched
        if kid in self._keys and age <= FRESH_SECONDS:
            return self._keys[kid]
        running = self._begin()
        if running is not None and (kid not in self._keys or age > OLDEST_SECONDS):
            await asyncio.shield(running)
        if monotonic() - self._fetched > OLDEST_SECONDS:
            return None
        return self._keys.get(kid)

    async def only_key(self) -> PublicKey | None:
        """The issuer's key, if it has a single one: its ID tokens need not name it then (OpenID Connect Core 10.1)."""
        if monotonic() - self._fetched > FRESH_SECONDS and (running := self._begin()) is not None:
            await asyncio.shield(running)
        if len(self._keys) != 1 or monotonic() - self._fetched > OLDEST_SECONDS:
            return None
        return next(iter(self._keys.values()))

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None while none is allowed."""
        if self._running is not None and not self._running.done():
            return self._running
        if monotonic() - self._begun < REST_SECONDS:
            return None
        self._begun = monotonic()
        self._running = asyncio.create_task(self._refresh())
        return self._running

    async def _refresh(self) -> None:
        try:
            self._keys = typed_keys(await self._fetch(), self._algorithm)
        except Exception as error:  # no key of an issuer's may end a request of somebody else's
            log.warning("the issuer's keys can't be fetched", trouble=type(error).__name__)
        else:
            self._fetched = monotonic()

    async def close(self) -> None:
        """Ends a fetch that is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


def typed_keys(found: Mapping[str, Any], algorithm: str) -> dict[str, PublicKey]:
    """Public keys of a JWK Set that may sign by this algorithm, by id. Raises ValueError for what is no JWK Set.

    A key of another type or use, a private one, a short RSA key or another curve is left out; so is an id that two
    keys claim.
    """
    listed = found.get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_MOST:
        raise ValueError("no JWK Set")
    keys: dict[str, PublicKey] = {}
    twice = set[str]()
    for jwk in listed:
        key = _typed(jwk, algorithm)
        if key is None:
            continue
        kid = str(jwk["kid"])
        if kid in keys:
            twice.add(kid)
        keys[kid] = key
    return {kid: key for kid, key in keys.items() if kid not in twice}


def _typed(jwk: Any, algorithm: str) -> PublicKey | None:
    if not isinstance(jwk, dict) or jwk.get("kty") != KEY_TYPES[algorithm] or "d" in jwk:
        return None
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_LONGEST:
        return None
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return key if isinstance(key.curve, SECP256R1) else None
    return key if isinstance(key, Ed25519PublicKey) else None
