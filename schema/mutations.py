"""What all mutations share: one `input`, a payload with the changed object and `userErrors`, idempotency."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from graphql import GraphQLResolveInfo

from schema.binding import plain
from schema.context import Context, context_of
from schema.records import enum_type
from service.access.actor import Caller
from service.access.view import View
from service.errors import Code, Invalid, Problem
from service.storage import DuplicateKey

ErrorCode = enum_type(Code)


@strawberry.type(description="Something wrong with an input; nothing was changed.")
class UserError:
    """Stable code, the input's field (a dotted path), a text for people."""

    code: ErrorCode = strawberry.field(description="Stable code.")
    field: str | None = strawberry.field(description="Which field of the input, such as `channels.0.value`.")
    message: str = strawberry.field(description="For people, in the language of the request.")


IDEMPOTENCY_KEY = strawberry.field(
    default=None,
    description="Chosen by the client, unique per mutation: a repeat returns what the first call changed.",
)
OUT_OF_SIGHT = object()
Work = Callable[[Caller, dict[str, Any]], Awaitable[Any]]
Again = Callable[[Caller, str, int | None], Awaitable[Any]]


def shown(problems: tuple[Problem, ...], locale: str) -> list[dict[str, Any]]:
    """Problems as `userErrors`."""
    return [{"code": p.code, "field": p.field, "message": p.message(locale)} for p in problems]


async def payload(
    info: GraphQLResolveInfo[Any] | strawberry.Info,
    name: str,
    input: dict[str, Any],
    work: Work,
    again: Again | None = None,
) -> dict[str, Any]:
    """Runs a use case and makes the payload: `{name: object, user_errors: []}`.

    `work` gets the caller and the input as a plain dict with snake_case keys. With an idempotency key, a repeat
    answers by `again(caller, record, version)` through today's masks; another input under the same key is
    IDEMPOTENCY_MISMATCH; refusals are not stored. Whoever makes a record for another department, or hands one over, may
    not see it afterwards: the object is null then, without an error, the first time as on a repeat.
    """
    context = context_of(info)
    caller = context.signed_in
    values = plain(input)
    key = values.pop("idempotency_key", None)
    try:
        if key is None or again is None:
            changed = await work(caller, values)
        else:
            changed = await _once(context, caller, info.field_name, key, values, work, again)
    except Invalid as invalid:
        return {name: None, "user_errors": shown(invalid.problems, context.locale)}
    if changed is None:
        return {name: None, "user_errors": shown((Problem(Code.NOT_FOUND, "id"),), context.locale)}
    is_in_sight = changed is not OUT_OF_SIGHT and (not isinstance(changed, View) or caller.reaches(changed.relations))
    return {name: changed if is_in_sight else None, "user_errors": []}


async def _once(
    context: Context, caller: Caller, mutation: str, key: str, values: dict[str, Any], work: Work, again: Again
) -> Any:
    if not 1 <= len(key) <= 200:
        raise Invalid.because(Code.TOO_LONG if key else Code.REQUIRED, "idempotencyKey", limit=200)
    journal = context.parts.journal
    mark = context.parts.idempotency_mark(caller.actor.id, mutation, key, values)
    repeat = await journal.repeated(mark)
    if repeat is None:
        try:
            return await work(caller.marked(mark), values)
        except (DuplicateKey, Invalid) as error:
            # Somebody else is a moment ahead with the same key: theirs is the answer.
            repeat = await journal.repeated(mark)
            if repeat is None or (isinstance(error, DuplicateKey) and error.index != "journal_idempotency"):
                raise
    found = await again(caller, repeat.id, repeat.version)
    return OUT_OF_SIGHT if found is None else found


def present(values: dict[str, Any], *leave_out: str) -> dict[str, Any]:
    """The values without what addresses the record."""
    return {name: value for name, value in values.items() if name not in leave_out}
