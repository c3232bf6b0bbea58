"""Stored fields and relations as our schema binds them, over every form in which a source comes (P2)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
import strawberry

from schema.binding import bind, relation
from schema.loaders import Loader
from tests.fixtures.paths import operations_of, read
from tests.unit.execution.conftest import agree


@strawberry.enum
class Shade(str, Enum):
    """Shades, in no order."""

    LIGHT = "l"
    DARK = "d"
    BRIGHT = "b"


@strawberry.enum
class Depth(Enum):
    """Numbers inside."""

    SHALLOW = 1
    DEEP = 2


@strawberry.type
class Inner:
    """What stands inside."""

    shade: Shade
    long_name: str | None


@strawberry.type
class Thing:
    """Whatever a resolver gives."""

    shade: Shade
    shades: list[Shade]
    depths: list[Depth] | None
    inner: Inner | None
    inners: list[Inner]
    name: str
    parent: Thing | None = relation("things", lambda source: _read(source, "parent"), "Another thing.")
    owner: Thing = relation("things", lambda source: _read(source, "owner"), "Another thing that must be.")


@strawberry.type
class Query:
    """Things."""

    @strawberry.field
    def thing(root: Any, info: strawberry.Info) -> Thing | None:  # noqa: N805
        return info.context.thing

    @strawberry.field
    async def things(root: Any, info: strawberry.Info) -> list[Thing]:  # noqa: N805
        return info.context.things


SCHEMA = bind(strawberry.Schema(query=Query))


def _read(source: Any, name: str) -> Any:
    return source.get(name) if isinstance(source, dict) else getattr(source, name, None)


class Shelf:
    """A context with a loader that counts its reads."""

    def __init__(self, **values: Any) -> None:
        self.thing: Any = None
        self.things: Any = []
        self.known: dict[str, Any] = {}
        self.reads: list[list[str]] = []
        self.__dict__ |= values
        self.loaders = self
        self._loader = Loader(self._load)

    async def many(self, _name: str, ids: Iterable[str]) -> Any:
        return await self._loader.many(ids)

    async def one(self, _name: str, id: str) -> Any:
        return await self._loader.one(id)

    async def _load(self, ids: Iterable[str]) -> dict[str, Any]:
        self.reads.append(sorted(ids))
        if "broken" in self.reads[-1]:
            raise LookupError("broken")
        return {one: self.known[one] for one in self.reads[-1] if one in self.known}


GOOD = {"shade": "l", "shades": ["l", "d", "b"], "depths": [2, 1, 2], "inner": {"shade": "d", "long_name": None},
        "inners": ({"shade": "b", "long_name": "x"},), "name": "n"}  # fmt: skip
TEXT = "{ thing { shade shades depths inner { shade longName } inners { longName } n: name __typename } }"


@pytest.mark.parametrize("made", [dict, SimpleNamespace], ids=["dict", "object"])
@pytest.mark.parametrize(
    "values",
    [
        {}, {"shade": Shade.DARK, "shades": [Shade.LIGHT, "d"]}, {"shades": {"l", "d", "b"}}, {"shades": frozenset({Shade.LIGHT})},
        {"shades": ()}, {"depths": None}, {"depths": (Depth.DEEP, Depth.SHALLOW)}, {"inner": None}, {"inners": []},
        {"inner": SimpleNamespace(shade="l", long_name="object")},
    ],
)  # fmt: skip
async def test_stored_values_are_given_in_the_forms_that_records_have(made: Any, values: dict[str, Any]) -> None:
    answer = await agree(SCHEMA, TEXT, context=lambda: Shelf(thing=made(**{**GOOD, **values})))
    assert answer["data"]["thing"]["shades"] == sorted(answer["data"]["thing"]["shades"])


@pytest.mark.parametrize("made", [dict, SimpleNamespace], ids=["dict", "object"])
@pytest.mark.parametrize(
    "values",
    [
        {"shade": None}, {"shade": "PINK"}, {"shade": []}, {"shades": None}, {"shades": "l"}, {"shades": ["l", None]},
        {"shades": ["PINK"]}, {"shades": Shade.DARK}, {"shades": {"l": 1}}, {"depths": [3]}, {"depths": 1}, {"inner": "text"},
        {"inner": {}}, {"inner": ValueError("no")}, {"inners": None}, {"inners": {}}, {"inners": [None]}, {"name": None},
        {"name": ValueError("no")}, {"name": {}},
    ],
)  # fmt: skip
async def test_stored_values_of_other_forms_are_errors(made: Any, values: dict[str, Any]) -> None:
    answer = await agree(SCHEMA, TEXT, context=lambda: Shelf(thing=made(**{**GOOD, **values})), by=...)
    assert answer["errors"]


async def test_an_object_without_an_attribute_is_an_error_and_a_dict_without_a_key_is_null() -> None:
    await agree(SCHEMA, "{ thing { name depths } }", context=lambda: Shelf(thing=SimpleNamespace(name="n")), by="error")
    answer = await agree(SCHEMA, "{ thing { name depths } }", context=lambda: Shelf(thing={"name": "n"}))
    assert answer["data"]["thing"]["depths"] is None


async def test_relations_lead_to_other_records_or_to_nothing() -> None:
    def shelf() -> Shelf:
        known = {"1": {"name": "one", "parent": "2"}, "2": SimpleNamespace(name="two", parent=None)}
        return Shelf(known=known, things=[{"parent": "1"}, {"parent": "gone"}, {"parent": None}, {"parent": "2"}])

    answer = await agree(SCHEMA, "{ things { parent { name parent { name parent { name } } } } }", context=shelf)
    two = {"name": "two", "parent": None}
    assert answer["data"]["things"] == [
        {"parent": {"name": "one", "parent": two}}, {"parent": None}, {"parent": None}, {"parent": two},
    ]  # fmt: skip


@pytest.mark.parametrize("owner", [None, "gone", "broken"])
async def test_a_relation_that_must_be_and_is_not_makes_its_record_null(owner: str | None) -> None:
    context = lambda: Shelf(thing={"name": "n", "owner": owner})  # noqa: E731
    answer = await agree(SCHEMA, "{ thing { name owner { name } } }", context=context, by=...)
    assert answer["data"] == {"thing": None}
    assert len(answer["errors"]) == 1


async def test_relations_of_one_level_are_read_together_once() -> None:
    """However long the list, and whatever the relations are called (no N+1)."""
    known = {str(n): {"name": str(n), "parent": str(n + 10), "owner": str(n % 3)} for n in range(40)}
    shelf = Shelf(known=known, things=[{"parent": str(n), "owner": str(n + 5)} for n in range(5)])
    text = "{ things { a: parent { parent { name } } owner { name parent { name } } } }"
    result = await read(operations_of(SCHEMA), text).run(shelf, {})
    assert result.errors is None
    assert shelf.reads == [[str(n) for n in range(10)], sorted(str(n) for n in range(10, 20))]
