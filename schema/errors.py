"""Where trouble is shown: what the client gets, and what the log gets. One function for every path.

Expected trouble with an input is `userErrors` of the payload (`schema.mutations`). What is left comes here: a
Refused keeps its code, everything else becomes INTERNAL. No exception text, and no literal of a query, reaches
log or client (P7).
"""

from __future__ import annotations

import re
from typing import Any

import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from schema.context import Context
from service.errors import Code, Invalid, NotPermitted, Problem, Refused
from service.journal.model import Touched, Work

log = structlog.get_logger("anjuan.api")
# How graphql-core repeats what it was sent: a value in place of another type, or of another word of the grammar.
_LITERAL = re.compile(
    r"(cannot represent [^:]*value): .*|(,? found): .*|(found (?:String|BlockString|Int|Float|Name)) .*", re.DOTALL
)
_WORD = re.compile(r"(Value) '.*' (does not exist in)", re.DOTALL)


def presented(error: GraphQLError, context: Context) -> dict[str, Any]:
    """One error as the client gets it: message, locations, path, `extensions.code`."""
    original = error.original_error
    shown: dict[str, Any] = {}
    # A scalar that refuses an input raises a GraphQLError of its own before anything runs: there is no path yet.
    if original is None or (isinstance(original, GraphQLError) and error.path is None):
        code = "GRAPHQL_PARSE_FAILED" if isinstance(error, GraphQLSyntaxError) else "GRAPHQL_VALIDATION_FAILED"
        shown["message"] = _WORD.sub(r"\1 \2", _LITERAL.sub(r"\1\2\3.", error.message))
        shown["extensions"] = {"code": code}
    else:
        problem = _problem(original, context)
        shown["message"] = problem.message(context.locale)
        shown["extensions"] = {"code": problem.code.value}
        if problem.field:
            shown["extensions"]["field"] = problem.field
        if problem.code is Code.THROTTLED:
            shown["extensions"]["retryAfter"] = problem.params["seconds"]
    if error.locations:
        shown["locations"] = [{"line": spot.line, "column": spot.column} for spot in error.locations]
    if error.path:
        shown["path"] = list(error.path)
    return shown


def _problem(error: Exception, context: Context) -> Problem:
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, Invalid):
        return error.problems[0]
    return unexpected(error, context.request_id)


def unexpected(error: Exception, request_id: str) -> Problem:
    """What the client is told of an error that nobody expected; the log gets its kind and its place, no values."""
    log.error("unexpected", trouble=type(error).__name__, request=request_id, where=_where(error))
    return Problem(Code.INTERNAL, None, {"request": request_id})


def _where(error: BaseException) -> str:
    """File and line of the failure: no values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""


async def record_refusals(errors: list[GraphQLError], context: Context) -> None:
    """Refusals are entries of the journal too: NOT_PERMITTED, refused questions, and what was asked for too often; one
    entry per request.
    """
    if context.caller is None:
        return
    refused = [
        error.original_error
        for error in errors
        if isinstance(error.original_error, Refused)
        and error.original_error.problem.code in (Code.NOT_PERMITTED, Code.QUESTION_REFUSED, Code.THROTTLED)
    ]
    if not refused:
        return
    records = [error.record for error in refused if isinstance(error, NotPermitted) and error.record]
    work = Work(
        "refused",
        tuple(Touched(record, None, None) for record in records),
        repeatable=False,
        details={
            "steps": sorted({error.action for error in refused if isinstance(error, NotPermitted)}),
            "questions": _fields(refused, Code.QUESTION_REFUSED),
            "throttled": _fields(refused, Code.THROTTLED),
        },
    )
    await context.parts.journal.record(context.caller, work)


def _fields(refused: list[Refused], code: Code) -> list[str]:
    return sorted({error.problem.field or "" for error in refused if error.problem.code is code})
