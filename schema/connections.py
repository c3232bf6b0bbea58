"""Relay connections: `first` ≤ 200 (default 20), `after`, authenticated cursors, `pageInfo`.

A connection is a plain dict; `totalCount` is a function that runs only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import strawberry

from schema.context import Context
from service.errors import Code, Refused

DEFAULT_FIRST, MOST_FIRST = 20, 200


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether this page began after a cursor.")
    start_cursor: str | None = strawberry.field(description="Cursor of the page's first item.")
    end_cursor: str | None = strawberry.field(description="Cursor of the page's last item; give it as `after`.")


def page_size(first: int | None) -> int:
    """Raises Refused VALIDATION outside 1 to 200."""
    size = DEFAULT_FIRST if first is None else first
    if not 1 <= size <= MOST_FIRST:
        raise Refused(Code.VALIDATION, "first", reason=f"1–{MOST_FIRST}")
    return size


def connection(
    context: Context,
    question: Any,
    items: Sequence[Any],
    *,
    first: int,
    after: str | None,
    position: Callable[[Any], Any],
    node: Callable[[Any], Any] = lambda item: item,
    more: bool | None = None,
    total: Callable[[], Awaitable[int]] | int | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Up to `first` edges of `items` (which holds one more when there is more)."""
    caller, cursors = context.signed_in, context.parts.cursors
    page = items[:first]
    edges = [
        {"node": node(item), "cursor": cursors.write(caller, question, position(item)), "item": item} for item in page
    ]
    return {
        "edges": edges,
        "nodes": [edge["node"] for edge in edges],
        "page_info": {
            "has_next_page": len(items) > first if more is None else more,
            "has_previous_page": after is not None,
            "start_cursor": edges[0]["cursor"] if edges else None,
            "end_cursor": edges[-1]["cursor"] if edges else None,
        },
        "total": total,
        **extra,
    }


async def total_of(source: dict[str, Any]) -> int | None:
    """The count behind `totalCount`, taken only now."""
    total = source["total"]
    return await total() if callable(total) else total
