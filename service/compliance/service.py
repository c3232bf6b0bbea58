"""Use cases of watching: lock who read too much and say so, look into alerts, unlock, tell owners (R70, P30)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from service.access.actor import SYSTEM, Caller
from service.clock import new_id, now
from service.compliance.model import (
    ALERT_PREFIX,
    ALERT_QUESTIONS,
    ALERTS,
    NOTICE_QUESTIONS,
    Alert,
    AlertKind,
    AlertState,
    Notice,
    alert_of,
    notice_of,
)
from service.compliance.repository import ComplianceRepository
from service.compliance.reveals import Reveals
from service.compliance.rules import ALERT_ACKNOWLEDGE, ALERT_READ, UNLOCK, WITHHELD_MOST, joined_with, reason_of
from service.errors import Code, Invalid, Problems
from service.identity.model import User
from service.identity.service import Identity
from service.journal.model import Touched, Work
from service.journal.readings import Excess
from service.journal.service import Journal
from service.journal.windows import MINUTES, Limits, ReadingWindow, is_network
from service.storage import Database, UnitOfWork

_REMEMBERED = timedelta(minutes=2 * MINUTES[ReadingWindow.DAY])


class Compliance:
    """Methods raise NotPermitted and Invalid; an alert that is not there is None."""

    def __init__(
        self, database: Database, journal: Journal, identity: Identity, reveals: Reveals, *, limits: Limits
    ) -> None:
        self._database = database
        self._repository = ComplianceRepository(database)
        self._journal = journal
        self._identity = identity
        self.reveals = reveals
        journal.readings.limit_by(limits, self._lock)

    async def _lock(self, caller: Caller, excess: Excess, records: Sequence[str]) -> None:
        """Locks the accounts, ends their sessions and raises the alert, in one unit of work with its entry. Those that
        are locked already stay as they are; accounts of one network that come after the first join its open alert.
        """
        at, withheld = now(), list(records)[:WITHHELD_MOST]
        system = Caller(SYSTEM, caller.policy, caller.request_id, caller.source)
        document: dict[str, Any] = {
            "_id": new_id(ALERT_PREFIX),
            "kind": AlertKind.BULK_READING.value,
            "state": AlertState.OPEN.value,
            "at": at,
            "subject": excess.subject,
            "source": caller.source,
            "split": is_network(excess.subject),
            "window": excess.window.value,
            "since": at - timedelta(minutes=MINUTES[excess.window]),
            "limit": excess.limit,
            "count": excess.count,
            "withheld": withheld,
            "acknowledged_by": None,
            "acknowledged_at": None,
            "note": None,
            "version": 1,
        }

        async def work(unit: UnitOfWork) -> None:
            locked = await self._identity.lock(unit, excess.actors)
            if not locked:
                return
            ids = [touched.id for touched in locked]
            joined = None
            if document["split"]:
                joined = await self._repository.join_open(unit, excess.subject, ids, excess.count, withheld)
            if joined is None:
                await self._repository.insert_alert(unit, {**document, "actors": ids})
            alert, version = (joined["_id"], joined["version"]) if joined else (document["_id"], 1)
            details = {
                "alert": alert,
                "window": excess.window.value,
                "limit": excess.limit,
                "count": excess.count,
                "reader": caller.actor.id,
            }
            touched = (*locked, Touched(alert, version, None, collection=ALERTS))
            await self._journal.append(unit, system, Work("user.lock", touched, repeatable=False, details=details))

        await self._database.transact(work)

    async def unlock(self, caller: Caller, user: str, version: int, reason: str) -> User:
        """The account may sign in again, and is counted anew, as are the networks it was locked for. Raises
        NotPermitted; Invalid INVALID_ID, NOT_FOUND, CONFLICT, NOT_ALLOWED_IN_STATE, and what is wrong with `reason`.
        """
        caller.require(UNLOCK, record=user)
        problems = Problems()
        text = reason_of(reason, "reason", problems)
        problems.raise_if_any()

        async def work(unit: UnitOfWork) -> User:
            touched, unlocked = await self._identity.unlock(unit, user, version)
            subjects = await self._repository.subjects_of(unit, user, now() - _REMEMBERED)
            await self._journal.readings.forget(unit, [user, *subjects])
            await self._journal.append(unit, caller, Work(UNLOCK, (touched,), reason=text))
            return unlocked

        return await self._database.transact(work)

    async def alerts(
        self, caller: Caller, *, states: Sequence[str] | None, actor: str | None, after_id: str | None, limit: int
    ) -> list[Alert]:
        """Alerts, newest first. Raises NotPermitted."""
        caller.require(ALERT_READ)
        asked = {"states": states, "actor": actor}
        ALERT_QUESTIONS.permit(caller, ["id", *(name for name, value in asked.items() if value is not None)])
        found = await self._repository.alerts(states=states, actor=actor, after_id=after_id, limit=limit)
        return [alert_of(document) for document in found]

    async def alert(self, caller: Caller, alert: str) -> Alert | None:
        """One alert. Raises NotPermitted."""
        caller.require(ALERT_READ)
        document = await self._repository.alert(alert)
        return alert_of(document) if document else None

    async def entries_of(self, caller: Caller, alert: str, **asked: Any) -> dict[str, Any] | None:
        """Which entries of the journal an alert stands on (what its accounts read in its window), as conditions of
        `Journal.entries` joined with those that are `asked` beside it; None can match nothing. Raises NotPermitted.
        """
        ALERT_QUESTIONS.permit(caller, ["id"])
        found = await self.alert(caller, alert)
        return joined_with(found, asked) if found else None

    async def acknowledge(self, caller: Caller, alert: str, version: int, note: str) -> Alert | None:
        """Somebody has looked into it. Raises NotPermitted; Invalid CONFLICT, NOT_ALLOWED_IN_STATE, and what is wrong
        with `note`.
        """
        caller.require(ALERT_ACKNOWLEDGE, record=alert)
        found = await self._repository.alert(alert)
        if found is None:
            return None
        if found["version"] != version:
            raise Invalid.because(Code.CONFLICT, "version", current=found["version"])
        if found["state"] != AlertState.OPEN.value:
            raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state=found["state"])
        problems = Problems()
        text = reason_of(note, "note", problems, least=1)
        problems.raise_if_any()
        changes = {
            "state": AlertState.ACKNOWLEDGED.value,
            "acknowledged_by": caller.actor.id,
            "acknowledged_at": now(),
            "note": text,
        }

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            after = await self._repository.acknowledge(unit, alert, version, changes)
            if after is not None:
                touched = Touched(alert, after["version"], None, collection=ALERTS, changed=("state",))
                await self._journal.append(unit, caller, Work(ALERT_ACKNOWLEDGE, (touched,), reason=text))
            return after

        after = await self._database.transact(work)
        if after is None:
            current = await self._repository.alert(alert)
            raise Invalid.because(Code.CONFLICT, "version", current=(current or found)["version"])
        return alert_of(after)

    async def notices(self, caller: Caller, *, after_id: str | None, limit: int) -> list[Notice]:
        """What the caller is told, newest first."""
        NOTICE_QUESTIONS.permit(caller, ["id"])
        found = await self._repository.notices(caller.actor.id, after_id=after_id, limit=limit)
        return [notice_of(document) for document in found]
