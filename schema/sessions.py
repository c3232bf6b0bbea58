"""Sessions that go on: listed and ended by whose they are, and by administrators."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from strawberry import argument

from schema.connections import PageAfter, PageFirst, connection, page_size
from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, payload
from schema.node import connection_types, require_id
from schema.people import DonePayload
from schema.records import record_type
from service.identity.model import OpenSession as OpenSessionModel


@record_type(OpenSessionModel)
class OpenSession:
    """A session that goes on."""


OpenSessionConnection = connection_types(OpenSession, "OpenSession", counted=False)


@strawberry.input(description="Which session to end.")
class EndSessionInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The session.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


async def sessions(
    root: Any,
    info: strawberry.Info,
    user: Annotated[strawberry.ID | None, argument(description="Of this user (ADMIN); one's own without.")] = None,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> OpenSessionConnection:
    """Where one is signed in, newest first."""
    context = context_of(info)
    size, question = page_size(first), ["sessions", user]
    whose = None if user is None else require_id(user, "usr", "user")
    last = context.parts.cursors.read(context.signed_in, question, after)
    found = await context.parts.identity.sessions(context.signed_in, whose, first=size + 1, after_id=last)
    return connection(context, question, found, first=size, after=after, position=lambda session: session.id)


async def end_session(root: Any, info: strawberry.Info, input: EndSessionInput) -> DonePayload:
    """Ends a session of one's own, or anybody's (ADMIN): its tokens are dead at the next query."""

    async def work(caller: Any, values: dict[str, Any]) -> bool:
        await context_of(info).parts.identity.end_session(caller, require_id(values["id"], "ses"))
        return True

    async def again(_: Any, __: str, ___: int | None) -> bool:
        return True  # it was ended by the first call

    return await payload(info, "done", input, work, again)
