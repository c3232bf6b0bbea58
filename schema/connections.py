"""Relay connections: `first` ≤ 200 (default 20), `after`, authenticated cursors, `pageInfo`.

Cursors and `totalCount` are made only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import strawberry
from strawberry.utils.str_converters import to_camel_case

from schema.context import Context
from service.errors import Code, Refused

DEFAULT_FIRST, MOST_FIRST = 20, 200
PageFirst = Annotated[int, strawberry.argument(description="How many items at most, 1 to 200.")]
PageAfter = Annotated[
    str | None,
    strawberry.argument(description="Cursor of the last item seen; it lives for a day. The first page without."),
]


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


_EMPTY = {"en": "must not be empty; leave it out to ask without it", "zh-CN": "不能为空;不按此条件查询时请省略"}


def conditions(filter: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was really asked: null and absent are no condition; an empty list matches nothing. An empty text is no
    value of any field. Raises Refused VALIDATION.
    """
    asked = {name: value for name, value in (filter or {}).items() if value is not None}
    for name, value in asked.items():
        if value == "":
            raise Refused(Code.VALIDATION, to_camel_case(name), reason=_EMPTY)
    return asked


class Connection:
    """One page of a list. Cursors are sealed when they are asked for, and only then."""

    __slots__ = ("_after", "_items", "_node", "_position", "_write", "extra", "has_next_page", "total")

    def __init__(
        self,
        items: Sequence[Any],
        write: Callable[[Any], str],
        position: Callable[[Any], Any],
        node: Callable[[Any], Any],
        *,
        more: bool,
        after: str | None,
        total: Callable[[], Awaitable[int]] | int | None,
        extra: Mapping[str, Any],
    ) -> None:
        self._items = items
        self._write = write
        self._position = position
        self._node = node
        self._after = after
        self.has_next_page = more
        self.total = total
        self.extra = extra

    def __getattr__(self, name: str) -> Any:
        """What a kind of list has beside the others, such as a search its facets."""
        try:
            return self.extra[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def nodes(self) -> list[Any]:
        """The page's items."""
        return [self._node(item) for item in self._items]

    @property
    def edges(self) -> list[Edge]:
        """The page's items, each with its cursor."""
        return [Edge(self, item, self._node(item)) for item in self._items]

    @property
    def page_info(self) -> Connection:
        """PageInfo's fields stand here too."""
        return self

    @property
    def has_previous_page(self) -> bool:
        """Whether the page began after a cursor."""
        return self._after is not None

    @property
    def start_cursor(self) -> str | None:
        """Cursor of the first item."""
        return self.cursor(self._items[0]) if self._items else None

    @property
    def end_cursor(self) -> str | None:
        """Cursor of the last item."""
        return self.cursor(self._items[-1]) if self._items else None

    def cursor(self, item: Any) -> str:
        """Where an item stands."""
        return self._write(self._position(item))


class Edge:
    """One item in its list."""

    __slots__ = ("_connection", "item", "node")

    def __init__(self, connection: Connection, item: Any, node: Any) -> None:
        self._connection = connection
        self.item = item
        self.node = node

    @property
    def cursor(self) -> str:
        """Where it stands."""
        return self._connection.cursor(self.item)


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
) -> Connection:
    """Up to `first` of `items` (which holds one more when there is more)."""
    caller, cursors = context.signed_in, context.parts.cursors
    return Connection(
        items[:first],
        lambda place: cursors.write(caller, question, place),
        position,
        node,
        more=len(items) > first if more is None else more,
        after=after,
        total=total,
        extra=extra,
    )


async def total_of(source: Connection) -> int:
    """The count behind `totalCount`, taken only now. Raises LookupError where the list is not `counted`."""
    total = source.total
    if total is None:
        raise LookupError("totalCount")
    return await total() if callable(total) else total
