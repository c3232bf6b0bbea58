"""Every query on jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from service.jobs.model import JOBS, Job
from service.storage import Database, Index, UnitOfWork

INDEXES = (
    Index(JOBS, (("state", 1), ("priority", 1), ("due", 1)), "jobs_due"),
    Index(JOBS, (("kind", 1), ("state", 1)), "jobs_kind"),
)


class JobRepository:
    """A job is WAITING (perhaps under a lease), DONE jobs are deleted, FAILED ones stay to be seen."""

    def __init__(self, database: Database) -> None:
        self._jobs = database.collection(JOBS)

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Inside a unit of work."""
        await unit.collection(JOBS).insert_one(document)

    async def claim(self, kinds: Sequence[str], at: datetime, lease: timedelta, holder: str) -> Job | None:
        """Takes the first due job of these kinds; nobody else gets it until the lease ends."""
        found = await self._jobs.find_one_and_update(
            {"state": "WAITING", "kind": {"$in": list(kinds)}, "due": {"$lte": at}},
            {"$set": {"due": at + lease, "holder": holder}, "$inc": {"attempt": 1}},
            sort=[("priority", 1), ("due", 1)],
        )
        if found is None:
            return None
        return Job(found["_id"], found["kind"], found["payload"], found["attempt"], found["due"])

    async def extend(self, job: Job, holder: str, due: datetime) -> bool:
        """Keeps a long job; False when the lease was lost."""
        return await self._jobs.update_one({"_id": job.id, "holder": holder}, {"$set": {"due": due}}) == 1

    async def end(self, job: Job, holder: str) -> None:
        """The job is done."""
        await self._jobs.delete_many({"_id": job.id, "holder": holder})

    async def again(self, job: Job, holder: str, due: datetime, trouble: str) -> None:
        """To be tried again at `due`."""
        await self._jobs.update_one(
            {"_id": job.id, "holder": holder}, {"$set": {"due": due, "trouble": trouble}, "$unset": {"holder": ""}}
        )

    async def give_up(self, job: Job, holder: str, trouble: str) -> None:
        """No further try; the job stays to be seen."""
        await self._jobs.update_one(
            {"_id": job.id, "holder": holder}, {"$set": {"state": "FAILED", "trouble": trouble}}
        )

    async def waiting(self, kind: str) -> int:
        """How many jobs of this kind are still to be done."""
        return await self._jobs.count({"kind": kind, "state": "WAITING"})
