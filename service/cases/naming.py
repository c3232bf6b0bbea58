"""A customer's new name reaches the index documents of its cases: a job, in batches."""

from __future__ import annotations

from itertools import islice

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy
from service.cases.service import Cases
from service.jobs.model import Job
from service.journal.model import Work
from service.journal.service import Journal
from service.storage import Database, UnitOfWork

BATCH = 200


class CaseNaming:
    """Bears repetition: an index document is made from the records as they are."""

    def __init__(self, database: Database, cases: Cases, journal: Journal) -> None:
        self._database = database
        self._cases = cases
        self._journal = journal

    async def renamed(self, job: Job) -> None:
        """Asks for the cases of the customer to be indexed again."""
        ids = iter(await self._cases.repository.ids_of_customer(job.payload["customer"]))
        caller = Caller(SYSTEM, Policy(0, {}, frozenset(), {}))
        while batch := list(islice(ids, BATCH)):

            async def work(unit: UnitOfWork, batch: list[str] = batch) -> None:
                await self._cases.repository.to_index_again(unit, batch)
                await self._journal.append(unit, caller, Work("customer.renamed", index=tuple(batch)))

            await self._database.transact(work)
