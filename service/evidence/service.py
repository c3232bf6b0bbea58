"""Use cases of evidence: register a file, see it, read its text, withdraw it, lock it for the archive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.access.actor import Caller
from service.access.declared import Level
from service.access.view import View
from service.cases.history import NewEvent
from service.cases.model import CaseState, EventKind
from service.cases.rules import Step, next_state
from service.cases.service import Cases
from service.clock import is_id, new_id, now
from service.crypto import KeyEncryption
from service.customers.service import Customers
from service.errors import Code, Invalid, Problems
from service.evidence.delivery import Delivery, Download, Downloadable
from service.evidence.model import (
    COMPLIANCE,
    EVIDENCE,
    FORM,
    NARRATIVE,
    PREFIX,
    SHAPE,
    UPLOAD_LIFE,
    EvidenceAction,
    EvidenceState,
    TextState,
)
from service.evidence.receiving import Receiving
from service.evidence.rules import REASON_MOST, allowed_actions, announced, awaits_upload, may_upload
from service.evidence.shelf import Shelf
from service.jobs.service import Jobs
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.keys.rules import separate
from service.keys.service import Keys, SealedRecord, seal_sections
from service.normal import clean
from service.storage import Database, ObjectStore, ObjectTrouble, StoredObject, UnitOfWork


class RetentionDiffers(ObjectTrouble):
    """The object store says of a version something else than was asked for."""


def page_texts(pages: Sequence[View]) -> str | None:
    """A whole text through the masks, pages parted by form feeds; None when nothing may be shown."""
    return "\f".join(page.shown("text") or "" for page in pages) if pages else None


class EvidenceRoom:
    """See the module's docstring. Methods raise NotPermitted and Invalid; what a caller may not see is None."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        encryption: KeyEncryption,
        objects: ObjectStore,
        journal: Journal,
        jobs: Jobs,
        customers: Customers,
        cases: Cases,
        *,
        public_url: str,
        upload_limit_bytes: int,
    ) -> None:
        self.shelf = Shelf(database, keys, encryption, objects, journal, jobs, customers, cases, upload_limit_bytes)
        self._repository = self.shelf.repository
        self._receiving = Receiving(self.shelf)
        self._delivery = Delivery(self.shelf)
        self._public_url = public_url.rstrip("/")

    # Bytes

    def allowed_actions(self, view: View, case: View | None) -> list[EvidenceAction]:
        """What this caller may do with the file now; `case` is the one that it belongs to, if any."""
        return allowed_actions(view, case, now())

    def upload_url(self, view: View) -> str | None:
        """Where the bytes are to be PUT, while they are awaited from this caller. It is no credential."""
        if not awaits_upload(view.document, now()) or not may_upload(view):
            return None
        return f"{self._public_url}/files/{view.id}"

    def download_url(self, view: View) -> str | None:
        """Where the bytes can be got, if this caller may. It is no credential."""
        return f"{self._public_url}/files/{view.id}" if self._delivery.may(view) else None

    async def put(
        self,
        caller: Caller,
        evidence: str,
        content_length: int,
        chunks: AsyncIterator[bytes],
        *,
        priority: int = 5,
    ) -> View | None:
        """Receives the bytes; see `Receiving.put`."""
        return await self._receiving.put(caller, evidence, content_length, chunks, priority=priority)

    async def downloadable(self, caller: Caller, evidence: str) -> Downloadable | None:
        """Name, type, size and tag of what `download` would give, or None; see `Delivery.downloadable`."""
        return await self._delivery.downloadable(caller, evidence)

    async def download(
        self, caller: Caller, evidence: str, byte_range: tuple[int, int] | None = None
    ) -> Download | None:
        """Hands out the bytes, all or from first to last inclusive; see `Delivery.download`."""
        return await self._delivery.download(caller, evidence, byte_range)

    async def expire(self) -> int:
        """The worker's part: see `Receiving.expire`."""
        return await self._receiving.expire()

    # Reading

    async def get(self, caller: Caller, evidence: str) -> View | None:
        """One file, withdrawn or not, or None when there is none that the caller may see."""
        found = await self.shelf.find(caller, evidence)
        return found.view if found else None

    async def at_version(self, caller: Caller, evidence: str, version: int | None) -> View | None:
        """The state that a file had at a version, through today's masks; None when it can't be seen."""
        found = await self.shelf.find(caller, evidence)
        if found is None or version is None or found.document["version"] == version:
            return found.view if found else None
        states = await self.shelf.journal.repository.former_states(evidence, before_version=version + 1, limit=1)
        if not states or states[0]["version"] != version:
            return found.view
        former = {"_id": evidence, **states[0]["document"]}
        return self.shelf.view(caller, former, found.view.relations)

    async def reaches(self, caller: Caller, evidence: str) -> bool:
        """Whether there is such a file of a case or customer within the caller's reach."""
        return await self.shelf.find(caller, evidence) is not None

    async def load(self, caller: Caller, ids: Iterable[str]) -> dict[str, View]:
        """Several files by id, for loaders; those that the caller may not see are missing."""
        documents = await self._repository.of_ids({item for item in ids if is_id(item, PREFIX)})
        parents = await self.shelf.parents(caller, documents)
        found = {}
        for document in documents:
            parent = parents.get(document["case"] or document["customer"])
            if parent is not None:
                found[document["_id"]] = self.shelf.view(caller, document, parent.relations)
        return found

    async def of_case(
        self, caller: Caller, case: View, after: str | None, limit: int, include_withdrawn: bool = False
    ) -> list[View]:
        """A page of a case's evidence, newest first; `after` is the id of the last one seen."""
        return await self._of_parent(caller, "case", case, after, limit, include_withdrawn)

    async def of_customer(
        self, caller: Caller, customer: View, after: str | None, limit: int, include_withdrawn: bool = False
    ) -> list[View]:
        """A page of a customer's own evidence (that of its cases is the cases'), newest first."""
        return await self._of_parent(caller, "customer", customer, after, limit, include_withdrawn)

    async def first_of(self, caller: Caller, field: str, parents: Sequence[View], limit: int) -> dict[str, list[View]]:
        """The newest files of each of some cases (`field` "case") or customers, in one question."""
        pages = await self._repository.first_of_parents(field, [parent.id for parent in parents], limit=limit)
        await self.shelf.keys.load({document["customer"] for page in pages.values() for document in page})
        return {
            parent.id: [self.shelf.view(caller, document, parent.relations) for document in pages.get(parent.id, ())]
            for parent in parents
        }

    async def count_of(self, field: str, parent: View) -> int:
        """How many files (not withdrawn) a case or a customer (`field`) has, of itself."""
        return await self._repository.count_of_parent(field, parent.id, withdrawn=False)

    async def _of_parent(
        self, caller: Caller, field: str, parent: View, after: str | None, limit: int, withdrawn: bool
    ) -> list[View]:
        documents = await self._repository.of_parent(field, parent.id, after=after, limit=limit, withdrawn=withdrawn)
        await self.shelf.keys.load(document["customer"] for document in documents)
        return [self.shelf.view(caller, document, parent.relations) for document in documents]

    async def pages(self, caller: Caller, evidence: Sequence[View]) -> dict[str, list[View]]:
        """The texts of some files page by page, through the masks; a withdrawn file has none."""
        found = await self._pages(caller, evidence)
        return {view.id: found.get(view.id, []) for view in evidence}

    async def read_of_case(self, case: View) -> list[str]:
        """Ids of a case's files (not withdrawn) whose text was read, or found to be unreadable."""
        return await self._repository.read(case.id)

    async def pages_of_cases(self, caller: Caller, cases: Sequence[View]) -> dict[str, list[tuple[View, list[View]]]]:
        """Files (not withdrawn) with their pages, by case, through the masks."""
        by_id = {case.id: case for case in cases}
        documents = await self._repository.of_cases(by_id, withdrawn=False)
        await self.shelf.keys.load(document["customer"] for document in documents)
        views = [self.shelf.view(caller, d, by_id[d["case"]].relations) for d in documents]
        pages = await self._pages(caller, views)
        found: dict[str, list[tuple[View, list[View]]]] = {}
        for view in views:
            found.setdefault(view.document["case"], []).append((view, pages.get(view.id, [])))
        return found

    async def _pages(self, caller: Caller, files: Sequence[View]) -> dict[str, list[View]]:
        readable = {
            view.id: view
            for view in files
            if view.row[NARRATIVE] >= Level.PARTIAL and view.document["withdrawn_at"] is None
        }
        if not readable:
            return {}
        documents = await self._repository.pages(readable)
        await self.shelf.keys.load(document["customer"] for document in documents)
        found: dict[str, list[View]] = {}
        for document in documents:
            evidence = readable[document["evidence"]]
            found.setdefault(evidence.id, []).append(self.shelf.page_view(caller, document, evidence.relations))
        return found

    async def sealed_for_index(self, cases: Iterable[str]) -> dict[str, list[tuple[SealedRecord, list[SealedRecord]]]]:
        """Files (not withdrawn) with their pages, by case, as the indexer reads them; never for an answer."""
        documents = await self._repository.of_cases(cases, withdrawn=False)
        stored = [document for document in documents if document["state"] == EvidenceState.STORED.value]
        await self.shelf.keys.load(document["customer"] for document in stored)
        pages: dict[str, list[SealedRecord]] = {}
        for page in await self._repository.pages(document["_id"] for document in stored):
            pages.setdefault(page["evidence"], []).append(self.shelf.sealed_page(page))
        found: dict[str, list[tuple[SealedRecord, list[SealedRecord]]]] = {}
        for document in stored:
            record = (self.shelf.sealed(document), pages.get(document["_id"], []))
            found.setdefault(document["case"], []).append(record)
        return found

    # Steps

    async def create(self, caller: Caller, values: Mapping[str, Any]) -> View:
        """Registers a file of a case or of a customer, exactly one of them; its bytes are awaited for 24 h."""
        case, customer = values.get("case"), values.get("customer")
        if (case is None) == (customer is None):
            raise Invalid.because(Code.REQUIRED if case is None else Code.TOO_MANY, "case", limit=1)
        field = "case" if case is not None else "customer"
        nouns: Cases | Customers = self.shelf.cases if case is not None else self.shelf.customers
        parent = await nouns.get(caller, values[field])
        if parent is None:
            raise Invalid.because(Code.NOT_FOUND, field)
        caller.require("evidence.create", parent.relations, parent.id)
        if case is not None:
            next_state(Step.FILE, CaseState(parent.document["state"]))
        problems, at, evidence = Problems(), now(), new_id(PREFIX)
        stored = announced(values, self.shelf.upload_limit_bytes, problems)
        problems.raise_if_any()
        owner = parent.document["customer"] if case is not None else parent.id
        await self.shelf.keys.load([owner])
        openly, sections = separate(SHAPE, stored)
        document: dict[str, Any] = {
            "_id": evidence,
            **openly,
            "case": case,
            "customer": owner,
            "state": EvidenceState.PENDING.value,
            "text_state": TextState.NONE.value,
            "flags": [],
            "registered_at": at,
            "registered_by": caller.actor.id,
            "expires_at": at + UPLOAD_LIFE,
            "withdrawn_at": None,
            "version": 1,
            "search_version": 1,
            "sealed": seal_sections(FORM, self.shelf.keys.current(owner), evidence, sections),
        }
        touched = Touched(evidence, 1, document, collection=EVIDENCE)

        async def work(unit: UnitOfWork) -> None:
            await self._repository.insert(unit, document)
            await self._journaled(unit, caller, parent, touched, EventKind.EVIDENCE_ADDED, "evidence.create")

        await self.shelf.database.transact(work)
        return self.shelf.view(caller, document, parent.relations)

    async def withdraw(self, caller: Caller, evidence: str, version: int, reason: str | None) -> View | None:
        """Hides the wrong file, with a reason; its bytes stay under lock and key, its text leaves the index."""
        found = await self.shelf.find(caller, evidence)
        if found is None:
            return None
        document, parent = found.document, found.parent
        caller.require("evidence.withdraw", found.view.relations, evidence)
        if document["case"]:
            next_state(Step.FILE, CaseState(parent.document["state"]))
        if document["version"] != version:
            raise Invalid.because(Code.CONFLICT, "version", current=document["version"])
        if document["withdrawn_at"] is not None:
            raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state="WITHDRAWN")
        problems, text = Problems(), clean(reason or "")
        if not text:
            problems.add(Code.REQUIRED, "reason")
        if len(text) > REASON_MOST:
            problems.add(Code.TOO_LONG, "reason", limit=REASON_MOST)
        problems.raise_if_any()
        sealed = self.shelf.sealed_with(document, {"withdrawal_reason": text})
        change = {"withdrawn_at": now(), "withdrawn_by": caller.actor.id, "sealed": sealed}

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            guard = {"version": version, "withdrawn_at": None}
            moved = {"$set": change, "$inc": {"version": 1, "search_version": 1}}
            before = await self._repository.change(unit, evidence, guard, moved)
            if before is None:
                return None
            after = {
                **before,
                **change,
                "version": version + 1,
                "search_version": before["search_version"] + 1,
            }
            touched = Touched(evidence, version + 1, after, before, EVIDENCE, ("withdrawn_at",))
            await self._journaled(
                unit, caller, parent, touched, EventKind.EVIDENCE_WITHDRAWN, "evidence.withdraw", text
            )
            return after

        after = await self.shelf.database.transact(work)
        if after is None:
            current = await self._repository.get(evidence)
            raise Invalid.because(Code.CONFLICT, "version", current=(current or document)["version"])
        return self.shelf.view(caller, after, found.view.relations)

    async def _journaled(
        self,
        unit: UnitOfWork,
        caller: Caller,
        parent: View,
        touched: Touched,
        kind: EventKind,
        right: str,
        text: str | None = None,
    ) -> None:
        """The unit's one entry, in which the evidence stands first; a case gets its event with it."""
        document = touched.document or {}
        if not document["case"]:
            if await self.shelf.customers.hold(unit, caller, parent.id, right) is None:  # handed over meanwhile
                raise Invalid.because(Code.NOT_FOUND, "customer")
            await self.shelf.journal.append(unit, caller, Work(right, (touched,), index=(parent.id,)))
            return
        after = await self.shelf.cases.advance(
            unit,
            caller,
            parent.id,
            Step.FILE,
            parent.document,
            None,
            {},
            NewEvent(kind, text=text, details={"evidence": touched.id}),
            right=right,
            appended=True,
            first=(touched,),
        )
        if after is None:  # the case moved meanwhile; nothing of this unit stays
            raise Invalid.because(Code.CONFLICT, "case", current=parent.document["version"])

    # The archive and the worker

    async def lapse(self, case: str) -> None:
        """Announced files of a case whose bytes can't come any more are FAILED, before it is sealed."""
        await self._receiving.expire(case)

    async def unsettled(self, case: str) -> list[str]:
        """Ids of evidence whose upload or reading is still under way."""
        return await self._repository.unsettled(case, now())

    async def waiting_count(self) -> int:
        """How many texts are still to be read."""
        return await self._repository.waiting()

    async def lock_all(self, case: str, until: datetime) -> list[tuple[str, str, datetime]]:
        """Sets COMPLIANCE retention on every stored version of a case, withdrawn ones too, and reads each back:
        (id, mode, until). May be repeated. Raises RetentionDiffers, ObjectTrouble.
        """
        if until.microsecond:  # a lock has whole seconds, and may not end before it was asked to
            until = until.replace(microsecond=0) + timedelta(seconds=1)
        locked = []
        for document in await self._repository.of_cases([case], withdrawn=True):
            if document["state"] != EvidenceState.STORED.value:
                continue
            stored = StoredObject(document["object"]["key"], document["object"]["version_id"])
            mode, held = await self._lock(stored, until)
            await self._repository.note_retention(document["_id"], mode, held)
            locked.append((document["_id"], mode, held))
        return locked

    async def _lock(self, stored: StoredObject, until: datetime) -> tuple[str, datetime]:
        await self.shelf.objects.lock(stored, until)
        held = await self.shelf.objects.retention(stored)
        if held is None or held.mode != COMPLIANCE or held.until < until:
            raise RetentionDiffers("the version is not locked as it was asked")
        return held.mode, held.until
