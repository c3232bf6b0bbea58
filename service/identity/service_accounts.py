"""Service accounts: programs that use the API by keys of their own.

A key is 256 random bits after `ak_`, told once; its SHA-256 is stored. An account reads what its roles may read; what
it may do besides is a list of the policy's steps, a subset of what its roles may. It has no password and no session,
manages nobody, and is none of the roles to whom customers or cases belong. A key ends by its date, within a year, or
by being revoked: at the next query, in every process.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from service.access.actor import Actor, Caller
from service.access.policy import Policy, Role
from service.clock import is_id, new_id, now
from service.errors import LOCALES, Code, Invalid, NotSignedIn, Problems
from service.identity.model import (
    DEPARTMENT_PREFIX,
    KEY_ID_PREFIX,
    SERVICE_ACCOUNT_PREFIX,
    SERVICE_ACCOUNTS,
    NewServiceKey,
    ServiceAccount,
    service_account_of,
)
from service.identity.rules import NAME_LONGEST, lacks_department, read_line
from service.identity.service_account_repository import ServiceAccountRepository
from service.identity.sessions import Sessions, SignedIn
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.storage import Database, UnitOfWork
from service.storage.epoch import Epoch

MANAGE_SERVICE_ACCOUNTS = "service_account.manage"
ROLES = frozenset({Role.SUPERVISOR, Role.CLERK, Role.COMPLIANCE, Role.AUDITOR})
NOT_FOR_PROGRAMS = ("user.manage", "session.", "service_account.", "policy.", "template.")
LIFE, LONGEST_LIFE = timedelta(days=90), timedelta(days=366)
KEPT = timedelta(days=90)
"""How long a key that is over is still listed."""
KEYS_MOST, STEPS_MOST = 10, 50
USE_KNOWN = timedelta(hours=1)
"""The last use is known to the hour, so that requests don't write."""
KEY_PREFIX = "ak_"
_KEY = re.compile(r"ak_[A-Za-z0-9_-]{43}")


class ServiceAccounts:
    """See the module's docstring. A Door for their keys."""

    def __init__(self, database: Database, sessions: Sessions, journal: Journal) -> None:
        self._database = database
        self._repository = ServiceAccountRepository(database)
        self._sessions = sessions
        self._journal = journal

    def is_for(self, token: str) -> bool:
        """Whether it looks like a key."""
        return token.startswith(KEY_PREFIX)

    async def signed_in(self, token: str, _source: str, _request_id: str) -> SignedIn:
        """Whose key it is. Raises NotSignedIn."""
        if not _KEY.fullmatch(token):
            raise NotSignedIn
        at, hashed = now(), _hash(token)
        account = await self._repository.by_key_hash(hashed)
        key = next((key for key in account["keys"] if key["hash"] == hashed), None) if account else None
        if account is None or key is None or not _lives(key, at):
            raise NotSignedIn
        if key["last_used_at"] is None or at - key["last_used_at"] >= USE_KNOWN:
            hour = at.replace(minute=0, second=0, microsecond=0)
            await self._repository.used(key["id"], hour)
        roles = frozenset(Role(role) for role in account["roles"])
        actor = Actor(account["_id"], account["name"], roles, account["department"], None, frozenset(account["steps"]))
        return SignedIn(actor, LOCALES[0], key["expires_at"], at + USE_KNOWN)

    async def accounts(self, caller: Caller, *, first: int = 20, after_id: str | None = None) -> list[ServiceAccount]:
        """All of them, in the order of their ids. Raises NotPermitted."""
        caller.require(MANAGE_SERVICE_ACCOUNTS)
        found = await self._repository.page(first, after_id)
        return [service_account_of(document) for document in found]

    async def one(self, caller: Caller, account: str) -> ServiceAccount | None:
        """One of them. Raises NotPermitted."""
        caller.require(MANAGE_SERVICE_ACCOUNTS)
        found = await self._repository.one(account)
        return service_account_of(found) if found else None

    async def create(self, caller: Caller, values: Mapping[str, Any]) -> NewServiceKey:
        """A new account (`name`, `roles`, `department`, `steps`, `expires_at` of its first key) and that key. Raises
        NotPermitted; Invalid REQUIRED, WRONG_TYPE, INVALID_ID, NOT_FOUND, TOO_MANY, VALIDATION …
        """
        caller.require(MANAGE_SERVICE_ACCOUNTS)
        at, problems = now(), Problems()
        fields = _read(values, caller.policy, problems)
        expires = _read_expiry(values.get("expires_at"), at, problems)
        problems.raise_if_any()
        secret, key = _new_key(at, expires)
        document = {
            "_id": new_id(SERVICE_ACCOUNT_PREFIX),
            **fields,
            "keys": [key],
            "version": 1,
            "created_at": at,
            "created_by": caller.actor.id,
        }

        async def work(unit: UnitOfWork) -> None:
            department = fields["department"]
            if department and not await self._sessions.repository.has_department(unit, department):
                raise Invalid.because(Code.NOT_FOUND, "department")
            await self._repository.insert(unit, dict(document))
            touched = Touched(document["_id"], 1, document, collection=SERVICE_ACCOUNTS, changed=tuple(sorted(fields)))
            details = {"key": key["id"], "roles": fields["roles"], "steps": fields["steps"]}
            await self._journal.append(unit, caller, Work("service_account.create", (touched,), details=details))

        await self._database.transact(work)
        return NewServiceKey(service_account_of(document), secret)

    async def create_key(self, caller: Caller, account: str, expires_at: datetime | None) -> NewServiceKey:
        """One more key. Raises NotPermitted; Invalid NOT_FOUND, TOO_MANY, VALIDATION."""
        caller.require(MANAGE_SERVICE_ACCOUNTS, record=account)
        at, problems = now(), Problems()
        expires = _read_expiry(expires_at, at, problems)
        problems.raise_if_any()
        secret, key = _new_key(at, expires)

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            former = await self._repository.one(account, unit)
            if former is None:
                raise Invalid.because(Code.NOT_FOUND, "id")
            kept = [one for one in former["keys"] if (one["revoked_at"] or one["expires_at"]) > at - KEPT]
            if sum(_lives(one, at) for one in kept) >= KEYS_MOST:
                raise Invalid.because(Code.TOO_MANY, "keys", limit=KEYS_MOST)
            return await self._rewrite(unit, caller, former, [*kept, key], "service_key.create", key["id"])

        return NewServiceKey(service_account_of(await self._database.transact(work)), secret)

    async def revoke_key(self, caller: Caller, key: str) -> ServiceAccount:
        """Ends a key at the next query. Raises NotPermitted; Invalid NOT_FOUND, also for one that is over."""
        caller.require(MANAGE_SERVICE_ACCOUNTS)

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            at = now()
            former = await self._repository.by_key(unit, key)
            if former is None or not any(one["id"] == key and _lives(one, at) for one in former["keys"]):
                raise Invalid.because(Code.NOT_FOUND, "key")
            keys = [{**one, "revoked_at": at} if one["id"] == key else one for one in former["keys"]]
            await Epoch.raise_in(unit)
            return await self._rewrite(unit, caller, former, keys, "service_key.revoke", key)

        return service_account_of(await self._database.transact(work))

    async def _rewrite(
        self,
        unit: UnitOfWork,
        caller: Caller,
        former: dict[str, Any],
        keys: list[dict[str, Any]],
        action: str,
        key: str,
    ) -> dict[str, Any]:
        changed = await self._repository.replace_keys(unit, former["_id"], former["version"], keys)
        if changed is None:
            raise Invalid.because(Code.CONFLICT, "version", current=former["version"])
        touched = Touched(changed["_id"], changed["version"], changed, collection=SERVICE_ACCOUNTS, changed=("keys",))
        await self._journal.append(unit, caller, Work(action, (touched,), details={"key": key}))
        return changed


def _read(values: Mapping[str, Any], policy: Policy, problems: Problems) -> dict[str, Any]:
    name = read_line(values.get("name") or "", "name", NAME_LONGEST, problems)
    roles = frozenset(Role(role) for role in values.get("roles") or ())
    if not roles:
        problems.add(Code.REQUIRED, "roles")
    for role in sorted(roles - ROLES):
        problems.add(Code.VALIDATION, "roles", reason=_not_for_programs(role.value))
    department = values.get("department")
    fields = {"name": name, "roles": [role.value for role in Role if role in roles], "department": department}
    if department is not None and not is_id(department, DEPARTMENT_PREFIX):
        problems.add(Code.INVALID_ID, "department")
    elif lacks_department(fields):
        problems.add(Code.REQUIRED, "department")
    steps = sorted(set(values.get("steps") or ()))
    if len(steps) > STEPS_MOST:
        problems.add(Code.TOO_MANY, "steps", limit=STEPS_MOST)
    allowed = {step for step, grants in policy.steps.items() if any(role in roles for role, _ in grants)}
    for step in steps[:STEPS_MOST]:
        if step not in allowed or step.startswith(NOT_FOR_PROGRAMS):
            problems.add(Code.VALIDATION, "steps", reason=_not_for_programs(step if step in policy.steps else "?"))
    return {**fields, "steps": steps}


def _not_for_programs(what: str) -> dict[str, str]:
    return {"en": f"{what} is not for this service account", "zh-CN": f"{what} 不可授予该服务账号"}


def _read_expiry(value: datetime | None, at: datetime, problems: Problems) -> datetime:
    expires = at + LIFE if value is None else value
    if not at < expires <= at + LONGEST_LIFE:
        days = LONGEST_LIFE.days
        reason = {"en": f"in the future, within {days} days", "zh-CN": f"必须在未来 {days} 天之内"}
        problems.add(Code.VALIDATION, "expiresAt", reason=reason)
    return expires


def _new_key(at: datetime, expires: datetime) -> tuple[str, dict[str, Any]]:
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key = {
        "id": new_id(KEY_ID_PREFIX),
        "hash": _hash(secret),
        "created_at": at,
        "expires_at": expires,
        "revoked_at": None,
        "last_used_at": None,
    }
    return secret, key


def _hash(secret: str) -> bytes:
    """Random 256-bit values need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def _lives(key: Mapping[str, Any], at: datetime) -> bool:
    return key["revoked_at"] is None and bool(key["expires_at"] > at)
