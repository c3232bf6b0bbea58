"""Tells those who watch over rights why somebody sees what of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.access.actor import Actor, Caller
from service.access.declared import Kind, Level, Sensitivity
from service.access.policy import Relation
from service.access.view import View, fields_of
from service.cases.history import class_of_layer
from service.cases.model import EVENT_PREFIX, EVENT_SHAPE, Layer
from service.cases.model import PREFIX as CASE_PREFIX
from service.cases.records import relations as case_relations
from service.cases.service import Cases
from service.clock import is_id
from service.customers.model import PREFIX as CUSTOMER_PREFIX
from service.customers.records import relations as customer_relations
from service.customers.service import Customers
from service.evidence.model import PAGE_SHAPE
from service.evidence.model import PREFIX as EVIDENCE_PREFIX
from service.evidence.service import EvidenceRoom
from service.explanations.model import AccessExplanation
from service.explanations.rules import explained, named, reached_through
from service.identity.model import User, UserState
from service.identity.service import Identity
from service.journal.model import Touched, Work
from service.journal.service import Journal

EXPLAIN = "access.explain"
_TEXT = PAGE_SHAPE.by_name["text"]
# What a file's pages give it beside its own fields.
_PAGES = [(name, _TEXT.sensitivity, _TEXT.kind) for name in ("text", "pages")]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A record that the caller reaches: what it has, and how somebody stands to it."""

    fields: Sequence[tuple[str, Sensitivity, Kind]]
    stands: Callable[[Caller], frozenset[Relation]]
    opened_by: Sensitivity | None = None


class Explanations:
    """See the module's docstring."""

    def __init__(
        self, journal: Journal, identity: Identity, customers: Customers, cases: Cases, evidence: EvidenceRoom
    ) -> None:
        self._journal = journal
        self._identity = identity
        self._customers = customers
        self._cases = cases
        self._evidence = evidence

    async def explain(self, caller: Caller, record: str, actor: str) -> AccessExplanation | None:
        """Why this user sees what of this customer, case, event or file; None when there is no such user, or no such
        record within the caller's own reach. Recorded as a reading of rights. Raises NotPermitted.
        """
        caller.require(EXPLAIN)
        user = await self._identity.user(actor)
        subject = await self._subject(caller, record) if user else None
        if user is None or subject is None:
            return None
        found = _explanation(caller, record, user, subject)
        touched = (Touched(record, None, None), Touched(actor, None, None))
        details = {"actor": actor, "reached": found.is_reached}
        await self._journal.record(caller, Work(EXPLAIN, touched, repeatable=False, details=details))
        return found

    async def _subject(self, caller: Caller, record: str) -> _Subject | None:
        if is_id(record, CUSTOMER_PREFIX):
            customer = await self._customers.get(caller, record)
            if customer is not None:
                return _Subject(_fields_of(customer), _of_customer(customer.document))
        elif is_id(record, CASE_PREFIX):
            case = await self._cases.get(caller, record)
            if case is not None:
                return _Subject(_fields_of(case), _of_case(case.document))
        elif is_id(record, EVENT_PREFIX):
            document = await self._cases.repository.event(record)
            case = await self._cases.get(caller, document["case"]) if document else None
            if document is not None and case is not None:
                return _Subject(
                    list(fields_of(EVENT_SHAPE, ())), _of_case(case.document), class_of_layer(Layer(document["layer"]))
                )
        elif is_id(record, EVIDENCE_PREFIX):
            file = await self._evidence.shelf.find(caller, record)
            if file is not None:
                of_parent = _of_case if file.document["case"] else _of_customer
                return _Subject([*_fields_of(file.view), *_PAGES], of_parent(file.parent.document))
        return None


def _fields_of(view: View) -> list[tuple[str, Sensitivity, Kind]]:
    return list(fields_of(view.shape, view.template_fields))


def _of_case(document: Mapping[str, Any]) -> Callable[[Caller], frozenset[Relation]]:
    return lambda person: case_relations(person, document)


def _of_customer(document: Mapping[str, Any]) -> Callable[[Caller], frozenset[Relation]]:
    return lambda person: customer_relations(person, document)


def _explanation(caller: Caller, record: str, user: User, subject: _Subject) -> AccessExplanation:
    is_active = user.state is UserState.ACTIVE
    roles = frozenset(user.roles if is_active else ())
    person = Caller(Actor(user.id, user.name, roles, user.department), caller.policy)
    relations = subject.stands(person)
    through = reached_through(caller.policy, roles, relations)
    opening = person.row(relations)[subject.opened_by] if subject.opened_by else Level.FULL
    is_reached = bool(through) and opening >= Level.PARTIAL
    return AccessExplanation(
        record=record,
        actor=user.id,
        policy_version=caller.policy.version,
        is_active=is_active,
        relations=sorted(relations),
        is_reached=is_reached,
        reached_through=named(through),
        opened_by=subject.opened_by,
        fields=explained(caller.policy, roles, relations, subject.fields, is_reached=is_reached),
    )
