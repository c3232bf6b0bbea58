"""Every query on alerts and notices. Alerts are everybody's who may read alerts; notices are one person's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.compliance.model import ALERTS, NOTICES, AlertState
from service.storage import Database, Index, UnitOfWork

INDEXES = (
    Index(ALERTS, (("state", 1), ("_id", -1)), "alerts_state"),
    Index(ALERTS, (("actors", 1), ("_id", -1)), "alerts_actors"),
    Index(ALERTS, (("subject", 1), ("state", 1)), "alerts_subject"),
    Index(NOTICES, (("to", 1), ("_id", -1)), "notices_to"),
)


class ComplianceRepository:
    """Reads outside a unit of work; whatever changes or guards something takes the unit."""

    def __init__(self, database: Database) -> None:
        self._alerts = database.collection(ALERTS)
        self._notices = database.collection(NOTICES)

    async def alert(self, alert: str) -> dict[str, Any] | None:
        """One alert."""
        return await self._alerts.find_one({"_id": alert})

    async def alerts(
        self, *, states: Sequence[str] | None, actor: str | None, after_id: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """Newest first."""
        where: dict[str, Any] = {}
        if states is not None:
            where["state"] = {"$in": list(states)}
        if actor is not None:
            where["actors"] = actor
        if after_id is not None:
            where["_id"] = {"$lt": after_id}
        return await self._alerts.find(where, sort=[("_id", -1)], limit=limit)

    async def insert_alert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new alert."""
        await unit.collection(ALERTS).insert_one(document)

    async def join_open(
        self, unit: UnitOfWork, subject: str, actors: Sequence[str], count: int, withheld: Sequence[str]
    ) -> dict[str, Any] | None:
        """The open alert about a subject, with further accounts; None when there is none."""
        return await unit.collection(ALERTS).find_one_and_update(
            {"subject": subject, "state": AlertState.OPEN.value},
            {
                "$addToSet": {"actors": {"$each": list(actors)}, "withheld": {"$each": list(withheld)}},
                "$max": {"count": count},
                "$inc": {"version": 1},
            },
        )

    async def acknowledge(
        self, unit: UnitOfWork, alert: str, version: int, changes: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The alert, acknowledged; None when it is at another version."""
        return await unit.collection(ALERTS).find_one_and_update(
            {"_id": alert, "version": version}, {"$set": changes, "$inc": {"version": 1}}
        )

    async def subjects_of(self, unit: UnitOfWork, actor: str, since: datetime) -> list[str]:
        """What was counted for the alerts because of which an account was locked since then: itself, networks."""
        found = await unit.collection(ALERTS).find({"actors": actor, "at": {"$gte": since}}, projection={"subject": 1})
        return [alert["subject"] for alert in found]

    async def insert_notice(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new notice."""
        await unit.collection(NOTICES).insert_one(document)

    async def notices(self, to: str, *, after_id: str | None, limit: int) -> list[dict[str, Any]]:
        """One person's, newest first."""
        where: dict[str, Any] = {"to": to}
        if after_id is not None:
            where["_id"] = {"$lt": after_id}
        return await self._notices.find(where, sort=[("_id", -1)], limit=limit)
