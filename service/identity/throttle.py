"""Guesses are throttled per account and source (P11): before a password is looked at, and whatever it is.

Three shared buckets: this account from this source, this source, this account from anywhere. The last one keeps nobody
out who signed in from their own source lately: strangers can't lock an account by guessing (OWASP Authentication Cheat
Sheet, "Account Lockout"; NIST SP 800-63B 5.2.2 asks for a bound on guesses).

Each attempt is charged before it is tried, so that any number of attempts at once, in any number of processes, aliases
of one document among them, are charged one by one. Keys are keyed hashes of the address, whether there is such an
account or not, and of the source.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

from service.clock import now
from service.identity.repository import IdentityRepository
from service.identity.tokens import SigningKeys
from service.storage import Database
from service.storage.buckets import Buckets, Rate

SECRET_PURPOSE = "sign-in-throttle"  # noqa: S105 - a purpose, not a secret
KNOWN_FOR = timedelta(days=30)
OF_PAIR = Rate(10, 300)
OF_SOURCE = Rate(100, 100)
OF_ACCOUNT = Rate(50, 3_000)


class Throttle:
    """See the module's docstring."""

    def __init__(self, database: Database, repository: IdentityRepository, signing: SigningKeys) -> None:
        self._buckets = Buckets(database)
        self._repository = repository
        self._signing = signing

    async def charge(self, account: str, source: str) -> None:
        """One attempt for an account (its address, in lower case). Raises Refused THROTTLED, which says when to try
        again; what was charged before the refusal stays charged.
        """
        await self._buckets.charge(self._key("source", source), OF_SOURCE)
        await self._buckets.charge(self._key("pair", account, source), OF_PAIR)
        if not await self._repository.knows_source(self._key("known", account, source), now()):
            await self._buckets.charge(self._key("account", account), OF_ACCOUNT)

    async def succeeded(self, account: str, source: str) -> None:
        """The attempt was the owner's: what it was charged is given back, and this source is known from now on."""
        known = self._key("known", account, source)
        await self._buckets.give_back(self._key("source", source), OF_SOURCE)
        await self._buckets.give_back(self._key("pair", account, source), OF_PAIR)
        if not await self._repository.knows_source(known, now()):
            await self._buckets.give_back(self._key("account", account), OF_ACCOUNT)
        await self._repository.know_source(known, now() + KNOWN_FOR)

    def _key(self, kind: str, *names: str) -> str:
        named = "\0".join(names).encode("utf-8", "surrogatepass")
        hashed = hmac.new(self._signing.secret(SECRET_PURPOSE), named, hashlib.sha256).hexdigest()
        return f"sign-in/{kind}/{hashed}"
