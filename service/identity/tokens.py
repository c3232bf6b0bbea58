"""Access tokens: JWTs (RFC 7519, typed as RFC 9068 `at+jwt`) signed with Ed25519 (RFC 8037).

Following RFC 8725: one algorithm, named by us and not by the token; keys are typed objects found by `kid`;
exactly our claims and exactly our header members, all required; no key ever comes out of a token (P8).
Refresh tokens are no JWTs: two random secrets, of which only SHA-256 is stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.clock import is_id, new_id, now
from service.errors import NotSignedIn
from service.identity.model import SESSION_PREFIX, TOKEN_PREFIX, USER_PREFIX

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
CLAIMS = frozenset({"exp", "aud", "iss", "iat", "jti", "sub", "sid"})
HEADER = frozenset({"alg", "kid", "typ"})
LEEWAY_SECONDS = 5
LONGEST = 2048
_SECRET_BYTES = 32
_REFRESH_PREFIX = "rt_"


class SigningKeys(Protocol):
    """What identity needs of a keyring. Any key that `signing_key` returned is found by `verification_key`
    for at least as long as a token signed with it lives.
    """

    def signing_key(self) -> tuple[str, Ed25519PrivateKey]:
        """The key in force and its id."""
        ...

    def verification_key(self, kid: str) -> Ed25519PublicKey | None:
        """The key of this id, if it may have signed a living token."""
        ...

    def secret(self, purpose: str) -> bytes:
        """At least 32 secret bytes, the same ones for the same purpose every time."""
        ...


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified access token. `expires` is when it dies, leeway included."""

    user: str
    session: str
    expires: datetime


class AccessTokens:
    """Issues and verifies access tokens of one issuer for one audience."""

    def __init__(self, signing: SigningKeys, *, issuer: str, audience: str, seconds: int) -> None:
        self._signing = signing
        self._issuer = issuer
        self._audience = audience
        self._seconds = seconds

    def issue(self, user: str, session: str) -> tuple[str, datetime]:
        """A token for a living session, and when it expires (UTC, whole seconds)."""
        kid, key = self._signing.signing_key()
        issued = int(now().timestamp())
        expires = issued + self._seconds
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user,
            "sid": session,
            "jti": new_id(TOKEN_PREFIX),
            "iat": issued,
            "exp": expires,
        }
        token = jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": TYPE})
        return token, datetime.fromtimestamp(expires, UTC)

    def verify(self, token: str) -> Claims:
        """What a genuine, living token says. Raises NotSignedIn for anything else, without saying why."""
        # Padding is no part of the compact form (RFC 7515 2): one token has one spelling.
        if not isinstance(token, str) or len(token) > LONGEST or not token.isascii() or "=" in token:
            raise NotSignedIn
        try:
            key = self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                # Times are checked below by the product's own clock, and more strictly.
                options={
                    "require": sorted(CLAIMS),
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise NotSignedIn from None
        return self._checked(claims)

    def _key_for(self, header: Mapping[str, Any]) -> Ed25519PublicKey:
        if set(header) != HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise NotSignedIn
        kid = header["kid"]
        key = self._signing.verification_key(kid) if isinstance(kid, str) else None
        if not isinstance(key, Ed25519PublicKey):
            raise NotSignedIn
        return key

    def _checked(self, claims: Mapping[str, Any]) -> Claims:
        issued, expires = claims["iat"], claims["exp"]
        if set(claims) != CLAIMS or type(issued) is not int or type(expires) is not int:
            raise NotSignedIn
        moment = now().timestamp()
        living = issued <= moment + LEEWAY_SECONDS and moment < expires + LEEWAY_SECONDS
        if not living or not 0 < expires - issued <= self._seconds:
            raise NotSignedIn
        ours = (
            is_id(claims["sub"], USER_PREFIX)
            and is_id(claims["sid"], SESSION_PREFIX)
            and is_id(claims["jti"], TOKEN_PREFIX)
        )
        if not ours:
            raise NotSignedIn
        ends = datetime.fromtimestamp(expires, UTC) + timedelta(seconds=LEEWAY_SECONDS)
        return Claims(claims["sub"], claims["sid"], ends)


@dataclass(frozen=True, slots=True)
class RefreshSecret:
    """A refresh token's two halves: `family` stays for the whole session, `turn` changes with every use.

    Who knows `family` with another `turn` than the current one holds an old token of this session: that is
    reuse (RFC 9700 4.14.2), told apart from a made-up token without keeping any list of old ones.
    """

    family: bytes = field(repr=False)
    turn: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> RefreshSecret:
        """For a new session."""
        return cls(secrets.token_bytes(_SECRET_BYTES), secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def read(cls, token: object) -> RefreshSecret | None:
        """From its text; None when it can't be one."""
        length = len(_REFRESH_PREFIX) + 86
        if not isinstance(token, str) or len(token) != length or not token.startswith(_REFRESH_PREFIX):
            return None
        try:
            body = base64.b64decode(token[len(_REFRESH_PREFIX) :] + "==", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        found = cls(body[:_SECRET_BYTES], body[_SECRET_BYTES:])
        return found if found.text() == token else None

    def successor(self) -> RefreshSecret:
        """The session's next token."""
        return RefreshSecret(self.family, secrets.token_bytes(_SECRET_BYTES))

    def text(self) -> str:
        """What the client keeps: `rt_` and 86 letters of base64url."""
        return _REFRESH_PREFIX + base64.urlsafe_b64encode(self.family + self.turn).decode().rstrip("=")

    def hashes(self) -> tuple[bytes, bytes]:
        """SHA-256 of each half: what is stored. Random 256-bit values need no salt and no slow hash."""
        return hashlib.sha256(self.family).digest(), hashlib.sha256(self.turn).digest()
