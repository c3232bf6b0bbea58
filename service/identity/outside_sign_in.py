"""Signing in by an outside issuer: authorization code with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 3.1).

`begin` sends the browser away with a state; what belongs to it (nonce, verifier) stays in the database, under the
state's hash, bound to a cookie of that browser, for ten minutes. `finish` takes it, once, when the issuer sends the
browser back, has the code exchanged, and leaves a one-time code of ours instead of tokens, since what stands in an
address is kept in histories and logs. `redeem` takes that, once and within a minute, and only then is anything
changed: the account settled, a session begun, both journalled. Decision record 0010.

Whatever is wrong is one refusal without a reason; the log has the reason, and no value.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog

from service.clock import now
from service.errors import Code, Invalid, NotSignedIn, Refused
from service.identity.issuer import Issuer, IssuerTrouble, Person
from service.identity.model import Tokens
from service.identity.outside import OutsideAccounts
from service.storage import UnitOfWork

AWAY = timedelta(minutes=10)
REDEEMABLE = timedelta(seconds=60)
SESSION_LIFE = timedelta(hours=12)
"""A session goes on for so long, however often it is renewed: then the issuer, who may know better, is asked again."""
UNDER_WAY_MOST = 200
"""Sign-ins that one source may have begun and not ended; what is abandoned is forgotten after AWAY."""
CODE_PREFIX = "sc_"
CODE_LONGEST = 4_096
SOURCE_LONGEST = 100
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
log = structlog.get_logger("anjuan.issuer")


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and what its cookie holds."""

    address: str
    browser: str = field(repr=False)


class OutsideSignIn:
    """`redirect_uri` is registered with the issuer and never anything that a request says."""

    def __init__(self, issuer: Issuer, accounts: OutsideAccounts, redirect_uri: str) -> None:
        self._issuer = issuer
        self._accounts = accounts
        self._redirect_uri = redirect_uri
        self._repository = accounts.repository

    async def begin(self, browser: str | None, source: str) -> Departure:
        """A new sign-in. `browser` is the cookie that it has already, so that two tabs don't disturb each other. Raises
        Refused THROTTLED, SIGN_IN_REFUSED when the issuer can't be asked.
        """
        source = source[:SOURCE_LONGEST]
        if await self._repository.begun_by(source, UNDER_WAY_MOST) >= UNDER_WAY_MOST:
            raise Refused(Code.THROTTLED, seconds=int(AWAY.total_seconds()))
        provider = await self._asked()
        browser = browser if browser is not None and is_secret(browser) else _secret()
        state, nonce, verifier = _secret(), _secret(), _secret()
        at = now()
        await self._repository.begin(
            {
                "_id": _hash(state),
                "stage": "BEGUN",
                "browser": _hash(browser),
                "nonce": nonce,
                "verifier": verifier,
                "source": source,
                "expires_at": at + AWAY,
            }
        )
        asked = {
            "response_type": "code",
            "client_id": self._issuer.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self._issuer.settings.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(provider.authorization_endpoint).query else "?"
        return Departure(f"{provider.authorization_endpoint}{joint}{urlencode(asked)}", browser)

    async def finish(
        self, *, state: str | None, code: str | None, issuer: str | None, browser: str | None, source: str
    ) -> str:
        """The issuer sent the browser back; our one-time code. Raises Refused SIGN_IN_REFUSED."""
        if state is None or browser is None or not is_secret(state) or not is_secret(browser):
            raise _refused("no state, or no cookie")
        begun = await self._repository.take(_hash(state), "BEGUN", now(), browser=_hash(browser))
        if begun is None:
            raise _refused("the state is unknown, used, too old, or another browser's")
        provider = await self._asked()
        if issuer is None and provider.names_itself:
            raise _refused("the answer does not name its issuer")
        if issuer is not None and issuer != self._issuer.settings.issuer:  # mix-up, RFC 9207
            raise _refused("the answer is another issuer's")
        if code is None or not 0 < len(code) <= CODE_LONGEST:
            raise _refused("the issuer gave no code")
        try:
            person = await self._issuer.signed_in(code, begun["verifier"], self._redirect_uri, begun["nonce"])
        except (NotSignedIn, IssuerTrouble) as trouble:
            why = "the ID token does not hold" if isinstance(trouble, NotSignedIn) else str(trouble)
            raise _refused(why) from None
        ours = CODE_PREFIX + _secret()
        document = {
            "_id": _hash(ours),
            "stage": "DONE",
            "person": _stored(person),
            "source": source[:SOURCE_LONGEST],
            "expires_at": now() + REDEEMABLE,
        }
        await self._repository.begin(document)
        return ours

    async def redeem(self, code: str, *, source: str, request_id: str) -> Tokens:
        """A session for our one-time code. Raises Invalid SIGN_IN_REFUSED."""
        if not code.startswith(CODE_PREFIX) or not is_secret(code.removeprefix(CODE_PREFIX)):
            raise Invalid.because(Code.SIGN_IN_REFUSED)
        done = await self._repository.take(_hash(code), "DONE", now())
        if done is None:
            raise Invalid.because(Code.SIGN_IN_REFUSED)
        tokens = None
        try:
            user = await self._accounts.settle(_person(done["person"]), source, request_id)
        except NotSignedIn:
            user = None
        if user is not None:
            identifier = user["_id"]

            async def is_theirs(unit: UnitOfWork, at: datetime) -> bool:
                return await self._repository.signs_in(unit, identifier, at)

            tokens = await self._accounts.sessions.open_session(
                user, is_theirs, source, request_id, longest=SESSION_LIFE
            )
        if tokens is None:
            raise Invalid.because(Code.SIGN_IN_REFUSED)
        return tokens

    async def _asked(self) -> Any:
        try:
            return await self._issuer.provider()
        except IssuerTrouble as trouble:
            raise _refused(str(trouble)) from None


def is_secret(text: str) -> bool:
    """Whether it can be one of the random values that are made here."""
    return _SECRET.fullmatch(text) is not None


def _refused(why: str) -> Refused:
    log.warning("a sign-in from outside was refused", why=why)
    return Refused(Code.SIGN_IN_REFUSED)


def _secret() -> str:
    """256 random bits, 43 letters of base64url."""
    return secrets.token_urlsafe(32)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _challenge(verifier: str) -> str:
    """RFC 7636 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _stored(person: Person) -> dict[str, Any]:
    return {
        "issuer": person.issuer,
        "subject": person.subject,
        "issued": person.issued,
        "expires": person.expires,
        "email": person.email,
        "name": person.name,
        "groups": None if person.groups is None else list(person.groups),
    }


def _person(stored: dict[str, Any]) -> Person:
    groups = stored["groups"]
    return Person(**{**stored, "groups": None if groups is None else tuple(groups)})
