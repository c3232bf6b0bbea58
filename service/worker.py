"""The worker: jobs, the indexer, reading of scans, housekeeping. `service.cli worker` runs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from search.indexer import REBUILD
from search.port import WriterTaken
from service.archive.model import SEAL
from service.cases.naming import CaseNaming
from service.customers.service import RENAMED
from service.evidence.model import READ
from service.evidence.reading import Reader
from service.evidence.texts import EvidenceTexts
from service.jobs.model import Job
from service.system import System

HOUSEKEEPING_SECONDS = 60.0
RETRY_SECONDS = 1.0
log = structlog.get_logger("anjuan.worker")


async def run_worker(system: System, stopping: asyncio.Event) -> None:
    """Works until `stopping` is set; what was begun is finished or left to be done again."""
    await system.epoch.refresh()
    async with Reader() as reader:
        texts = EvidenceTexts(system.evidence, reader)
        naming = CaseNaming(system.database, system.cases, system.journal)

        async def seal(job: Job) -> None:
            await system.epoch.refresh()
            await system.archive.resume(job, await system.policies.current())

        quick = {RENAMED: naming.renamed, SEAL: seal, REBUILD: system.indexer.rebuild_job}
        tasks = [
            asyncio.create_task(_steadily(lambda: _index(system)), name="indexer"),
            asyncio.create_task(_steadily(lambda: system.jobs.run(quick)), name="jobs"),
            asyncio.create_task(_steadily(lambda: system.jobs.run({READ: texts.read})), name="reading"),
            asyncio.create_task(_housekeeping(system), name="housekeeping"),
            asyncio.create_task(_steadily(system.epoch.refresh), name="epoch"),  # destroyed keys are forgotten here too
        ]
        log.info("worker started")
        stop = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        stop.cancel()
        log.info("worker stopped", early=stop not in done)


async def _steadily(work: Callable[[], Awaitable[object]]) -> None:
    """Begins again when a store went away under the work: nothing is lost, what was begun is still to be done."""
    while True:
        try:
            await work()
        except Exception as error:
            log.warning("work was interrupted; beginning again", trouble=type(error).__name__)
        await asyncio.sleep(RETRY_SECONDS)


async def _index(system: System) -> None:
    await _patiently(system.indexer.prepare)
    async with asyncio.TaskGroup() as tasks:  # what is due goes on into both while a new form is built
        tasks.create_task(_patiently(system.indexer.renew))
        tasks.create_task(system.indexer.run(system.database.collection("journal").insertions))


async def _patiently(prepare: Callable[[], Awaitable[None]]) -> None:
    """The engine may still be starting, or another worker may hold the index."""
    while True:
        try:
            await prepare()
            return
        except Exception as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            held = isinstance(error, WriterTaken)
            log.warning("the index can't be prepared yet", trouble=type(error).__name__, held=held)
            await asyncio.sleep(2)


async def _housekeeping(system: System) -> None:
    while True:
        for task in (system.evidence.expire, system.identity.journal_failures):
            try:
                await task()
            except Exception as error:
                log.warning("housekeeping failed", trouble=type(error).__name__)
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
