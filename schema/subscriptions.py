"""Subscriptions: root fields, and the streams of events that they are served from.

An event is the record as its caller may see it at that moment: it is read when it is delivered, by the services, with
the access filter inside the query; the feed only says when to look. A stream ends when its record can't be seen (any
more), the same as when there is none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import strawberry

from schema.cases import Case
from schema.context import Context
from schema.evidence import Evidence
from schema.node import RecordId, require_id
from service.journal.feed import Feed

Fresh = Callable[[], Awaitable[Context]]
"""A context whose caller has the rights of this moment. Raises NotSignedIn."""
Events = AsyncGenerator[tuple[Context, Any], None]


def case_changed(root: Any, info: strawberry.Info, id: RecordId) -> Case | None:
    """The case as it is now, and again after it changed; several changes may be one delivery. Completes when the case
    can't be seen (any more).
    """
    return root


def evidence_text_ready(root: Any, info: strawberry.Info, case_id: RecordId) -> Evidence | None:
    """Each file of the case whose text was read, or found to be unreadable, since the subscription began. Completes when
    the case can't be seen (any more).
    """
    return root


async def case_changes(feed: Feed, fresh: Fresh, id: str) -> Events:
    """Events of `caseChanged`. Raises Invalid INVALID_ID."""
    require_id(id, "cas")
    async with feed.watch(id) as slot:
        while True:
            context = await fresh()
            case = await context.parts.cases.get(context.signed_in, id)
            if case is None:
                return
            yield context, case
            await slot.changed()


async def texts_read(feed: Feed, fresh: Fresh, case_id: str) -> Events:
    """Events of `evidenceTextReady`. Raises Invalid INVALID_ID."""
    require_id(case_id, "cas", "caseId")
    known: set[str] | None = None
    async with feed.watch(case_id) as slot:
        while True:
            context = await fresh()
            case = await context.parts.cases.get(context.signed_in, case_id)
            if case is None:
                return
            read = await context.parts.evidence.read_of_case(case)
            for evidence in read if known is not None else ():
                if evidence not in known:  # type: ignore[operator]
                    context = await fresh()
                    file = await context.parts.evidence.get(context.signed_in, evidence)
                    if file is not None:
                        yield context, file
            known = set(read)
            await slot.changed()


SOURCES: dict[str, Callable[..., Events]] = {"caseChanged": case_changes, "evidenceTextReady": texts_read}
"""By root field; called with the feed, `fresh`, and the field's arguments."""
