"""Journal → engine, idempotent. Reads the records as they are and upserts them under `search_version`, so order and
repetition do no harm (P28). A new engine or mapping is a new generation, built before it answers.

A change stream is only the wake-up; a poll finds what it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from search.document import FORM, case_document, customer_document
from search.keyed import KeyedTokens
from search.port import EngineUnavailable, IndexDocument, SearchEngine, SearchError
from service.cases.service import Cases
from service.clock import now
from service.customers.service import Customers
from service.evidence.service import EvidenceRoom
from service.jobs.model import Job
from service.journal.service import Journal

BATCH = 200
REBUILD = "index.rebuild"
log = structlog.get_logger(__name__)


class Indexer:
    """One runs at a time; a second one does no harm."""

    def __init__(
        self,
        engine: SearchEngine,
        journal: Journal,
        cases: Cases,
        customers: Customers,
        evidence: EvidenceRoom,
        keyed: KeyedTokens,
        time_zone: str,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._cases = cases
        self._customers = customers
        self._evidence = evidence
        self._keyed = keyed
        self._zone = ZoneInfo(time_zone)
        self._writing = asyncio.Lock()
        self._rebuilding = asyncio.Lock()

    async def prepare(self) -> None:
        """Makes sure that some generation answers; a first one is built from the records as they are."""
        if await self._engine.current() is None:
            await self.rebuild()

    async def renew(self) -> None:
        """Builds a generation of today's form beside one of another form, which answers meanwhile."""
        current = await self._engine.current()
        if current is not None and form_of(current) != FORM:
            log.info("the index has another form; it is built anew", form=form_of(current), wanted=FORM)
            await self.rebuild()

    async def documents(self, ids: Sequence[str]) -> tuple[list[IndexDocument], dict[str, str]]:
        """The index documents of these records as they are now, and what is wrong with those that have none."""
        case_ids = [record for record in ids if record.startswith("cas_")]
        customer_ids = {record for record in ids if record.startswith("cus_")}
        cases = await self._cases.sealed_for_index(case_ids)
        owners = {str(case.document["customer"]) for case in cases}
        customers = await self._customers.sealed_for_index(customer_ids | owners)
        events = await self._cases.history.sealed_for_index(case_ids)
        scans = await self._evidence.sealed_for_index(case_ids)
        made: dict[str, Callable[[], IndexDocument]] = {
            case.id: partial(
                case_document,
                case,
                events.get(case.id, ()),
                scans.get(case.id, ()),
                customers.get(str(case.document["customer"])),
                self._zone,
                self._keyed,
            )
            for case in cases
        }
        made |= {
            record: partial(customer_document, customers[record], self._keyed)
            for record in sorted(customer_ids)
            if record in customers
        }
        found, troubles = [], {}
        for record, make in made.items():
            try:
                found.append(make())
            except Exception as error:  # a damaged record is its own trouble and stops nobody else's work
                troubles[record] = type(error).__name__
        return found, troubles

    async def catch_up(self) -> int:
        """Does the index work that is due, in every generation; returns how many entries it covered."""
        async with self._writing:
            repository = self._journal.repository
            entries = await repository.to_index(BATCH)
            ids = [record for entry in entries for record in entry["progress"]["index"]]
            ids += await repository.unindexed_due(now(), BATCH)
            if not ids:
                return 0
            generations = await self._engine.generations()
            indexed = await self._bring(generations, list(dict.fromkeys(ids)))
            for generation in generations:
                await self._engine.refresh(generation)
            await repository.indexed(indexed)
            await repository.index_done([entry["_id"] for entry in entries], generations)
            return len(entries)

    async def _bring(self, generations: Sequence[str], ids: Sequence[str]) -> list[str]:
        """Upserts what can be indexed and says what that was; the rest is written down, to be tried again."""
        documents, troubles = await self.documents(ids)
        for generation in generations:
            await self._engine.upsert(generation, documents)
        for record, trouble in troubles.items():
            log.error("a record can't be indexed", record=record, trouble=trouble)
            await self._journal.repository.index_failed(record, trouble, now())
        return [record for record in ids if record not in troubles]

    async def rebuild(self, progress: Callable[[int], None] | None = None) -> str:
        """Builds a new generation beside the one that answers, swaps, and drops the older ones.

        While it is built, `catch_up` writes to both, so nothing is missing after the swap.
        """
        async with self._rebuilding:
            return await self._rebuild(progress)

    async def _rebuild(self, progress: Callable[[int], None] | None) -> str:
        former = await self._engine.generations()
        number = 1 + max((_number_of(name) for name in former), default=0)
        generation = f"g{number:06d}-f{FORM}"
        await self._engine.create(generation)
        done = 0
        for ids in (self._customers.every_id(), self._cases.every_id()):
            async for batch in _batched(ids, BATCH):
                async with self._writing:
                    await self._bring([generation], batch)
                done += len(batch)
                if progress:
                    progress(done)
        async with self._writing:
            await self._engine.refresh(generation)
            await self._engine.promote(generation)
            for name in former:
                await self._engine.drop(name)
        log.info("index rebuilt", generation=generation, documents=done)
        return generation

    async def rebuild_job(self, _: Job) -> None:
        """`anjuan reindex` while a worker runs."""
        await self.rebuild()

    async def run(self, insertions: Callable[[], AsyncIterator[None]], *, poll_seconds: float = 0.2) -> None:
        """Works until cancelled. Trouble with the engine is logged and tried again: writes go on meanwhile."""
        wake = asyncio.Event()
        watcher = asyncio.create_task(_watch(insertions, wake))
        delay = poll_seconds
        try:
            while True:
                wake.clear()
                try:
                    covered = await self.catch_up()
                    delay = poll_seconds
                except (SearchError, EngineUnavailable) as error:
                    log.warning("index engine in trouble", trouble=type(error).__name__)
                    covered, delay = 0, min(delay * 2, 10.0)
                if not covered:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(wake.wait(), delay)
        finally:
            watcher.cancel()


def form_of(generation: str) -> int:
    """The form of a generation's documents; the first one's names did not tell it."""
    _, _, form = generation.partition("-f")
    return int(form or 1)


def _number_of(generation: str) -> int:
    return int(generation.partition("-")[0].removeprefix("g"))


async def _watch(insertions: Callable[[], AsyncIterator[None]], wake: asyncio.Event) -> None:
    while True:
        try:
            async for _ in insertions():
                wake.set()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.info("change stream ended; polling", trouble=type(error).__name__)
        await asyncio.sleep(5)


async def _batched(ids: AsyncIterator[str], size: int) -> AsyncIterator[list[str]]:
    batch: list[str] = []
    async for record in ids:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
