"""What every use case of evidence needs: the stores, and one way to find a file that a caller may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy, Relation
from service.access.view import View
from service.cases.service import Cases
from service.clock import is_id
from service.crypto import KeyEncryption
from service.customers.service import Customers
from service.evidence.model import FORM, PAGE_FORM, PAGE_SHAPE, PREFIX, SHAPE
from service.evidence.repository import EvidenceRepository
from service.jobs.service import Jobs
from service.journal.service import Journal
from service.keys.rules import separate
from service.keys.service import Keys, SealedRecord, seal_sections
from service.storage import Database, ObjectStore

SEALED_FIELDS = ("file_name", "sha256", "withdrawal_reason")
_NO_POLICY = Policy(0, {}, frozenset(), {})


def system_caller() -> Caller:
    """The worker, which acts for nobody and is shown nothing."""
    return Caller(SYSTEM, _NO_POLICY)


@dataclass(frozen=True, slots=True)
class Found:
    """A file as the caller sees it, and its case or customer, through which they see it."""

    view: View
    parent: View

    @property
    def document(self) -> Mapping[str, Any]:
        """The stored document."""
        return self.view.document


@dataclass(slots=True)
class Shelf:
    """See the module's docstring."""

    database: Database
    keys: Keys
    encryption: KeyEncryption
    objects: ObjectStore
    journal: Journal
    jobs: Jobs
    customers: Customers
    cases: Cases
    upload_limit_bytes: int
    repository: EvidenceRepository = field(init=False)

    def __post_init__(self) -> None:
        self.repository = EvidenceRepository(self.database)

    async def find(self, caller: Caller, evidence: str) -> Found | None:
        """One file, or None when there is none that the caller may see; an id of another type names nothing."""
        if not is_id(evidence, PREFIX):
            return None
        document = await self.repository.get(evidence)
        if document is None:
            return None
        parents = await self.parents(caller, [document])
        parent = parents.get(document["case"] or document["customer"])
        return Found(self.view(caller, document, parent.relations), parent) if parent else None

    async def parents(self, caller: Caller, documents: Iterable[Mapping[str, Any]]) -> dict[str, View]:
        """The cases and customers of these files that the caller may see; their customers' keys are loaded."""
        cases = {document["case"] for document in documents if document["case"]}
        customers = {document["customer"] for document in documents if not document["case"]}
        found = await self.cases.load(caller, cases) if cases else {}
        return {**found, **(await self.customers.load(caller, customers) if customers else {})}

    def sealed(self, document: Mapping[str, Any]) -> SealedRecord:
        """The file's record; its customer's keys are loaded."""
        return SealedRecord(FORM, document, self.keys.versions(document["customer"]))

    def sealed_page(self, document: Mapping[str, Any]) -> SealedRecord:
        """The page's record; its customer's keys are loaded."""
        return SealedRecord(PAGE_FORM, document, self.keys.versions(document["customer"]))

    def view(self, caller: Caller, document: Mapping[str, Any], relations: frozenset[Relation]) -> View:
        """The file as the caller sees it."""
        return View(caller, self.sealed(document), SHAPE, relations)

    def page_view(self, caller: Caller, document: Mapping[str, Any], relations: frozenset[Relation]) -> View:
        """The page as the caller sees it."""
        return View(caller, self.sealed_page(document), PAGE_SHAPE, relations)

    def sealed_with(self, document: Mapping[str, Any], changes: Mapping[str, str | None]) -> dict[str, Any]:
        """The record's sections with some of SEALED_FIELDS changed; its customer's keys are loaded."""
        values = self.sealed(document).values()
        kept = {name: values[name] for name in SEALED_FIELDS}
        _, sections = separate(SHAPE, {**kept, **changes})
        key = self.keys.current(document["customer"])
        return dict(seal_sections(FORM, key, document["_id"], sections))


def associated_data(evidence: str) -> bytes:
    """What binds an object's segments to their evidence."""
    return f"evidence/{evidence}".encode()
