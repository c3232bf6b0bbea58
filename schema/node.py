"""The Node interface and `node(id)`: the id's prefix says the type, and one type's id never yields another (P6)."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from schema.connections import PageInfo
from service.clock import is_id
from service.errors import Code, Invalid


@strawberry.interface(description="Something with an id that can be fetched again.")
class Node:
    """Relay's Node."""

    id: strawberry.ID = strawberry.field(description="The id: a type prefix and 26 characters.")


RecordId = Annotated[strawberry.ID, strawberry.argument(description="Its id: a type prefix and 26 characters.")]


def require_id(value: str, prefix: str, field: str = "id") -> str:
    """The id, if it is one of this type. Raises Invalid INVALID_ID."""
    if not is_id(value, prefix):
        raise Invalid.because(Code.INVALID_ID, field)
    return value


def connection_types(node: Any, name: str, *, counted: bool = True) -> Any:
    """`<Name>Connection` for a node type, with its edge type; `counted`: whether it has `totalCount`, because counting
    is cheap.
    """

    def total_count(root: Any, info: strawberry.Info) -> int:
        from schema.connections import total_of  # noqa: PLC0415 - keeps the pair below readable

        return total_of(root)

    edge = strawberry.type(
        type(
            f"{name}Edge",
            (),
            {
                "__annotations__": {"node": node, "cursor": str},
                "node": strawberry.field(description="The item."),
                "cursor": strawberry.field(description="Where it stands; opaque."),
            },
        ),
        description=f"A {name} in a list.",
    )
    total = strawberry.field(
        resolver=total_count, description="How many there are in all; counted only when asked for."
    )
    return strawberry.type(
        type(
            f"{name}Connection",
            (),
            {
                "__annotations__": {"edges": list[edge], "nodes": list[node], "page_info": PageInfo},
                "edges": strawberry.field(description="The page's items with their cursors."),
                "nodes": strawberry.field(description="The page's items."),
                "page_info": strawberry.field(description="Where the page stands."),
                **({"total_count": total} if counted else {}),
            },
        ),
        description=f"A page of {name}s.",
    )
