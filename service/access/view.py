"""A record as one caller sees it: values, masks, and the list of what is masked.

The only reader of a record's fields above the repositories: resolvers, highlights and exports ask a View, so
there is one implementation of masking. Pure: sections come opened from below through `Opened`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from service.access.actor import Caller
from service.access.declared import (
    RECORDED_CLASSES,
    FieldShape,
    Kind,
    Level,
    RecordShape,
    Sensitivity,
    shape_of,
)
from service.access.masks import mask, mask_pieces
from service.access.policy import Relation, Row


class Opened(Protocol):
    """A record whose sections can be read; opening is lazy and done once."""

    @property
    def id(self) -> str: ...
    @property
    def document(self) -> Mapping[str, Any]: ...
    def section(self, sensitivity: Sensitivity) -> Mapping[str, Any]: ...


class AttributeField(Protocol):
    """What a template says about one key."""

    @property
    def key(self) -> str: ...
    @property
    def sensitivity(self) -> Sensitivity: ...
    @property
    def mask_kind(self) -> Kind: ...


@dataclass(frozen=True, slots=True)
class MaskedField:
    """A field that the caller may not see in full, with or without a value."""

    field: str
    visibility: Level
    kind: Kind


@dataclass(frozen=True, slots=True)
class ShownAttribute:
    """One template value as the caller sees it; the error in its place when it can't be opened."""

    field: AttributeField
    value: Any
    visibility: Level


class View:
    """One record, one caller. `row` says how much of each class may be seen."""

    __slots__ = ("caller", "document", "id", "relations", "row", "section", "shape", "template_fields")

    def __init__(
        self,
        caller: Caller,
        opened: Opened,
        shape: RecordShape,
        relations: frozenset[Relation],
        template_fields: Sequence[AttributeField] = (),
    ) -> None:
        self.caller = caller
        self.id = opened.id
        self.document = opened.document
        self.shape = shape
        self.relations = relations
        self.row: Row = caller.row(relations)
        if caller.revealed and self.id in caller.revealed:
            self.row = Row(self.row, frozenset(caller.revealed[self.id]))
        self.template_fields = template_fields
        # A section's stored values: `schema.execution` shows of them what `row` allows, by `masked`.
        self.section: Callable[[Sensitivity], Mapping[str, Any]] = opened.section

    def shown(self, name: str) -> Any:
        """The field's value, its mask, or None, as the row allows."""
        shape = self.shape.by_name[name]
        if shape.sensitivity is Sensitivity.OPEN:
            if name in self.shape.composites:
                return self._composite(name)
            return self.document.get("_id" if name == "id" else name)
        level = self.row.of(name, shape.sensitivity)
        if level <= Level.BLIND:
            return None
        return self._at(level, shape, self.section(shape.sensitivity).get(name))

    def in_full(self, name: str) -> Any:
        """The value if the caller may see all of it, else None: for what can't be masked in part."""
        shape = self.shape.by_name[name]
        return self.shown(name) if self.row.of(name, shape.sensitivity) is Level.FULL else None

    def _at(self, level: Level, shape: FieldShape, value: Any) -> Any:
        if value is None or (shape.is_list and not value):
            return value
        if level is Level.FULL:
            if shape.sensitivity in RECORDED_CLASSES:
                self.caller.saw(self.id, shape.sensitivity)
            return value
        return masked(shape, value)

    def _composite(self, name: str) -> list[dict[str, Any]]:
        """The items with what the row allows of each; an error stands where a value can't be opened."""
        nested = self.shape.composites[name]
        items = [dict(item) for item in self.document.get(name) or ()]
        for sensitivity, fields in nested.sections.items():
            levels = {field: self.row.of(f"{name}.{field}", sensitivity) for field in fields}
            fields = tuple(field for field in fields if levels[field] > Level.BLIND)
            if not fields or not items:
                continue
            section = self._section(sensitivity)
            if isinstance(section, Exception):
                for item in items:
                    item.update(dict.fromkeys(fields, section))
                continue
            for item, part in zip(items, section.get(name) or (), strict=True):
                for field_name in fields:
                    item[field_name] = self._at(levels[field_name], nested.by_name[field_name], part.get(field_name))
        return items

    def _section(self, sensitivity: Sensitivity) -> Mapping[str, Any] | Exception:
        """A section, or why it can't be opened: where values of several classes stand side by side, the error stands
        in the place of each value that is lost by it, and the others are shown.
        """
        try:
            return self.section(sensitivity)
        except Exception as error:  # whatever it is: the caller of `shown` raises it for that value
            return error

    def attributes(self) -> list[ShownAttribute]:
        """Template values in the template's order; keys of hidden classes are there without a value."""
        found = []
        for field in self.template_fields:
            level = self.row.of(f"attributes.{field.key}", field.sensitivity)
            value = None
            if level > Level.BLIND:
                section = self.document if field.sensitivity is Sensitivity.OPEN else self._section(field.sensitivity)
                if isinstance(section, Exception):
                    found.append(ShownAttribute(field, section, level))
                    continue
                value = (section.get("attributes") or {}).get(field.key)
                if value is not None and level is Level.FULL and field.sensitivity in RECORDED_CLASSES:
                    self.caller.saw(self.id, field.sensitivity)
                if level is Level.PARTIAL:
                    value = mask(field.mask_kind, value)
            found.append(ShownAttribute(field, value, level))
        return found

    def masked_fields(self) -> list[MaskedField]:
        """Every field of the record that this caller may not see in full, selected or not."""
        return [
            MaskedField(name, self.row[sensitivity], kind)
            for name, sensitivity, kind in fields_of(self.shape, self.template_fields)
            if self.row.of(name, sensitivity) is not Level.FULL
        ]


def fields_of(shape: RecordShape, template_fields: Sequence[AttributeField]) -> Iterator[tuple[str, Sensitivity, Kind]]:
    """Every field of a record with its class and kind: a composite's one by one, template fields as `attributes.key`."""
    for field in shape.fields:
        if field.name in shape.composites:
            for inner in shape.composites[field.name].fields:
                yield f"{field.name}.{inner.name}", inner.sensitivity, inner.kind
        elif field.kind is not Kind.ATTRIBUTES:
            yield field.name, field.sensitivity, field.kind
    for attribute in template_fields:
        yield f"attributes.{attribute.key}", attribute.sensitivity, attribute.mask_kind


_CHANNEL_KINDS = {"PHONE": Kind.PHONE, "EMAIL": Kind.EMAIL, "WECHAT": Kind.WECHAT}


def masked(shape: FieldShape, value: Any) -> Any:
    """A field's stored value as it is shown at PARTIAL; None and empty lists stay what they are."""
    if value is None or (shape.is_list and not value):
        return value
    if shape.item is None:
        return mask(shape.kind, value)
    kinds = _kinds_of(shape.item)
    if not shape.is_list:
        return _masked_item(kinds, value)
    found = [_masked_item(kinds, item) for item in value]
    for name in (name for name, kind in kinds if kind is Kind.TEXT):  # one text in pieces
        for item, text in zip(found, mask_pieces([item.get(name) or "" for item in value]), strict=True):
            if item.get(name) is not None:
                item[name] = text
    return found


@cache
def _kinds_of(model: type) -> tuple[tuple[str, Kind], ...]:
    """What is masked of a nested value, and as what."""
    return tuple((field.name, field.kind) for field in shape_of(model).fields if field.kind is not Kind.LABEL)


def _masked_item(kinds: tuple[tuple[str, Kind], ...], item: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(item)
    for name, kind in kinds:
        value = found.get(name)
        if value is not None:
            found[name] = mask(_CHANNEL_KINDS[item["kind"]] if kind is Kind.CHANNEL else kind, value)
    return found
