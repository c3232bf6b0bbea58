"""Sealing in three moves, each of which may be repeated: the case closes its doors (SEALING), every evidence
version gets COMPLIANCE retention and is read back, and only then the case says ARCHIVED (P25).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy
from service.access.view import View
from service.archive.model import SEAL, Lockable
from service.archive.rules import asked_for, check_settled, retain_until
from service.cases.history import NewEvent
from service.cases.model import CaseState, EventKind
from service.cases.records import relations
from service.cases.rules import Step, check_archivist, next_state
from service.cases.service import Cases
from service.clock import now
from service.errors import Code, Invalid
from service.jobs.model import Job
from service.jobs.service import Jobs
from service.journal.model import Touched
from service.storage import Database, UnitOfWork
from service.templates.service import Templates

_RESUME_AFTER = timedelta(seconds=60)


class Archive:
    """See the module's docstring."""

    def __init__(
        self,
        database: Database,
        cases: Cases,
        evidence: Lockable,
        templates: Templates,
        jobs: Jobs,
        *,
        retention_years: int,
    ) -> None:
        self._database = database
        self._cases = cases
        self._evidence = evidence
        self._templates = templates
        self._jobs = jobs
        self._years = retention_years

    async def archive(self, caller: Caller, case: str, version: int) -> View | None:
        """Seals a reviewed case. Raises NotPermitted, Invalid, ObjectTrouble; invisible is None.

        When a store fails midway the case stays SEALING; the worker, or the same call again, takes it up.
        """
        document = await self._cases.repository.get(caller.reach, case)
        if document is None:
            return None
        caller.require("case.archive", relations(caller, document), case)
        if not asked_for(document, caller, version):
            raise Invalid.because(Code.CONFLICT, "version", current=document["version"])
        if document["state"] == CaseState.ARCHIVED.value and document["version"] != version:
            return (await self._cases.views(caller, [document]))[0]  # the worker has finished it meanwhile
        next_state(Step.ARCHIVE, CaseState(document["state"]))
        check_archivist(document, caller)
        if document["state"] != CaseState.SEALING.value:
            await self._cases.ready(document)
            self._cases.check_fields(document, await self._templates.by_id(document["template"]), Step.ARCHIVE)
            await self._evidence.lapse(case)
            check_settled(await self._evidence.unsettled(case))
            closed = await self._close_doors(caller, document)
            if closed is None:
                raise Invalid.because(Code.CONFLICT, "version", current=version + 1)
            document = closed
        sealed = await self._seal(caller, document)
        return (await self._cases.views(caller, [sealed]))[0]

    async def resume(self, job: Job, policy: Policy) -> None:
        """The worker's part: finishes a sealing that was cut short; does nothing when it was finished."""
        found = await self._cases.repository.every_of([job.payload["case"]])
        if found and found[0]["state"] == CaseState.SEALING.value:
            caller = Caller(SYSTEM, policy)
            await self._seal(caller, found[0])

    async def _close_doors(self, caller: Caller, document: dict[str, Any]) -> dict[str, Any] | None:
        template = await self._templates.by_id(document["template"])
        await self._cases.ready(document)

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            after = await self._cases.advance(
                unit,
                caller,
                document["_id"],
                Step.ARCHIVE,
                document,
                template,
                {"archived_by": caller.actor.id},
                NewEvent(EventKind.SEALING),
                right="case.archive",
                repeatable=False,
            )
            if after is not None:
                await self._jobs.enqueue(unit, SEAL, {"case": document["_id"]}, after=_RESUME_AFTER)
            return after

        return await self._database.transact(work)

    async def _seal(self, caller: Caller, document: dict[str, Any]) -> dict[str, Any]:
        case = document["_id"]
        until = retain_until(document["closed_at"], self._years)
        locked = await self._evidence.lock_all(case, until)
        template = await self._templates.by_id(document["template"])
        await self._cases.ready(document)
        others = [Touched(evidence, None, None) for evidence, _, _ in locked]

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            return await self._cases.advance(
                unit,
                caller,
                case,
                Step.SEAL,
                document,
                template,
                {"retain_until": until, "archived_at": now()},
                NewEvent(EventKind.ARCHIVED, details={"locked": len(locked)}),
                right="case.seal",
                others=others,
            )

        after = await self._database.transact(work)
        if after is not None:
            return after
        found = await self._cases.repository.every_of([case])  # the worker, or another call, was faster
        if found and found[0]["state"] == CaseState.ARCHIVED.value:
            return found[0]
        raise Invalid.because(Code.CONFLICT, "version", current=found[0]["version"] if found else 0)
