"""Every query on sign-ins from outside and on the accounts that belong to them.

A sign-in document has the hash of what its holder must present (`_id`), its `stage` and `expires_at`; BEGUN ones
`browser` (a hash), `nonce`, `verifier`, `source`, DONE ones the `person`. It is taken once, whatever comes of it.
A user's `external` has `issuer`, `subject`, `as_of` (when the newest token that was seen was issued) and `member`
(whether its groups gave any role).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from service.identity.model import OUTSIDE_SIGN_INS, USERS, UserState
from service.storage import Database, Index, UnitOfWork

INDEXES = (
    Index(
        USERS,
        (("external.issuer", 1), ("external.subject", 1)),
        "users_external",
        unique=True,
        partial={"external.subject": {"$exists": True}},
    ),
    Index(OUTSIDE_SIGN_INS, (("expires_at", 1),), "outside_sign_ins_expiry", expire_after_seconds=0),
    Index(OUTSIDE_SIGN_INS, (("source", 1), ("stage", 1)), "outside_sign_ins_source"),
)


class OutsideRepository:
    """See the module's docstring."""

    def __init__(self, database: Database) -> None:
        self._users = database.collection(USERS)
        self._sign_ins = database.collection(OUTSIDE_SIGN_INS)

    async def user(self, issuer: str, subject: str, unit: UnitOfWork | None = None) -> dict[str, Any] | None:
        """The account that belongs to somebody of an issuer's."""
        users = unit.collection(USERS) if unit else self._users
        return await users.find_one({"external.issuer": issuer, "external.subject": subject})

    async def remember_token(self, unit: UnitOfWork, user: str, issued: datetime, *, member: bool) -> None:
        """What the newest token said."""
        await unit.collection(USERS).update_one(
            {"_id": user}, {"$set": {"external.as_of": issued, "external.member": member}}
        )

    async def signs_in(self, unit: UnitOfWork, user: str, at: datetime) -> bool:
        """Whether this is an active account and a member; the write makes the unit conflict with whoever ends that."""
        where = {"_id": user, "state": UserState.ACTIVE.value, "external.member": True}
        return await unit.collection(USERS).update_one(where, {"$set": {"signed_in_at": at}}) == 1

    async def begin(self, document: dict[str, Any]) -> None:
        """A new sign-in, in either stage."""
        await self._sign_ins.insert_one(document)

    async def begun_by(self, source: str, limit: int) -> int:
        """How many sign-ins a source has under way, counted up to `limit`."""
        return await self._sign_ins.count({"source": source, "stage": "BEGUN"}, limit=limit)

    async def take(self, identifier: str, stage: str, at: datetime, **bound: Any) -> dict[str, Any] | None:
        """The living sign-in of this stage, taken: nobody gets it again. None when there is none so bound."""
        where = {"_id": identifier, "stage": stage, "expires_at": {"$gt": at}, **bound}
        change = {"$set": {"stage": "TAKEN"}}
        return await self._sign_ins.find_one_and_update(where, change, before=True)
