"""Revealing: one field of one record, in full, to one person, for five minutes, with a reason (B3).

The entry, the notice to the record's owner and the right itself commit together before the value leaves. For its five
minutes the right belongs to what the system knows of the person who is signed in (`Identity`), so that ordinary queries
show the field, too; it is read with their account, once an epoch, and costs nobody else anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.access.actor import Caller
from service.access.declared import RecordShape, Sensitivity
from service.access.view import View
from service.cases.model import CASE_SHAPE, EVENT_PREFIX, EVENT_SHAPE
from service.cases.model import PREFIX as CASE_PREFIX
from service.cases.service import Cases
from service.clock import is_id, new_id, now
from service.compliance.model import NOTICE_PREFIX, NoticeKind, Revealed
from service.compliance.repository import ComplianceRepository
from service.compliance.rules import (
    ATTRIBUTES,
    REVEAL,
    REVEALED_FOR,
    not_to_be_revealed,
    parts_of,
    paths_of,
    reason_of,
    require_masked,
)
from service.customers.model import PREFIX as CUSTOMER_PREFIX
from service.customers.model import SHAPE as CUSTOMER_SHAPE
from service.customers.service import Customers
from service.errors import Code, Invalid, Problems
from service.evidence.model import PREFIX as EVIDENCE_PREFIX
from service.evidence.model import SHAPE as EVIDENCE_SHAPE
from service.evidence.service import EvidenceRoom
from service.identity.service import Identity
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.storage import Database, UnitOfWork
from service.storage.epoch import Epoch
from service.templates.service import Templates

SHAPES: dict[str, RecordShape] = {
    CUSTOMER_PREFIX: CUSTOMER_SHAPE,
    CASE_PREFIX: CASE_SHAPE,
    EVENT_PREFIX: EVENT_SHAPE,
    EVIDENCE_PREFIX: EVIDENCE_SHAPE,
}


@dataclass(frozen=True, slots=True)
class _Found:
    """A record as the caller sees it, and whose it is."""

    view: View
    owner: str


class Reveals:
    """Raises NotPermitted and Invalid; a record that the caller may not see is None."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        identity: Identity,
        templates: Templates,
        customers: Customers,
        cases: Cases,
        evidence: EvidenceRoom,
    ) -> None:
        self._database = database
        self._repository = ComplianceRepository(database)
        self._journal = journal
        self._identity = identity
        self._templates = templates
        self._customers = customers
        self._cases = cases
        self._evidence = evidence

    async def reveal(self, caller: Caller, record: str, field: str, reason: str | None) -> Revealed | None:
        """`field` is named as in `maskedFields`. While it is revealed already no further reason is needed, and the
        owner is not told again; the entry is written each time. Raises Refused ACCOUNT_LOCKED; Invalid INVALID_ID;
        VALIDATION for `field` where it is not masked for the caller; REQUIRED, VALIDATION, TOO_LONG for `reason`.
        """
        caller.require(REVEAL, record=record)
        prefix = record.partition("_")[0]
        if prefix not in SHAPES or not is_id(record, prefix):
            raise Invalid.because(Code.INVALID_ID, "id")
        path, sensitivity = await self._path(SHAPES[prefix], field)
        known_until = caller.revealed.get(record, {}).get(path)
        text = ""
        if known_until is None:
            problems = Problems()
            text = reason_of(reason or "", "reason", problems)
            problems.raise_if_any()
        found = await self._find(caller, prefix, record)
        if found is None:
            return None
        if path.startswith(ATTRIBUTES):
            sensitivity = _class_of_attribute(found.view, path)
        require_masked(found.view, sensitivity)
        parts = parts_of(found.view, path, sensitivity)
        until = known_until or now() + REVEALED_FOR
        again = None if known_until is None else _work(found.view, field, None)
        await self._journal.record_shown(caller, again, [record])
        if again is None:
            await self._grant(caller, found, field, path, text, until)
        return Revealed(record, field, until, parts)

    async def _grant(self, caller: Caller, found: _Found, field: str, path: str, reason: str, until: datetime) -> None:
        notice = {
            "_id": new_id(NOTICE_PREFIX),
            "to": found.owner,
            "kind": NoticeKind.REVEALED.value,
            "record": found.view.id,
            "field": field,
            "by": caller.actor.id,
            "at": now(),
            "reason": reason,
        }

        async def work(unit: UnitOfWork) -> None:
            await self._identity.grant_reveal(unit, caller.actor.id, found.view.id, path, until)
            await self._repository.insert_notice(unit, dict(notice))
            await Epoch.raise_in(unit)
            await self._journal.append(unit, caller, _work(found.view, field, reason))

        await self._database.transact(work)

    async def _path(self, shape: RecordShape, field: str) -> tuple[str, Sensitivity]:
        """Where a field is stored: asked of the type alone, so that the answer tells nothing of any record."""
        if field.startswith(ATTRIBUTES):
            if "attributes" in shape.by_name:
                key = field.removeprefix(ATTRIBUTES)
                for template in (await self._templates.every()).values():
                    if template.of.value.lower() == shape.model.__name__.lower() and template.field(key):
                        return field, Sensitivity.OPEN
            raise not_to_be_revealed()
        found = paths_of(shape).get(field)
        if found is None:
            raise not_to_be_revealed()
        return found

    async def _find(self, caller: Caller, prefix: str, record: str) -> _Found | None:
        if prefix == CUSTOMER_PREFIX:
            view = await self._customers.get(caller, record)
        elif prefix == CASE_PREFIX:
            view = await self._cases.get(caller, record)
        elif prefix == EVIDENCE_PREFIX:
            file = await self._evidence.shelf.find(caller, record)
            return _Found(file.view, file.parent.document["owner"]) if file else None
        else:
            document = await self._cases.repository.event(record)
            case = await self._cases.get(caller, document["case"]) if document else None
            if document is None or case is None:
                return None
            event = await self._cases.history.one(caller, document, case)
            return _Found(event, case.document["owner"]) if event else None
        return _Found(view, view.document["owner"]) if view else None


def _class_of_attribute(view: View, path: str) -> Sensitivity:
    for field in view.template_fields:
        if f"{ATTRIBUTES}{field.key}" == path and field.sensitivity is not Sensitivity.OPEN:
            return field.sensitivity
    raise not_to_be_revealed()


def _work(view: View, field: str, reason: str | None) -> Work:
    touched = Touched(view.id, view.document.get("version"), None)
    return Work(REVEAL, (touched,), reason=reason, repeatable=False, details={"field": field})
