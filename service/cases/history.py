"""A case's history: immutable events, layered, sealed under the customer's key (R31, R36)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.access.actor import Caller
from service.access.declared import Level, Sensitivity
from service.access.policy import Relation
from service.access.view import View
from service.cases.model import (
    EVENT_FORM,
    EVENT_PREFIX,
    EVENT_QUESTIONS,
    EVENT_SHAPE,
    EVENTS,
    CaseState,
    Direction,
    EventKind,
    Layer,
)
from service.cases.repository import CaseRepository
from service.cases.rules import layer_of
from service.clock import new_id, now
from service.journal.model import Touched
from service.keys.rules import separate
from service.keys.service import Keys, SealedRecord, seal_sections
from service.storage import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What is to be recorded."""

    kind: EventKind
    text: str | None = None
    happened_at: datetime | None = None
    direction: Direction | None = None
    satisfaction: int | None = None
    from_state: CaseState | None = None
    to_state: CaseState | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def between(self, before: CaseState, after: CaseState) -> NewEvent:
        """The same event, moving the case."""
        return replace(self, from_state=before, to_state=after)


class History:
    """Adds events inside a unit of work; reads them in layers."""

    def __init__(self, repository: CaseRepository, keys: Keys) -> None:
        self._repository = repository
        self._keys = keys

    async def add(
        self, unit: UnitOfWork, caller: Caller, case: Mapping[str, Any], sequence: int, event: NewEvent
    ) -> Touched:
        """Stores one event; the customer's key is loaded."""
        event_id = new_id(EVENT_PREFIX)
        layer = layer_of(event.kind, event.direction)
        text_field = "internal_text" if layer is Layer.INTERNAL else "text"
        _, sections = separate(EVENT_SHAPE, {text_field: event.text})
        key = self._keys.current(case["customer"])
        document: dict[str, Any] = {
            "_id": event_id,
            "case": case["_id"],
            "customer": case["customer"],
            "sequence": sequence,
            "kind": event.kind.value,
            "layer": layer.value,
            "at": now(),
            "by": caller.actor.id,
            "happened_at": event.happened_at,
            "direction": event.direction.value if event.direction else None,
            "satisfaction": event.satisfaction,
            "from_state": event.from_state.value if event.from_state else None,
            "to_state": event.to_state.value if event.to_state else None,
            "details": dict(event.details),
            "sealed": seal_sections(EVENT_FORM, key, event_id, sections),
        }
        await self._repository.add_event(unit, document)
        return Touched(event_id, None, document, collection=EVENTS)

    async def listed(
        self, caller: Caller, case: View, *, after: int | None, descending: bool, limit: int
    ) -> list[View]:
        """A page of the history in the layers that the caller may see (R36)."""
        EVENT_QUESTIONS.permit(caller, ["sequence"])
        documents = await self._repository.events(
            case.id, _layers(case), after=after, descending=descending, limit=limit
        )
        await self._keys.load([case.document["customer"]])
        return [self._view(caller, document, case.relations) for document in documents]

    async def first_of(
        self, caller: Caller, cases: Sequence[View], *, descending: bool, limit: int
    ) -> dict[str, list[View]]:
        """The first page of the history of each of some cases, in one question for all that are seen alike."""
        EVENT_QUESTIONS.permit(caller, ["sequence"])
        alike: dict[tuple[str, ...], list[str]] = {}
        for case in cases:
            alike.setdefault(tuple(_layers(case)), []).append(case.id)
        await self._keys.load({case.document["customer"] for case in cases})
        documents: dict[str, list[dict[str, Any]]] = {}
        for layers, ids in alike.items():
            if layers:
                documents |= await self._repository.first_events(ids, layers, descending=descending, limit=limit)
        return {
            case.id: [self._view(caller, document, case.relations) for document in documents.get(case.id, ())]
            for case in cases
        }

    async def count(self, case: View) -> int:
        """How many events there are in the layers that the case's caller may see."""
        return await self._repository.count_events(case.id, _layers(case))

    async def one(self, caller: Caller, document: Mapping[str, Any], case: View) -> View | None:
        """One event, if its layer may be seen."""
        if not _open(case, Layer(document["layer"])):
            return None
        await self._keys.load([case.document["customer"]])
        return self._view(caller, document, case.relations)

    def _view(self, caller: Caller, document: Mapping[str, Any], relations: frozenset[Relation]) -> View:
        return View(caller, self._sealed(document), EVENT_SHAPE, relations)

    def _sealed(self, document: Mapping[str, Any]) -> SealedRecord:
        return SealedRecord(EVENT_FORM, document, self._keys.versions(document["customer"]))

    async def sealed_for_index(self, cases: Iterable[str]) -> dict[str, list[SealedRecord]]:
        """Whole histories by case, in order; the customers' keys are loaded. Never for an answer."""
        found: dict[str, list[SealedRecord]] = {}
        for document in await self._repository.events_of(cases):
            found.setdefault(document["case"], []).append(self._sealed(document))
        return found


def _layers(case: View) -> list[str]:
    return [layer.value for layer in Layer if _open(case, layer)]


def _open(case: View, layer: Layer) -> bool:
    return case.row[class_of_layer(layer)] >= Level.PARTIAL


def class_of_layer(layer: Layer) -> Sensitivity:
    """The class of what is said in a layer: whoever sees nothing of it does not see its events."""
    return Sensitivity.NEGOTIATION if layer is Layer.INTERNAL else Sensitivity.NARRATIVE
