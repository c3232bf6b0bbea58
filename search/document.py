"""Record → indexed document. Pure: the one place that says what an index may hold.

It holds open fields (in which no identifier is accepted), ids for reach, names, and narrative texts in which each
identifier is replaced by its keyed token (`search.keyed`) before anything leaves for an engine (B10).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from search import port
from search.keyed import KeyedTokens
from search.port import IndexDocument
from service.access.declared import Sensitivity
from service.access.questions import Asked, by_words
from service.access.view import Opened
from service.cases.model import CASE_SHAPE, EVENT_SHAPE
from service.customers.model import SHAPE as CUSTOMER_SHAPE
from service.evidence.model import PAGE_SHAPE
from service.evidence.model import SHAPE as EVIDENCE_SHAPE

NARRATIVE, NEGOTIATION, NAME = Sensitivity.NARRATIVE, Sensitivity.NEGOTIATION, Sensitivity.NAME

FORM = 2
"""Raised when a document is made otherwise than before: an index of another form is built anew beside the one that
answers. 1 left out identifiers, 2 holds their tokens.
"""

# Which stored fields a text field holds words of: a keyword is asked only of those that the actor may search.
TEXTS: Mapping[str, Asked] = {
    name: by_words("query", *fields)
    for name, fields in {
        port.TITLE: ((CASE_SHAPE, "title"), (CASE_SHAPE, "product")),
        port.WITH_CUSTOMER: ((CASE_SHAPE, "resolution"), (EVENT_SHAPE, "text")),
        port.FROM_CUSTOMER: ((CASE_SHAPE, "description"), (EVENT_SHAPE, "text")),
        port.SCAN: ((EVIDENCE_SHAPE, "file_name"), (PAGE_SHAPE, "text")),
        port.INTERNAL: ((EVENT_SHAPE, "internal_text"),),
        port.CUSTOMER_NAME: ((CUSTOMER_SHAPE, "name"),),
    }.items()
}
_LAYER_FIELD = {"WITH_CUSTOMER": port.WITH_CUSTOMER, "FROM_CUSTOMER": port.FROM_CUSTOMER, "INTERNAL": port.INTERNAL}


def _month(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m")


def case_document(
    case: Opened,
    events: Iterable[Opened],
    scans: Iterable[tuple[Opened, Sequence[Opened]]],
    customer: Opened | None,
    zone: ZoneInfo,
    keyed: KeyedTokens,
) -> IndexDocument:
    """One case with its history, the words of its scans and its customer's name."""
    stored = case.document
    narrative = case.section(NARRATIVE)
    texts: dict[str, list[str]] = {name: [] for name in TEXTS}
    texts[port.TITLE] += [narrative.get("title") or "", narrative.get("product") or ""]
    texts[port.FROM_CUSTOMER].append(narrative.get("description") or "")
    texts[port.WITH_CUSTOMER].append(narrative.get("resolution") or "")
    for event in events:
        internal = event.document["layer"] == "INTERNAL"
        text = event.section(NEGOTIATION).get("internal_text") if internal else event.section(NARRATIVE).get("text")
        if text:
            texts[_LAYER_FIELD[event.document["layer"]]].append(text)
    for evidence, pages in scans:
        texts[port.SCAN].append(evidence.section(NARRATIVE).get("file_name") or "")
        texts[port.SCAN] += [page.section(NARRATIVE).get("text") or "" for page in pages]
    if customer is not None:
        texts[port.CUSTOMER_NAME].append(customer.section(NAME).get("name") or "")
    return IndexDocument(
        id=case.id,
        kind="case",
        version=stored["search_version"],
        keywords={
            port.NUMBER: stored["number"],
            port.STATE: stored["state"],
            port.DEPARTMENT: stored["department"],
            port.CATEGORY: stored["category"],
            port.CUSTOMER: stored["customer"],
            port.ASSIGNEE: stored["assignee"],
            port.MONTH: _month(stored["raised_at"], zone),
            port.OWNER: stored["owner"],
            port.AGENTS: [stored["assignee"]] if stored["assignee"] else [],
            port.DEPARTMENTS: [stored["department"]],
        },
        dates={
            port.RAISED_AT: stored["raised_at"],
            port.CLOSED_AT: stored.get("closed_at"),
            port.UPDATED_AT: stored["updated_at"],
        },
        texts=_hidden(texts, keyed),
    )


def customer_document(customer: Opened, keyed: KeyedTokens) -> IndexDocument:
    """One customer, found by part of its name."""
    stored: Mapping[str, Any] = customer.document
    return IndexDocument(
        id=customer.id,
        kind="customer",
        version=stored["search_version"],
        keywords={
            port.CUSTOMER_KIND: stored["kind"],
            port.RELATION: stored["relation"],
            port.DEPARTMENT: stored["department"],
            port.TAGS: stored.get("tags") or [],
            port.OWNER: stored["owner"],
            port.AGENTS: stored["agents"],
            port.DEPARTMENTS: stored["departments"],
        },
        dates={port.UPDATED_AT: stored["updated_at"]},
        texts=_hidden({port.CUSTOMER_NAME: [customer.section(NAME).get("name") or ""]}, keyed),
    )


def _hidden(texts: Mapping[str, Iterable[str]], keyed: KeyedTokens) -> dict[str, list[str]]:
    return {name: [keyed.hide(text) for text in values if text] for name, values in texts.items()}
