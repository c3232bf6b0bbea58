"""Relations of one level are read together: one query for a whole list (no N+1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from strawberry.dataloader import DataLoader

from service.access.actor import Caller
from service.access.view import View
from service.identity.model import Department, User

if TYPE_CHECKING:
    from schema.context import Parts


def _ordered(
    load: Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]],
) -> Callable[[list[str]], Awaitable[list[Any]]]:
    async def read(ids: list[str]) -> list[Any]:
        found = await load(ids)
        return [found.get(one) for one in ids]

    return read


class Loaders:
    """One per request; nothing read by one caller is ever seen by another."""

    def __init__(self, parts: Parts, caller: Caller) -> None:
        self.users: DataLoader[str, User | None] = DataLoader(load_fn=_ordered(parts.identity.load))
        self.departments: DataLoader[str, Department | None] = DataLoader(
            load_fn=_ordered(parts.identity.load_departments)
        )
        self.customers: DataLoader[str, View | None] = DataLoader(
            load_fn=_ordered(lambda ids: parts.customers.load(caller, ids))
        )
        self.cases: DataLoader[str, View | None] = DataLoader(
            load_fn=_ordered(lambda ids: parts.cases.load(caller, ids))
        )
