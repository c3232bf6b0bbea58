"""Which fields make up which section: the layouts that associated data binds.

A section's ciphertext names the number of the layout it was sealed under, and its associated data binds the
layout's field list. A new sensitive field makes a new layout (a new number beside the old lists, which stay), so
that nobody can pass an old ciphertext off as a new one.
`tests/unit/keys/test_layouts.py` pins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.access.declared import RecordShape, Sensitivity, shape_of
from service.crypto import Place

CURRENT_LAYOUT = 1


def separate(shape: RecordShape, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Sensitivity, dict[str, Any]]]:
    """Splits a record's values into the open part and one mapping per section.

    A composite's items are split field by field; `attributes` comes as {class: {key: value}}.
    """
    openly: dict[str, Any] = {}
    sealed: dict[Sensitivity, dict[str, Any]] = {}
    for name, value in values.items():
        field = shape.by_name[name]
        if name == "attributes":
            for sensitivity, part in value.items():
                if sensitivity is Sensitivity.OPEN:
                    openly[name] = part
                elif part:
                    sealed.setdefault(sensitivity, {})[name] = part
        elif name in shape.composites:
            nested = shape.composites[name]
            openly[name] = [
                {f.name: item.get(f.name) for f in nested.fields if f.sensitivity is Sensitivity.OPEN}
                for item in value or ()
            ]
            for sensitivity, inner in nested.sections.items():
                if value:
                    sealed.setdefault(sensitivity, {})[name] = [{key: item.get(key) for key in inner} for item in value]
        elif field.sensitivity is Sensitivity.OPEN:
            openly[name] = value
        elif value is not None and value != []:
            sealed.setdefault(field.sensitivity, {})[name] = value
    return openly, sealed


Moments = tuple[tuple[str, tuple[str, ...]], ...]


def moments_in(shape: RecordShape, sensitivity: Sensitivity) -> Moments:
    """Which fields of a section have items that hold moments, and under which keys."""
    named = [(name, shape.by_name[name].item) for name in shape.sections[sensitivity]]
    found = [
        (name, tuple(field.name for field in shape_of(item).fields if field.python_type is datetime))
        for name, item in named
        if item is not None
    ]
    return tuple((name, keys) for name, keys in found if keys)


class RecordForm:
    """How the records of one collection are sealed: everything that is the same for all of them, made once."""

    __slots__ = ("collection", "moments", "places", "shape")

    def __init__(self, collection: str, shape: RecordShape) -> None:
        self.collection = collection
        self.shape = shape
        self.places = {
            sensitivity: {CURRENT_LAYOUT: Place(collection, sensitivity.value, fields)}
            for sensitivity, fields in shape.sections.items()
        }
        self.moments = {sensitivity: moments_in(shape, sensitivity) for sensitivity in shape.sections}


def revive(moments: Moments, section: Mapping[str, Any]) -> None:
    """Makes the moments of an opened section datetimes again: a section is JSON, which has none."""
    for name, keys in moments:
        value = section.get(name)
        for item in value if isinstance(value, list) else [value] if value else ():
            for key in keys:
                if item.get(key) is not None:
                    item[key] = datetime.fromisoformat(item[key])


def joined(
    shape: RecordShape, openly: Mapping[str, Any], sections: Mapping[Sensitivity, Mapping[str, Any]]
) -> dict[str, Any]:
    """The inverse of `separate`: all values of a record, as its service works with them."""
    values: dict[str, Any] = {}
    for field in shape.fields:
        name = field.name
        if name == "attributes":
            values[name] = {Sensitivity.OPEN: dict(openly.get(name) or {})}
            for sensitivity, section in sections.items():
                if section.get(name):
                    values[name][sensitivity] = dict(section[name])
        elif name in shape.composites:
            items = [dict(item) for item in openly.get(name) or ()]
            for sensitivity in shape.composites[name].sections:
                for item, part in zip(items, sections.get(sensitivity, {}).get(name) or (), strict=False):
                    item.update(part)
            values[name] = items
        elif field.sensitivity is Sensitivity.OPEN:
            values[name] = openly.get("_id" if name == "id" else name)
        else:
            values[name] = sections.get(field.sensitivity, {}).get(name)
    return values
