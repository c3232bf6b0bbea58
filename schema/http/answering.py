"""What both transports do with an operation: find it, let it be paid for, run it in time, journal what it shows.

One of these serves HTTP and WebSocket, so that what is refused on one is refused on the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from graphql import ExecutionResult, GraphQLError

from schema.budgets import Budgets
from schema.context import Context
from schema.documents import Registered
from schema.errors import presented, record_refusals
from schema.execution import Operation, Operations
from schema.limits import check_values
from service.errors import Code, Refused
from service.storage import deadline

GRACE_SECONDS = 0.5
"""The server ends database work this long after the operation was given up, so that the answer is TIMED_OUT."""


class Answering:
    """`seconds`: how long an operation, or one event of a subscription, may take."""

    def __init__(self, operations: Operations, registered: Registered, budgets: Budgets, seconds: float) -> None:
        self._operations = operations
        self._registered = registered
        self._budgets = budgets
        self._seconds = seconds

    def operation(self, asked: Mapping[str, Any]) -> Operation | list[GraphQLError]:
        """The operation that is asked for, or what is wrong with its document. Raises Refused."""
        for name in ("query", "documentId", "operationName"):
            if not isinstance(asked.get(name), str | None):
                raise Refused(Code.INVALID_QUERY, name, reason=f"`{name}` is no text")
        if not isinstance(asked.get("variables"), dict | None):
            raise Refused(Code.INVALID_QUERY, "variables", reason="`variables` is no object")
        if asked.get("variables"):
            check_values(asked["variables"])
        text = self._registered.text(asked.get("query"), asked.get("documentId"))
        return self._operations.read(text, asked.get("operationName"))

    async def pay(self, operation: Operation, variables: dict[str, Any] | None, context: Context) -> dict[str, int]:
        """What it costs and what is left of the minute. Raises Refused TOO_COSTLY, THROTTLED."""
        cost = operation.cost(variables)
        who = context.caller.actor.id if context.caller else context.source
        return {"asked": cost, "left": await self._budgets.spend(who, context.source, cost)}

    async def run(
        self, operation: Operation, variables: dict[str, Any] | None, context: Context, event: Any = None
    ) -> dict[str, Any]:
        """The answer. Raises TimeoutError; its database work is ended then."""
        with deadline(self._seconds + GRACE_SECONDS):
            async with asyncio.timeout(self._seconds):
                return await _delivered(await operation.run(context, variables, event), context)


async def _delivered(result: ExecutionResult, context: Context) -> dict[str, Any]:
    """What the client gets; on its way, what was refused and what was shown in full is journalled (P23)."""
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [presented(error, context) for error in result.errors]
        await record_refusals(result.errors, context)
    if context.caller is not None:
        await context.parts.journal.record_reads(context.caller)
    return body
