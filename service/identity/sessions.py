"""Sessions: signing in, rotating, ending, and telling who asks.

A session is a family of refresh tokens of which only the newest is good. Whoever presents an older one has
either stolen it or been stolen from, so the whole family ends and the epoch rises (RFC 9700 4.14.2, P10). A
client that sends the same refresh twice, out of impatience, can't be told from a thief and loses its session
too: clients must refresh from one place only.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from service.access.actor import SYSTEM, Actor, Caller
from service.access.policy import Policy, Role
from service.clock import new_id, now
from service.errors import Code, Invalid, NotSignedIn, Problems, Refused
from service.identity.attempts import FailedSignIns
from service.identity.model import (
    SESSION_PREFIX,
    SESSION_QUESTIONS,
    SESSIONS,
    USERS,
    OpenSession,
    Tokens,
    UserState,
    open_session_of,
    user_of,
)
from service.identity.passwords import Passwords, check_password
from service.identity.repository import IdentityRepository
from service.identity.rules import EMAIL_LONGEST, MANAGE_SESSIONS, normal_email
from service.identity.throttle import Throttle
from service.identity.tokens import AccessTokens, Claims, RefreshSecret, SigningKeys
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.storage import Database, UnitOfWork
from service.storage.epoch import Epoch

REMEMBERED_MOST = 10_000


class PolicySource(Protocol):
    """Where the policy in force comes from."""

    async def current(self) -> Policy:
        """The policy, valid for the epoch that the caller refreshed."""
        ...


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a token belongs to, and until when it lives; within one epoch that is remembered, but at most until `again`
    where there is one.
    """

    actor: Actor
    locale: str
    expires: datetime
    again: datetime | None = None
    revealed: tuple[tuple[str, str, datetime], ...] = ()
    """Record, path and until when."""


class Door(Protocol):
    """Another kind of token than our own access tokens."""

    def is_for(self, token: str) -> bool:
        """Whether the token is of this kind, by its looks."""
        ...

    async def signed_in(self, token: str, source: str, request_id: str) -> SignedIn:
        """Whose it is. Raises NotSignedIn."""
        ...


class Sessions:
    """See the module's docstring. `authenticate` and `caller` expect that the epoch was refreshed before."""

    def __init__(
        self,
        database: Database,
        signing: SigningKeys,
        epoch: Epoch,
        journal: Journal,
        policies: PolicySource,
        *,
        issuer: str,
        audience: str,
        access_seconds: int,
        refresh_days: int,
        passwords: Passwords | None = None,
    ) -> None:
        self.repository = IdentityRepository(database)
        self.passwords = passwords or Passwords()
        self.tokens = AccessTokens(signing, issuer=issuer, audience=audience, seconds=access_seconds)
        self._database = database
        self._epoch = epoch
        self._journal = journal
        self._policies = policies
        self._life = timedelta(days=refresh_days)
        self._failed = FailedSignIns(database, self.repository, journal, signing, policies.current)
        self._throttle = Throttle(database, self.repository, signing)
        self._doors: list[Door] = []
        self._remembered: OrderedDict[bytes, SignedIn] = OrderedDict()
        epoch.on_change(self._remembered.clear)

    async def sign_in(self, email: str, password: str, *, source: str, request_id: str) -> Tokens:
        """A new session. Raises Invalid INVALID_CREDENTIALS, the same and after the same work for an unknown
        address, a wrong password and a disabled account; Refused THROTTLED after too many guesses, and when too many
        are waiting.
        """
        await self._failed.journal_due()
        address = normal_email(email)
        given = address or str(email)[:EMAIL_LONGEST].strip().lower()
        await self._charge(given, source)
        user = await self.repository.user_by_email(address) if address else None
        right = await self.passwords.verify(user["password"] if user else None, password)
        tokens = None
        if user is not None and right and user["state"] == UserState.ACTIVE:
            tokens = await self._open_session(user, password, source, request_id)
        if tokens is None:
            await self._failed.count(given, user["_id"] if user else None, source)
            raise Invalid.because(Code.INVALID_CREDENTIALS)
        await self._throttle.succeeded(given, source)
        return tokens

    async def _charge(self, account: str, source: str) -> None:
        """Refused THROTTLED for one guess too many; the journal counts it like the others."""
        try:
            await self._throttle.charge(account, source)
        except Refused:
            user = await self.repository.user_by_email(account) if account.isascii() else None
            await self._failed.count(account, user["_id"] if user else None, source)
            raise

    async def _open_session(self, user: dict[str, Any], password: str, source: str, request_id: str) -> Tokens | None:
        former = user["password"]
        outdated = self.passwords.is_outdated(former)
        encoded = await self.passwords.hash(password) if outdated else former

        async def is_theirs(unit: UnitOfWork, at: datetime) -> bool:
            """Not when disabled, or the password changed, since it was read."""
            changes = {"password": encoded, "signed_in_at": at}
            return await self.repository.replace_password(unit, user["_id"], former, changes) is not None

        return await self.open_session(user, is_theirs, source, request_id)

    async def open_session(
        self,
        user: dict[str, Any],
        is_theirs: Callable[[UnitOfWork, datetime], Awaitable[bool]],
        source: str,
        request_id: str,
        *,
        longest: timedelta | None = None,
    ) -> Tokens | None:
        """A session of this user's, if in the same unit of work they still may have one; `longest`: after which it
        ends, however often it is renewed.
        """
        at, session, refresh = now(), new_id(SESSION_PREFIX), RefreshSecret.fresh()
        family, turn = refresh.hashes()
        document = {
            "_id": session,
            "user": user["_id"],
            "family_hash": family,
            "turn_hash": turn,
            "version": 1,
            "created_at": at,
            "refreshed_at": at,
            "expires_at": at + min(self._life, longest or self._life),
            "until": at + longest if longest else None,
            "ended_at": None,
            "ended_because": None,
            "source": source,
        }
        caller = await self._caller_for(user, session, source, request_id)
        entry = Work("session.start", (Touched(session, 1, document, collection=SESSIONS),), repeatable=False)

        async def work(unit: UnitOfWork) -> bool:
            if not await is_theirs(unit, at):
                return False
            await self.repository.insert_session(unit, dict(document))
            await self._journal.append(unit, caller, entry)
            return True

        return self._tokens(user, session, refresh) if await self._database.transact(work) else None

    async def refresh(self, refresh_token: str, *, source: str, request_id: str) -> Tokens:
        """The session's next tokens; the given one is spent. Raises Invalid INVALID_SESSION for an unknown,
        expired or ended session, and for a spent token, which ends its session in every process.
        """
        given = RefreshSecret.read(refresh_token)
        if given is None:
            raise Invalid.because(Code.INVALID_SESSION)
        successor = given.successor()

        async def work(unit: UnitOfWork) -> Tokens | None:
            at, (family, turn) = now(), given.hashes()
            _, next_turn = successor.hashes()
            session = await self.repository.turn_session(unit, family, turn, at, next_turn, at + self._life)
            if session is None:
                await self._end_reused(unit, family, at, source, request_id)
                return None
            user = await self.repository.user(session["user"], unit)
            if user is None or user["state"] != UserState.ACTIVE:
                raise Invalid.because(Code.INVALID_SESSION)
            caller = await self._caller_for(user, session["_id"], source, request_id)
            await self._journal.append(unit, caller, _session_work("session.refresh", session))
            return self._tokens(user, session["_id"], successor)

        tokens = await self._database.transact(work)
        if tokens is None:
            raise Invalid.because(Code.INVALID_SESSION)
        return tokens

    async def _end_reused(self, unit: UnitOfWork, family: bytes, at: datetime, source: str, request_id: str) -> None:
        session = await self.repository.end_family(unit, family, at, "REUSE")
        if session is None:
            return
        await Epoch.raise_in(unit)
        holder = Actor(session["user"], "", frozenset(), None, session["_id"])
        caller = Caller(holder, await self._policies.current(), request_id, source)
        await self._journal.append(unit, caller, _session_work("session.reuse", session))

    async def sign_out(self, caller: Caller, *, everywhere: bool = False) -> None:
        """Ends the caller's session, or all of that user's: their access tokens die at the next request, in every
        process.
        """
        session, user = caller.actor.session, caller.actor.id
        if session is None:
            return

        async def work(unit: UnitOfWork) -> None:
            if everywhere:
                if not (ended := await self.repository.end_sessions(unit, user, now(), "SIGN_OUT")):
                    return
                touched = (Touched(user, None, None, collection=USERS),)
                entry = Work("session.end_all", touched, repeatable=False, details={"sessions": ended})
            else:
                document = await self.repository.end_session(unit, session, now(), "SIGN_OUT")
                if document is None:
                    return
                entry = _session_work("session.end", document)
            await Epoch.raise_in(unit)
            await self._journal.append(unit, caller, entry)

        await self._database.transact(work)

    async def sessions(
        self, caller: Caller, user: str | None = None, *, first: int = 20, after_id: str | None = None
    ) -> list[OpenSession]:
        """Living sessions, newest first: the caller's own, or with step session.manage another user's. Raises
        NotPermitted.
        """
        SESSION_QUESTIONS.permit(caller, ["id", "user"])
        whose = caller.actor.id if user is None else user
        if whose != caller.actor.id:
            caller.require(MANAGE_SESSIONS, record=whose)
        found = await self.repository.living_sessions(whose, now(), first=first, after_id=after_id)
        return [open_session_of(document, caller.actor.session) for document in found]

    async def end_session(self, caller: Caller, session: str) -> None:
        """Ends one session: a session of the caller's own, or with step session.manage anybody's. Its tokens die at
        the next request, in every process. Raises Invalid NOT_FOUND alike for one that is absent, over, or not the
        caller's to end.
        """
        whose = None if caller.may(MANAGE_SESSIONS) else caller.actor.id

        async def work(unit: UnitOfWork) -> None:
            ended = await self.repository.end_session(unit, session, now(), "ENDED", user=whose)
            if ended is None:
                raise Invalid.because(Code.NOT_FOUND, "id")
            await Epoch.raise_in(unit)
            touched = Touched(session, ended["version"], ended, collection=SESSIONS)
            details = {"user": ended["user"]}
            await self._journal.append(unit, caller, Work("session.end", (touched,), details=details))

        await self._database.transact(work)

    async def change_password(self, caller: Caller, current: str, new: str) -> None:
        """Replaces the caller's own password and ends all their other sessions. Raises Invalid:
        INVALID_CREDENTIALS for `currentPassword` (counted and throttled as a failed sign-in); WEAK_PASSWORD, TOO_LONG … for
        `newPassword`.
        """
        user = await self.repository.user(caller.actor.id)
        if user is None:
            raise NotSignedIn
        former = user["password"]
        await self._charge(user["email"], caller.source)
        if not await self.passwords.verify(former, current):
            await self._failed.count(user["email"], user["_id"], caller.source)
            raise Invalid.because(Code.INVALID_CREDENTIALS, "currentPassword")
        await self._throttle.succeeded(user["email"], caller.source)
        problems = Problems()
        check_password(problems, new, user["email"], "newPassword")
        problems.raise_if_any()
        encoded = await self.passwords.hash(new)

        async def work(unit: UnitOfWork) -> None:
            changed = await self.repository.replace_password(unit, user["_id"], former, {"password": encoded})
            if changed is None:
                raise Invalid.because(Code.INVALID_CREDENTIALS, "currentPassword")
            await self.repository.end_sessions(unit, user["_id"], now(), "PASSWORD", but=caller.actor.session)
            await Epoch.raise_in(unit)
            touched = Touched(user["_id"], changed["version"], None, collection=USERS, changed=("password",))
            await self._journal.append(unit, caller, Work("user.change_password", (touched,)))

        await self._database.transact(work)

    async def authenticate(self, token: str) -> Actor:
        """Who the token belongs to, with the roles and department of this moment. Raises NotSignedIn."""
        return (await self._signed_in(token, "", "")).actor

    async def caller(self, token: str, *, request_id: str, source: str, locale: str | None = None) -> Caller:
        """One request of whoever the token belongs to; `locale` None means the user's own. Raises
        NotSignedIn.
        """
        found = await self._signed_in(token, source, request_id)
        policy = await self._policies.current()
        caller = Caller(found.actor, policy, request_id, source, locale or found.locale, found.expires)
        if found.revealed:
            caller.revealed = _still(found.revealed, now())
        return caller

    def open_door(self, door: Door) -> None:
        """Tokens of another kind are accepted too."""
        self._doors.append(door)

    async def _signed_in(self, token: str, source: str, request_id: str) -> SignedIn:
        if not isinstance(token, str) or not token.isascii():
            raise NotSignedIn
        key = hashlib.sha256(token.encode()).digest()
        found = self._remembered.get(key)
        if found is not None:
            at = now()
            if at < (found.again or found.expires):
                self._remembered.move_to_end(key)
                return found
            del self._remembered[key]
            if at >= found.expires:
                raise NotSignedIn
        epoch = self._epoch.value
        door = next((door for door in self._doors if door.is_for(token)), None)
        if door is not None:
            found = await door.signed_in(token, source, request_id)
        else:
            found = await self._read_signed_in(self.tokens.verify(token))
        # What was read while the epoch rose may be older than the revocation: it is not remembered.
        if epoch == self._epoch.value:
            self._remembered[key] = found
            if len(self._remembered) > REMEMBERED_MOST:
                self._remembered.popitem(last=False)
        return found

    async def _read_signed_in(self, claims: Claims) -> SignedIn:
        user = await self.repository.signed_in(claims.session, claims.user, now())
        if user is None:
            raise NotSignedIn
        revealed = tuple((one["record"], one["path"], one["until"]) for one in user["revealed"])
        return SignedIn(actor_of(user, claims.session), user["locale"], claims.expires, revealed=revealed)

    async def journal_failures(self) -> int:
        """Journals failed sign-ins of minutes that are over; to be called now and then by a worker."""
        return await self._failed.journal_due()

    async def keys_changed(self, action: str, **details: Any) -> None:
        """Journals what the command line did to the signing keys, and has every process look at them."""
        caller = Caller(SYSTEM, await self._policies.current())

        async def work(unit: UnitOfWork) -> None:
            await Epoch.raise_in(unit)
            await self._journal.append(unit, caller, Work(action, repeatable=False, details=details))

        await self._database.transact(work)

    async def policy(self) -> Policy:
        """The policy in force."""
        return await self._policies.current()

    async def _caller_for(self, user: dict[str, Any], session: str, source: str, request_id: str) -> Caller:
        policy = await self._policies.current()
        return Caller(actor_of(user, session), policy, request_id, source, user["locale"])

    def _tokens(self, user: dict[str, Any], session: str, refresh: RefreshSecret) -> Tokens:
        access, expires = self.tokens.issue(user["_id"], session)
        return Tokens(access, expires, refresh.text(), user_of(user))

    def close(self) -> None:
        """Ends the hashing threads."""
        self.passwords.close()


def actor_of(user: dict[str, Any], session: str | None) -> Actor:
    """A stored user as rights see them."""
    roles = frozenset(Role(role) for role in user["roles"])
    return Actor(user["_id"], user["name"], roles, user["department"], session)


def _still(revealed: tuple[tuple[str, str, datetime], ...], at: datetime) -> dict[str, dict[str, datetime]]:
    """What is revealed at this moment: by record, path and until when."""
    found: dict[str, dict[str, datetime]] = {}
    for record, path, until in revealed:
        if at < until:
            found.setdefault(record, {})[path] = until
    return found


def _session_work(action: str, session: dict[str, Any]) -> Work:
    touched = Touched(session["_id"], session["version"], session, collection=SESSIONS)
    return Work(action, (touched,), repeatable=False)
