"""Guesses are throttled per account and source (P11): before a password is looked at, and whatever it is.

Three buckets, each refilled at a steady rate (the generic cell rate algorithm, ITU-T I.371 Annex A: one moment is
stored, up to which the bucket is owed for): this account from this source, this source, this account from anywhere.
The last one keeps nobody out who signed in from their own source lately: strangers can't lock an account by guessing
(OWASP Authentication Cheat Sheet, "Account Lockout"; NIST SP 800-63B 5.2.2 asks for a bound on guesses).

Each attempt is charged in the database before it is tried, in one step, so that any number of attempts at once, in
any number of processes, aliases of one document among them, are charged one by one. An account is named by a keyed
hash of the address, whether there is such an account or not.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.clock import now
from service.errors import Code, Refused
from service.identity.repository import IdentityRepository
from service.identity.tokens import SigningKeys

SECRET_PURPOSE = "sign-in-throttle"  # noqa: S105 - a purpose, not a secret
SOURCE_LONGEST = 100
KNOWN_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` attempts at once, then one in `every`."""

    burst: int
    every: timedelta

    def latest(self, at: datetime) -> datetime:
        """The moment up to which a bucket may be owed for when an attempt begins."""
        return at + self.every * (self.burst - 1)


OF_PAIR = Rate(10, timedelta(seconds=30))
OF_SOURCE = Rate(100, timedelta(seconds=1))
OF_ACCOUNT = Rate(50, timedelta(seconds=60))


class Throttle:
    """See the module's docstring."""

    def __init__(self, repository: IdentityRepository, signing: SigningKeys) -> None:
        self._repository = repository
        self._signing = signing

    async def charge(self, account: str, source: str) -> None:
        """One attempt for an account (its address, in lower case). Raises Refused THROTTLED, which says when to try
        again; what was charged before the refusal stays charged.
        """
        at, hashed, source = now(), self._hashed(account), source[:SOURCE_LONGEST]
        await self._take(f"source {source}", OF_SOURCE, at)
        await self._take(f"pair {hashed} {source}", OF_PAIR, at)
        if not await self._repository.has_bucket(f"known {hashed} {source}", at):
            await self._take(f"account {hashed}", OF_ACCOUNT, at)

    async def succeeded(self, account: str, source: str) -> None:
        """The attempt was the owner's: what it was charged is given back, and this source is known from now on."""
        at, hashed, source = now(), self._hashed(account), source[:SOURCE_LONGEST]
        await self._repository.forget_bucket(f"pair {hashed} {source}")
        await self._repository.give_back(f"source {source}", OF_SOURCE.every)
        await self._repository.give_back(f"account {hashed}", OF_ACCOUNT.every)
        await self._repository.keep_bucket(f"known {hashed} {source}", at + KNOWN_FOR)

    async def _take(self, key: str, rate: Rate, at: datetime) -> None:
        if await self._repository.take_from_bucket(key, at, rate.latest(at), rate.every):
            return
        raise Refused(Code.THROTTLED, seconds=max(1, int(rate.every.total_seconds())))

    def _hashed(self, account: str) -> str:
        address = account.encode("utf-8", "surrogatepass")
        return hmac.new(self._signing.secret(SECRET_PURPOSE), address, hashlib.sha256).hexdigest()
