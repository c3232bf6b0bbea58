"""What may be asked: the one guard in front of every list and every search (R69, P12). Pure.

A question tells something of each field that it filters, sorts, counts or looks for words by, also when it finds
nothing. So a field that is not FULL for every relation which the actor's rows come through may not be asked by at
all, beyond blind equality (B2). The question is refused before it runs, with one error, the same whether or not it
would match.

Each noun says once, beside its model, by which names it can be asked; which classes a name tells of follows from the
declarations of the stored fields behind it. Lists and searches tell the guard every name that a question uses; a name
that was not declared is a fault of the program, never let through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from service.access.actor import Caller
from service.access.declared import Kind, Level, RecordShape, Sensitivity, camel, shape_of
from service.errors import Code, Refused


class UndeclaredQuestion(LookupError):
    """A list or search is asked by a name that nothing declares."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One name by which records are asked for: the classes that an answer tells of, and the level of each that lets
    somebody ask.
    """

    name: str
    needed: Mapping[Sensitivity, Level]


def by_value(name: str, shape: RecordShape, paths: Iterable[str]) -> Asked:
    """Filtered, sorted or counted by the values of these fields (`contacts.phone` is a field of a list's items)."""
    return Asked(name, {sensitivity: Level.FULL for sensitivity, _ in _behind(shape, paths)})


def by_equality(name: str, shape: RecordShape, paths: Iterable[str]) -> Asked:
    """Asked for by a whole value, through its keyed token alone: whoever sees a mask, or nothing, may still ask."""
    return Asked(name, {sensitivity: Level.BLIND for sensitivity, _ in _behind(shape, paths)})


def by_words(name: str, *fields: tuple[RecordShape, str]) -> Asked:
    """Asked for by words. Of a free text PARTIAL shows all but the identifiers inside, and these are no words of the
    index; of whatever else has words, a name for example, PARTIAL shows nothing that may be asked.
    """
    needed: dict[Sensitivity, Level] = {}
    for shape, path in fields:
        for sensitivity, kind in _behind(shape, (path,)):
            level = Level.PARTIAL if kind is Kind.TEXT else Level.FULL
            needed[sensitivity] = max(level, needed.get(sensitivity, level))
    return Asked(name, needed)


def _behind(shape: RecordShape, paths: Iterable[str]) -> Iterator[tuple[Sensitivity, Kind]]:
    for path in paths:
        name, _, inner = path.partition(".")
        field = shape.by_name.get(name)
        if field is not None and inner:
            field = shape_of(field.item).by_name.get(inner) if field.item else None
        if field is None:
            raise UndeclaredQuestion(f"{shape.model.__name__}.{path}")
        yield field.sensitivity, field.kind


def may_ask(caller: Caller, asked: Asked) -> bool:
    """Whether this actor may ask by this at all. Every other function here comes down to it."""
    return all(caller.level(sensitivity) >= level for sensitivity, level in asked.needed.items())


def permit(caller: Caller, asked: Iterable[Asked]) -> None:
    """Lets a question through that uses all of these, or raises Refused QUESTION_REFUSED, named by the first in the
    order of names: not by what the records hold, nor by how the question was spelled.
    """
    for one in sorted(asked, key=lambda one: one.name):
        if not may_ask(caller, one):
            raise Refused(Code.QUESTION_REFUSED, camel(one.name))


class Questions:
    """Every name by which one noun's records can be asked for."""

    def __init__(
        self,
        shape: RecordShape,
        *,
        also: Mapping[str, str] | None = None,
        blind: Mapping[str, tuple[str, ...]] | None = None,
        words: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Stored fields by their own names, `also` by other ones; `blind` names by equality of whole values alone;
        `words` of these fields. Raises UndeclaredQuestion for a field that is not declared.
        """
        self.names: Mapping[str, Asked] = {
            **{field.name: by_value(field.name, shape, (field.name,)) for field in shape.fields},
            **{name: by_value(name, shape, (path,)) for name, path in (also or {}).items()},
            **{name: by_equality(name, shape, paths) for name, paths in (blind or {}).items()},
            **{name: by_words(name, *((shape, path) for path in paths)) for name, paths in (words or {}).items()},
        }
        self.blind = frozenset(blind or ())

    def permit(self, caller: Caller, names: Iterable[str]) -> None:
        """Lets a question through that uses these names. Raises Refused QUESTION_REFUSED; UndeclaredQuestion."""
        permit(caller, [self._named(name) for name in names])

    def classes(self, name: str) -> tuple[Sensitivity, ...]:
        """The classes that asking by this name tells of."""
        return tuple(self._named(name).needed)

    def _named(self, name: str) -> Asked:
        try:
            return self.names[name]
        except KeyError:
            raise UndeclaredQuestion(name) from None
