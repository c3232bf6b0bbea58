"""Enqueue inside a unit of work; run with registered handlers. Knows handlers by name only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from service.clock import new_id, now
from service.jobs.model import PREFIX, Job
from service.jobs.repository import JobRepository
from service.jobs.rules import LEASE, delay_after
from service.storage import Database, UnitOfWork

Handler = Callable[[Job], Awaitable[None]]
log = structlog.get_logger(__name__)


class Jobs:
    """Work is lost by no crash: a job whose worker died is due again when its lease ends."""

    def __init__(self, database: Database) -> None:
        self.repository = JobRepository(database)
        self._holder = new_id("wrk")

    async def enqueue(
        self,
        unit: UnitOfWork,
        kind: str,
        payload: Mapping[str, Any],
        *,
        after: timedelta = timedelta(),
        priority: int = 5,
    ) -> None:
        """Commits together with what made it necessary. Lower priority numbers come first."""
        await self.repository.insert(
            unit,
            {
                "_id": new_id(PREFIX),
                "kind": kind,
                "payload": dict(payload),
                "state": "WAITING",
                "priority": priority,
                "attempt": 0,
                "due": now() + after,
            },
        )

    async def run_once(self, handlers: Mapping[str, Handler]) -> bool:
        """Does one due job; False when none was due. A handler's failure is recorded, never raised."""
        job = await self.repository.claim(list(handlers), now(), LEASE, self._holder)
        if job is None:
            return False
        keeper = asyncio.create_task(self._keep(job))
        try:
            await handlers[job.kind](job)
        except Exception as error:
            trouble = type(error).__name__
            log.warning("job failed", job=job.id, kind=job.kind, attempt=job.attempt, trouble=trouble)
            delay = delay_after(job.attempt)
            if delay is None:
                await self.repository.give_up(job, self._holder, trouble)
            else:
                await self.repository.again(job, self._holder, now() + delay, trouble)
        else:
            await self.repository.end(job, self._holder)
        finally:
            keeper.cancel()
        return True

    async def _keep(self, job: Job) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            await self.repository.extend(job, self._holder, now() + LEASE)

    async def run(self, handlers: Mapping[str, Handler], *, idle_seconds: float = 0.5) -> None:
        """Works until cancelled."""
        while True:
            if not await self.run_once(handlers):
                await asyncio.sleep(idle_seconds)

    async def waiting(self, kind: str) -> int:
        """How many jobs of this kind are still to be done."""
        return await self.repository.waiting(kind)
