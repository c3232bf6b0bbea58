"""What the hand-written cases share: one operation answered in both ways."""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import orjson
from graphql import GraphQLSchema, build_schema

from tests.fixtures.paths import by_core, counts, operations_of, read, served


async def agree(
    schema: str | GraphQLSchema,
    text: str,
    root: Any = None,
    *,
    by: str | EllipsisType = "compiled",
    name: str | None = None,
    validated: bool = True,
    context: Any = None,
    **variables: Any,
) -> Any:
    """The answer, which must be graphql-core's byte for byte, and be given by compiled functions, or by graphql-core for
    the reason that `by` says (`...`: for any, if there is an error). A root value or context that is a function makes one for each way.
    """
    built = build_schema(schema) if isinstance(schema, str) else schema
    operation = read(operations_of(built, validated=validated), text, name)
    expected = await by_core(built, operation, _made(context), variables, _made(root))
    compiled_before, fallen_before = counts()
    found = await operation.run(_made(context), variables, _made(root))
    assert served(found) == served(expected)
    compiled_after, fallen_after = counts()
    reasons = [reason for reason, count in fallen_after.items() if count != fallen_before.get(reason, 0)]
    by = by if isinstance(by, str) else "compiled" if "errors" not in expected.formatted else reasons[0]
    assert reasons == ([] if by == "compiled" else [by])
    assert compiled_after - compiled_before == (by == "compiled")
    return orjson.loads(served(found))


def _made(value: Any) -> Any:
    return value() if callable(value) else value
