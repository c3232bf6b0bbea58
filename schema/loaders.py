"""Relations of one level are read together: one query for a whole list (no N+1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from service.access.actor import Caller

if TYPE_CHECKING:
    from schema.context import Parts

Read = Callable[[Iterable[str]], Awaitable[Mapping[str, Any]]]


class Loader:
    """Records of one kind by id, each read once in a request. `one` waits for the others of its turn."""

    __slots__ = ("_known", "_read", "_turn", "_wanted")

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, Any] = {}
        self._wanted: list[str] = []
        self._turn: asyncio.Task[Mapping[str, Any]] | None = None

    async def many(self, ids: Iterable[str]) -> Mapping[str, Any]:
        """At least these, by id; None for what there is not. Raises what the read raises."""
        missing = [one for one in dict.fromkeys(ids) if one not in self._known]
        if missing:
            found = await self._read(missing)
            for one in missing:
                self._known[one] = found.get(one)
        return self._known

    async def one(self, id: str) -> Any:
        """One record, or None."""
        if id not in self._known:
            self._wanted.append(id)
            if self._turn is None:
                self._turn = asyncio.create_task(self._take_turn())
            await self._turn
        return self._known[id]

    async def _take_turn(self) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        wanted, self._wanted, self._turn = self._wanted, [], None
        return await self.many(wanted)


class _Turn:
    """Sources of one field that are answered together."""

    __slots__ = ("answer", "sources")

    def __init__(self) -> None:
        self.sources: list[Any] = []
        self.answer: asyncio.Task[Sequence[Any]] | None = None


class Loaders:
    """One per request; nothing read by one caller is ever seen by another."""

    def __init__(self, parts: Parts, caller: Callable[[], Caller]) -> None:
        self._of = {
            "users": Loader(parts.identity.load),
            "departments": Loader(parts.identity.load_departments),
            "customers": Loader(lambda ids: parts.customers.load(caller(), ids)),
            "cases": Loader(lambda ids: parts.cases.load(caller(), ids)),
        }
        self._turns: dict[int, _Turn] = {}

    async def together(
        self, read: Callable[..., Awaitable[Sequence[Any]]], source: Any, info: Any, arguments: dict[str, Any]
    ) -> Any:
        """What a batched field gives for one of its sources: all that ask in the same turn are asked for at once."""
        key = id(info.field_nodes[0])
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = _Turn()
        place = len(turn.sources)
        turn.sources.append(source)
        if turn.answer is None:
            turn.answer = asyncio.create_task(self._take_turn(key, turn, read, info, arguments))
        return (await turn.answer)[place]

    async def _take_turn(
        self,
        key: int,
        turn: _Turn,
        read: Callable[..., Awaitable[Sequence[Any]]],
        info: Any,
        arguments: dict[str, Any],
    ) -> Sequence[Any]:
        await asyncio.sleep(0)
        del self._turns[key]
        return await read(turn.sources, info, **arguments)

    async def many(self, name: str, ids: Iterable[str]) -> Mapping[str, Any]:
        """Records of one kind, by id."""
        return await self._of[name].many(ids)

    async def one(self, name: str, id: str) -> Any:
        """One record of a kind."""
        return await self._of[name].one(id)
