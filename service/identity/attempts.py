"""Failed sign-ins, summed per account, source and minute, then journalled: one entry each, not one per guess.

A guess is counted in the database before it is answered, so no crash forgets it; counters of a minute that is
over become journal entries at the next sign-in or when a worker calls `journal_due`. An entry names the user,
or, for an address that nobody has, its keyed hash: never the address.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from service.access.actor import Actor, Caller
from service.access.policy import Policy
from service.clock import now
from service.identity.model import USERS
from service.identity.repository import IdentityRepository
from service.identity.tokens import SigningKeys
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.storage import Database, UnitOfWork

SECRET_PURPOSE = "sign-in-failures"  # noqa: S105 - a purpose, not a secret
ACCOUNTS_MOST = 200  # counters per source and minute; what is beyond them is summed as one
SOURCE_LONGEST = 100
AT_ONCE = 20
ANYONE = Actor("anonymous", "anonymous", frozenset(), None)


class FailedSignIns:
    """See the module's docstring."""

    def __init__(
        self,
        database: Database,
        repository: IdentityRepository,
        journal: Journal,
        signing: SigningKeys,
        policy: Callable[[], Awaitable[Policy]],
    ) -> None:
        self._database = database
        self._repository = repository
        self._journal = journal
        self._signing = signing
        self._policy = policy

    async def count(self, email: str, user: str | None, source: str) -> None:
        """One more failure; known and unknown accounts take the same steps."""
        secret, address = self._signing.secret(SECRET_PURPOSE), email.encode("utf-8", "surrogatepass")
        hashed = hmac.new(secret, address, hashlib.sha256).hexdigest()
        account = user or f"hash:{hashed}"
        minute, source = _minute(now()), source[:SOURCE_LONGEST]
        key = _key(minute, source, account)
        if await self._repository.count_failure(key):
            return
        if await self._repository.accounts_failing(minute, source, ACCOUNTS_MOST) >= ACCOUNTS_MOST:
            key = _key(minute, source, "others")
        await self._repository.begin_failure(key)

    async def journal_due(self, limit: int = AT_ONCE) -> int:
        """Writes entries for minutes that are over, at most `limit`; how many were written."""
        counters = await self._repository.failures_before(_minute(now()), limit)
        return sum([await self._journal_one(counter) for counter in counters])

    async def _journal_one(self, counter: dict[str, Any]) -> bool:
        caller = Caller(ANYONE, await self._policy(), source=counter["source"])
        account, is_user = counter["account"], str(counter["account"]).startswith("usr_")
        details = {
            "account": account,
            "failures": counter["count"],
            "minute": counter["minute"].strftime("%Y-%m-%dT%H:%MZ"),
        }
        touched = (Touched(account, None, None, collection=USERS),) if is_user else ()
        entry = Work("session.failure", touched, repeatable=False, details=details)

        async def work(unit: UnitOfWork) -> bool:
            taken = await self._repository.take_failure(unit, counter)
            if taken:
                await self._journal.append(unit, caller, entry)
            return taken

        return await self._database.transact(work)


def _minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _key(minute: datetime, source: str, account: str) -> dict[str, Any]:
    name = f"{minute:%Y%m%d%H%M} {account} {source}"
    return {"_id": name, "minute": minute, "source": source, "account": account}
