"""An outside issuer (OpenID Connect): its discovery, its tokens, its answer to an authorization code (R66).

What RFC 8725 asks of our own tokens holds for its: one algorithm, named in our settings; typed keys from its own key
set, found by `kid`; no key ever out of a token. Access tokens (RFC 9068) need our audience and `jti`; ID tokens
(OpenID Connect Core 3.1.3.7) need our client id and the nonce of one sign-in, and open nothing as access tokens, whose
audience is another.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import jwt

from service.clock import now
from service.errors import NotSignedIn
from service.identity.issuer_keys import IssuerKeys

HEADER = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt", "jwt"})
ID_TYPES = frozenset({"jwt"})
LEEWAY_SECONDS = 30
LONGEST_LIFE = 86_400
TOKEN_LONGEST = 16_384
ANSWER_MOST = 512 * 1024
ANSWER_SECONDS = 5.0
DISCOVERY_SECONDS = 3600.0
REST_SECONDS = 5.0
"""After one that failed; whoever asks meanwhile is refused, and makes no request."""
DISCOVERY = "/.well-known/openid-configuration"
GROUPS_MOST = 1_000
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class IssuerTrouble(Exception):
    """The issuer does not answer, or not as it should; the text is one of ours and holds no value."""


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """What is configured of the issuer. `audience` None: its access tokens open nothing; `client_id` None: nobody signs
    in by it.
    """

    issuer: str
    audience: str | None
    client_id: str | None
    client_secret: str | None = field(repr=False)
    algorithm: str = "RS256"
    scopes: str = "openid profile email"
    groups_claim: str = "groups"


@dataclass(frozen=True, slots=True)
class Provider:
    """What its discovery document says (OpenID Connect Discovery 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    names_itself: bool
    """Whether its answers carry `iss` (RFC 9207)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the issuer knows them. `groups` None: the token does not tell."""

    issuer: str
    subject: str
    issued: datetime
    expires: datetime
    email: str | None
    name: str | None
    groups: tuple[str, ...] | None


class Issuer:
    """See the module's docstring. Nothing is asked of it before the first need."""

    def __init__(self, settings: IssuerSettings) -> None:
        self.settings = settings
        self.keys = IssuerKeys(settings.algorithm, self._fetch_keys)
        self._provider: Provider | None = None
        self._ask_again = float("-inf")
        self._asking = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    def is_named_by(self, token: str) -> bool:
        """Whether the token says that it is this issuer's, which decides how it is verified and nothing else."""
        if len(token) > TOKEN_LONGEST or token.count(".") != 2:
            return False
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return False
        return bool(claims.get("iss") == self.settings.issuer)

    async def access(self, token: str) -> Person:
        """Whose access token this is. Raises NotSignedIn for anything but a genuine, living one for this API."""
        if self.settings.audience is None:
            raise NotSignedIn
        claims = await self._verified(token, ACCESS_TYPES)
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if self.settings.audience not in audiences or not _is_text(claims.get("jti")):
            raise NotSignedIn
        return self._person(claims, claims)

    async def signed_in(self, code: str, verifier: str, redirect_uri: str, nonce: str) -> Person:
        """Who answers to an authorization code. Raises NotSignedIn for a token that does not hold, IssuerTrouble."""
        answer = await self._exchange(code, verifier, redirect_uri)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise IssuerTrouble("the token answer has no ID token")
        claims = await self._verified(token, ID_TYPES)
        client = self.settings.client_id
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        party = claims.get("azp", client if len(audiences) == 1 else None)
        given = claims.get("nonce")
        if client not in audiences or party != client or not isinstance(given, str):
            raise NotSignedIn
        if not hmac.compare_digest(given.encode(), nonce.encode()):
            raise NotSignedIn
        access = answer.get("access_token")
        self._require_hash(claims, access)
        told = dict(claims)
        if self.settings.groups_claim not in claims and isinstance(access, str):
            told |= await self._userinfo(access, claims["sub"])
        return self._person(claims, told)

    async def provider(self) -> Provider:
        """Its discovery document, an hour old at most. Raises IssuerTrouble."""
        if self._provider is not None and time.monotonic() <= self._ask_again:
            return self._provider
        async with self._asking:
            if time.monotonic() > self._ask_again:
                self._ask_again = time.monotonic() + REST_SECONDS
                self._provider = self._read_provider(await self._get(self.settings.issuer.rstrip("/") + DISCOVERY))
                self._ask_again = time.monotonic() + DISCOVERY_SECONDS
            if self._provider is None:
                raise IssuerTrouble("the issuer did not answer a moment ago")
            return self._provider

    async def close(self) -> None:
        """Closes its connections."""
        await self.keys.close()
        if self._client is not None:
            await self._client.aclose()

    # Tokens

    async def _verified(self, token: str, types: frozenset[str]) -> dict[str, Any]:
        """Claims of a genuine token of this issuer that lives, of one of these types. Raises NotSignedIn."""
        if not isinstance(token, str) or len(token) > TOKEN_LONGEST or not token.isascii() or "=" in token:
            raise NotSignedIn
        try:
            header = jwt.get_unverified_header(token)
            if not {"alg"} <= set(header) <= HEADER or header["alg"] != self.settings.algorithm:
                raise NotSignedIn
            if str(header.get("typ", "JWT")).lower() not in types:
                raise NotSignedIn
            named = "kid" in header or types is not ID_TYPES
            key = await (self.keys.key(header.get("kid")) if named else self.keys.only_key())
            if key is None:
                raise NotSignedIn
            claims = jwt.decode(
                token,
                key,
                algorithms=[self.settings.algorithm],
                issuer=self.settings.issuer,
                # Audience and times are checked by us, more strictly.
                options={
                    "require": ["exp", "aud", "iss", "iat", "sub"],
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise NotSignedIn from None
        _require_living(claims)
        if not _is_text(claims["sub"]) or claims["iss"] != self.settings.issuer:
            raise NotSignedIn
        return dict(claims)

    def _person(self, claims: Mapping[str, Any], told: Mapping[str, Any]) -> Person:
        groups = told.get(self.settings.groups_claim)
        if groups is not None and (not isinstance(groups, list) or len(groups) > GROUPS_MOST):
            raise NotSignedIn
        email = told.get("email")
        return Person(
            issuer=self.settings.issuer,
            subject=claims["sub"],
            issued=datetime.fromtimestamp(int(claims["iat"]), UTC),
            expires=datetime.fromtimestamp(int(claims["exp"]), UTC) + timedelta(seconds=LEEWAY_SECONDS),
            email=email if isinstance(email, str) and told.get("email_verified") is not False else None,
            name=next((told[n] for n in ("name", "preferred_username") if isinstance(told.get(n), str)), None),
            groups=None if groups is None else tuple(group for group in groups if isinstance(group, str)),
        )

    def _require_hash(self, claims: Mapping[str, Any], access: Any) -> None:
        """`at_hash` binds the access token to the ID token (OpenID Connect Core 3.1.3.6), where it is there."""
        if "at_hash" not in claims or self.settings.algorithm == "EdDSA":
            return
        digest = hashlib.sha256(str(access).encode()).digest()[:16]
        if claims["at_hash"] != base64.urlsafe_b64encode(digest).decode().rstrip("="):
            raise NotSignedIn

    # What is asked of it

    async def _fetch_keys(self) -> Mapping[str, Any]:
        return await self._get((await self.provider()).jwks_uri)

    async def _exchange(self, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        provider, client = await self.provider(), self.settings.client_id or ""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if self.settings.client_secret is None:
            form["client_id"] = client
        else:  # RFC 6749 2.3.1: both are form-encoded first
            pair = f"{quote(client, safe='')}:{quote(self.settings.client_secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return await self._answer("POST", provider.token_endpoint, data=form, headers=headers)

    async def _userinfo(self, access: str, subject: str) -> Mapping[str, Any]:
        endpoint = (await self.provider()).userinfo_endpoint
        if endpoint is None:
            return {}
        found = await self._answer("GET", endpoint, headers={"authorization": f"Bearer {access}"})
        if found.get("sub") != subject:  # OpenID Connect Core 5.3.2: else it is somebody else's
            raise NotSignedIn
        return found

    async def _get(self, url: str) -> Mapping[str, Any]:
        return await self._answer("GET", url)

    async def _answer(self, method: str, url: str, **asked: Any) -> Mapping[str, Any]:
        """A JSON object, bounded in size and time; redirects are not followed. Raises IssuerTrouble."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, follow_redirects=False)
        try:
            async with self._client.stream(method, url, **asked) as response:
                if response.status_code != 200:
                    raise IssuerTrouble(f"the issuer answers {response.status_code}")
                body = b""
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_MOST:
                        raise IssuerTrouble("the issuer's answer is too large")
            found = httpx.Response(200, content=body).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise IssuerTrouble(f"the issuer can't be asked: {type(error).__name__}") from None
        if not isinstance(found, dict):
            raise IssuerTrouble("the issuer's answer is no object")
        return found

    def _read_provider(self, found: Mapping[str, Any]) -> Provider:
        if found.get("issuer") != self.settings.issuer:  # OpenID Connect Discovery 4.3
            raise IssuerTrouble("the discovery document is another issuer's")
        endpoints = {name: found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        userinfo = found.get("userinfo_endpoint")
        for url in (*endpoints.values(), *([userinfo] if userinfo else [])):
            if not is_safe_url(url):
                raise IssuerTrouble("the discovery document names no safe address")
        named = found.get("authorization_response_iss_parameter_supported") is True
        return Provider(**endpoints, userinfo_endpoint=userinfo, names_itself=named)  # type: ignore[arg-type]


def is_safe_url(url: object) -> bool:
    """https, or http on this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


def _require_living(claims: Mapping[str, Any]) -> None:
    moment, since = now().timestamp(), claims.get("nbf", 0)
    for value in (claims["iat"], claims["exp"], since):
        if type(value) not in (int, float) or not 0 <= value < 1 << 40:
            raise NotSignedIn
    issued, expires = claims["iat"], claims["exp"]
    begun = issued <= moment + LEEWAY_SECONDS and since <= moment + LEEWAY_SECONDS
    if not begun or moment >= expires + LEEWAY_SECONDS or not 0 < expires - issued <= LONGEST_LIFE:
        raise NotSignedIn
