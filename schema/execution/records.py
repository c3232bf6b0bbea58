"""Objects that are records: one function per selection set and row of the policy.

A row says how much of each class may be seen, so what is hidden is not even opened, and what is masked is masked by
the masks of `service.access` (there are no others). Rows come with the record, from the request's policy; a
function is kept under the row's levels alone and knows no policy, role or person.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from graphql import GraphQLObjectType

from schema.binding import Stored
from schema.execution.plan import PlannedField
from schema.execution.running import Run
from schema.execution.surprise import Surprise
from schema.execution.writing import Complete, Writer, Writing
from service.access.declared import RECORDED_BITS, RECORDED_CLASSES, FieldShape, Level, RecordShape, Sensitivity
from service.access.view import View, masked

MOST_ROWS = 64


def record(writer: Writer, kind: GraphQLObjectType, field: PlannedField) -> Complete:
    """`(view, run)` → the record as its caller sees it."""
    fields = writer.plan.fields_of(kind, field.details)
    written: dict[Any, Complete] = {}

    def complete(view: View, run: Run) -> Any:
        row = view.row
        function = written.get(row.levels)
        if function is None:
            if view.shape.model.__name__ != kind.name:
                raise Surprise("type")
            if row.revealed:  # rare, and of one person and record: not worth a function
                raise Surprise("revealed")
            if len(written) >= MOST_ROWS:
                written.clear()
            function = written[row.levels] = _Record(writer, view.shape, row).written(fields)
        return function(view, run)

    return complete


class _Record:
    """One function while it is written."""

    def __init__(self, writer: Writer, shape: RecordShape, row: Mapping[Sensitivity, Level]) -> None:
        self._writing = Writing(writer, "source", "run")
        self._shape = shape
        self._row = row
        self._sections: dict[Sensitivity, str] = {}
        self._seen: dict[Sensitivity, str] = {}

    def written(self, fields: list[PlannedField]) -> Complete:
        writing = self._writing
        writing.line("document = source.document")
        read = [self._read(field) for field in fields]
        if self._seen:
            bits = " | ".join(f"({RECORDED_BITS[name]} if {seen} else 0)" for name, seen in self._seen.items())
            writing.line(f"bits = {bits}")
            writing.line("if bits: reads = source.caller.reads; reads[source.id] = reads.get(source.id, 0) | bits")
        expressions = dict(zip(fields, read, strict=True))
        writing.answer(fields, lambda field, _: expressions[field] or "None")
        return writing.made()  # type: ignore[no-any-return]

    def _section(self, sensitivity: Sensitivity) -> str:
        """The name of an opened section; each is opened once, and only if something of it is shown."""
        name = self._sections.get(sensitivity)
        if name is None:
            name = self._sections[sensitivity] = self._writing.fresh("s")
            self._writing.line(f"{name} = source.section({self._writing.bind(sensitivity)})")
        return name

    def _saw(self, sensitivity: Sensitivity, condition: str) -> None:
        """A value of a recorded class that is delivered in full is remembered for the journal (R69)."""
        if sensitivity not in RECORDED_CLASSES or self._row[sensitivity] is not Level.FULL:
            return
        name = self._seen.get(sensitivity)
        if name is None:
            name = self._seen[sensitivity] = self._writing.fresh("n")
            self._writing.line(f"{name} = {condition}")
        else:
            self._writing.line(f"{name} = {name} or {condition}")

    def _read(self, field: PlannedField) -> str | None:
        resolve = field.definition.resolve
        if field.name == "__typename" or not isinstance(resolve, Stored):
            return None
        writing, kind = self._writing, field.definition.type
        shape = self._shape.by_name[resolve.name]
        if shape.name in self._shape.composites:
            return self._composite(field, shape)
        if shape.sensitivity is Sensitivity.OPEN:
            name = "_id" if shape.name == "id" else shape.name
            return writing.value(kind, f"document.get({name!r})", field, dicts=True, stored=resolve.enum)
        level = self._row[shape.sensitivity]
        if level <= Level.BLIND:
            return writing.value(kind, "None", field, dicts=True, stored=resolve.enum)
        value = writing.fresh("v")
        writing.line(f"{value} = {self._section(shape.sensitivity)}.get({shape.name!r})")
        if level is Level.PARTIAL:
            writing.line(f"{value} = {writing.bind(partial(masked, shape))}({value})")
        else:
            self._saw(shape.sensitivity, f"({value} is not None and {value} != [])")
        return writing.value(kind, value, field, dicts=True, stored=resolve.enum)

    def _composite(self, field: PlannedField, shape: FieldShape) -> str:
        """A list whose items are spread over sections: read side by side, one display for each item."""
        writing, nested = self._writing, self._shape.composites[shape.name]
        kind: Any = field.definition.type
        while not isinstance(kind, GraphQLObjectType):
            kind = kind.of_type
        items = writing.fresh("v")
        writing.line(f"{items} = document.get({shape.name!r}) or ()")
        sources, parts = {Sensitivity.OPEN: writing.fresh("x")}, [items]
        shown: list[str] = []
        seen: dict[Sensitivity, list[str]] = {}
        for inner in writing.writer.plan.fields_of(kind, field.details):
            resolve = inner.definition.resolve
            if inner.name == "__typename":
                shown.append(f"{inner.key!r}: {kind.name!r}")
                continue
            if not isinstance(resolve, Stored):
                raise Surprise("composite")
            declared = nested.by_name[resolve.name]
            sensitivity = declared.sensitivity
            level = Level.FULL if sensitivity is Sensitivity.OPEN else self._row[sensitivity]
            expression = "None"
            if level > Level.BLIND:
                if sensitivity not in sources:
                    sources[sensitivity] = writing.fresh("x")
                    part = writing.fresh("v")
                    writing.line(f"{part} = {self._section(sensitivity)}.get({shape.name!r}) or ()")
                    parts.append(part)
                expression = f"{sources[sensitivity]}.get({declared.name!r})"
                if level is Level.PARTIAL:
                    expression = f"{writing.bind(partial(masked, declared))}({expression})"
                else:
                    seen.setdefault(sensitivity, []).append(declared.name)
            shown.append(
                f"{inner.key!r}: "
                + writing.value(inner.definition.type, expression, inner, dicts=True, stored=resolve.enum)
            )
        for sensitivity, names in seen.items():
            if sensitivity in RECORDED_CLASSES:
                part = parts[list(sources).index(sensitivity)]
                self._saw(sensitivity, f"{writing.bind(_any_of)}({part}, {tuple(names)!r})")
        display = "{" + ", ".join(shown) + "}"
        if len(parts) == 1:
            return f"[{display} for {sources[Sensitivity.OPEN]} in {items}]"
        side_by_side = ", ".join(sources.values())
        return f"[{display} for {side_by_side} in zip({', '.join(parts)}, strict=True)]"


def _any_of(items: Any, names: tuple[str, ...]) -> bool:
    """Whether some item has a value under one of these names."""
    return any(item.get(name) is not None for item in items for name in names)
