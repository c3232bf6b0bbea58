"""Accounts of people whom an outside issuer vouches for (R66): made, changed and left by its groups.

An account belongs to (issuer, subject), which never changes hands; an e-mail address proves nothing here, so no account
is ever taken over by one. The newest token decides: one that was issued before it changes nothing, and after one
without any of our groups every older token is refused too. An administrator's DISABLED stands whatever groups say.
"""

from __future__ import annotations

from typing import Any

import structlog

from service.access.actor import Caller
from service.clock import new_id, now
from service.errors import LOCALES, NotSignedIn, Problems
from service.identity.groups import Groups, Membership
from service.identity.issuer import Issuer, Person
from service.identity.model import USER_PREFIX, USERS, UserState, journalled
from service.identity.outside_repository import OutsideRepository
from service.identity.rules import NAME_LONGEST, changes_rights, lacks_department, normal_email, read_line
from service.identity.sessions import Sessions, SignedIn, actor_of
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.storage import Database, DuplicateKey, UnitOfWork
from service.storage.epoch import Epoch

log = structlog.get_logger("anjuan.issuer")


class OutsideAccounts:
    """See the module's docstring. A Door for the issuer's access tokens."""

    def __init__(
        self, database: Database, sessions: Sessions, journal: Journal, issuer: Issuer, groups: Groups
    ) -> None:
        self.repository = OutsideRepository(database)
        self.sessions = sessions
        self.issuer = issuer
        self._database = database
        self._journal = journal
        self._groups = groups

    def is_for(self, token: str) -> bool:
        """Whether it says that it is the issuer's."""
        return self.issuer.is_named_by(token)

    async def signed_in(self, token: str, source: str, request_id: str) -> SignedIn:
        """Whose access token it is. Raises NotSignedIn."""
        person = await self.issuer.access(token)
        user = await self.settle(person, source, request_id)
        return SignedIn(actor_of(user, None), user["locale"], person.expires)

    async def settle(self, person: Person, source: str, request_id: str) -> dict[str, Any]:
        """The person's account, as their groups have it now. Raises NotSignedIn, also for whom no group of theirs
        makes anything here; their sessions end then.
        """
        member = None if person.groups is None else self._groups.of(person.groups)
        department = await self._department(member)

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            former = await self.repository.user(person.issuer, person.subject, unit)
            if former is None:
                made = self._new(person, member, department)
                return None if made is None else await self._join(unit, made, source, request_id)
            known = former["external"]
            if former["state"] != UserState.ACTIVE:
                return None
            if person.groups is None or person.issued <= known["as_of"]:
                return former if known["member"] else None
            fields = _rights(member, department)
            if fields is None:
                await self._leave(unit, former, person, source, request_id)
                return None
            return await self._stay(unit, former, fields, person, source, request_id)

        try:
            user = await self._database.transact(work)
        except DuplicateKey as taken:
            # Another request made the account a moment ago; or the address is somebody else's already.
            user = await self.repository.user(person.issuer, person.subject)
            if user is None:
                log.warning("an account from outside can't be made: its address is in use", index=taken.index)
        if user is None:
            raise NotSignedIn
        return user

    async def _department(self, member: Membership | None) -> str | None:
        if member is None or member.department is None:
            return None
        found = [d for d in await self.sessions.repository.departments() if d["key"] == member.department]
        if not found:
            log.warning("ANJUAN_OIDC_GROUPS names a department that there is not")
        return found[0]["_id"] if found else None

    def _new(self, person: Person, member: Membership | None, department: str | None) -> dict[str, Any] | None:
        rights, email = _rights(member, department), normal_email(person.email)
        if rights is None:
            return None
        if email is None:
            log.warning("an account from outside can't be made: the token has no verified e-mail address")
            return None
        at = now()
        return {
            "_id": new_id(USER_PREFIX),
            "email": email,
            "name": _name(person, email),
            **rights,
            "locale": LOCALES[0],
            "state": UserState.ACTIVE.value,
            "version": 1,
            "created_at": at,
            "updated_at": at,
            "password": None,
            "external": {
                "issuer": person.issuer,
                "subject": person.subject,
                "as_of": person.issued,
                "member": True,
            },
        }

    async def _join(self, unit: UnitOfWork, made: dict[str, Any], source: str, request_id: str) -> dict[str, Any]:
        await self.sessions.repository.insert_user(unit, dict(made))
        touched = Touched(made["_id"], 1, journalled(made), collection=USERS, changed=("department", "roles"))
        await self._tell(unit, made, "user.join", touched, source, request_id)
        return made

    async def _stay(
        self,
        unit: UnitOfWork,
        former: dict[str, Any],
        fields: dict[str, Any],
        person: Person,
        source: str,
        request_id: str,
    ) -> dict[str, Any]:
        await self.repository.remember_token(unit, former["_id"], person.issued, member=True)
        different = {name: value for name, value in fields.items() if former[name] != value}
        if not different:
            return former
        written = {**different, "updated_at": now()}
        changed = await self.sessions.repository.change_user(unit, former["_id"], former["version"], written)
        if changed is None:
            raise NotSignedIn  # an administrator changed the account in this moment
        if changes_rights(former, changed):
            await Epoch.raise_in(unit)
        names = tuple(sorted(different))
        touched = Touched(changed["_id"], changed["version"], journalled(changed), journalled(former), USERS, names)
        await self._tell(unit, changed, "user.regroup", touched, source, request_id)
        return changed

    async def _leave(
        self, unit: UnitOfWork, former: dict[str, Any], person: Person, source: str, request_id: str
    ) -> None:
        was_member = former["external"]["member"]
        await self.repository.remember_token(unit, former["_id"], person.issued, member=False)
        if not was_member:
            return
        await self.sessions.repository.end_sessions(unit, former["_id"], now(), "LEFT")
        await Epoch.raise_in(unit)
        touched = Touched(former["_id"], former["version"], None, collection=USERS)
        await self._tell(unit, former, "user.leave", touched, source, request_id)

    async def _tell(
        self, unit: UnitOfWork, user: dict[str, Any], action: str, touched: Touched, source: str, request_id: str
    ) -> None:
        caller = Caller(actor_of(user, None), await self.sessions.policy(), request_id, source)
        details = {"issuer": self.issuer.settings.issuer}
        await self._journal.append(unit, caller, Work(action, (touched,), repeatable=False, details=details))


def _rights(member: Membership | None, department: str | None) -> dict[str, Any] | None:
    """Stored roles and department; None where they are not enough for an account."""
    if member is None:
        return None
    rights = {"roles": [role.value for role in member.roles], "department": department}
    return None if lacks_department(rights) else rights


def _name(person: Person, email: str) -> str:
    problems = Problems()
    name = read_line(person.name, "name", NAME_LONGEST, problems) if person.name else None
    return name or email.partition("@")[0]
