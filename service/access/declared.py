"""How a stored field says what it is: its sensitivity class, its kind, its meaning.

A model is a dataclass whose fields are annotated, once, with `Open(...)` or `Sensitive(CLASS, KIND, ...)`.
`schema/` derives GraphQL fields, masks and the SDL's directive from it, `search/` its allow-list,
`service.keys` the sealed sections. A stored field without a declaration fails the suite.
"""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


class Sensitivity(str, Enum):
    """Classes of design "Who sees what". Each but OPEN is sealed in a section of its own."""

    OPEN = "OPEN"
    NAME = "NAME"
    CONTACT = "CONTACT"
    IDENTITY = "IDENTITY"
    FINANCIAL = "FINANCIAL"
    NARRATIVE = "NARRATIVE"
    NEGOTIATION = "NEGOTIATION"


SEALED_CLASSES = tuple(c for c in Sensitivity if c is not Sensitivity.OPEN)
# A value of one of these, delivered in full, is an entry in the journal (R69).
RECORDED_BITS = {Sensitivity.CONTACT: 1, Sensitivity.IDENTITY: 2, Sensitivity.FINANCIAL: 4}
RECORDED_CLASSES = frozenset(RECORDED_BITS)


class Kind(str, Enum):
    """What a value is, which decides its mask (R68)."""

    PLAIN = "PLAIN"
    NAME = "NAME"
    PHONE = "PHONE"
    EMAIL = "EMAIL"
    WECHAT = "WECHAT"
    CHANNEL = "CHANNEL"
    ID_NUMBER = "ID_NUMBER"
    ADDRESS = "ADDRESS"
    BANK_CARD = "BANK_CARD"
    AMOUNT = "AMOUNT"
    DATE_OF_BIRTH = "DATE_OF_BIRTH"
    CHOICE = "CHOICE"
    TEXT = "TEXT"
    FILE = "FILE"
    LABEL = "LABEL"  # tells what the value beside it is; shown wherever that value's mask is shown
    ATTRIBUTES = "ATTRIBUTES"


class Level(IntEnum):
    """How much of a class an actor may see; wider is greater."""

    HIDDEN = 0
    BLIND = 1
    PARTIAL = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Declared:
    """What one stored field says about itself."""

    sensitivity: Sensitivity
    kind: Kind
    description: str


def Open(description: str) -> Declared:  # noqa: N802 - reads as a marker beside the type
    """A field that everyone who may see the record sees."""
    return Declared(Sensitivity.OPEN, Kind.PLAIN, description)


def Attributes(description: str) -> Declared:  # noqa: N802
    """Template fields: each key has its own class, so they are spread over every section."""
    return Declared(Sensitivity.OPEN, Kind.ATTRIBUTES, description)


def Sensitive(sensitivity: Sensitivity, kind: Kind, description: str) -> Declared:  # noqa: N802
    """A sealed field."""
    return Declared(sensitivity, kind, description)


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A stored field, as everything else reads it. `item` is the model of a composite or nested value."""

    name: str
    declared: Declared
    python_type: Any
    is_list: bool
    item: type | None

    @property
    def sensitivity(self) -> Sensitivity:
        return self.declared.sensitivity

    @property
    def kind(self) -> Kind:
        return self.declared.kind


@dataclass(frozen=True, slots=True)
class RecordShape:
    """All stored fields of a model. A composite is an OPEN list whose items have fields of other classes."""

    model: type
    fields: tuple[FieldShape, ...]
    by_name: dict[str, FieldShape]
    sections: dict[Sensitivity, tuple[str, ...]]
    composites: dict[str, RecordShape]


def camel(name: str) -> str:
    """A stored field's name as clients know it."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


class UndeclaredField(TypeError):
    """A model has a field that says nothing about its sensitivity."""


def _unwrapped(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return options[0] if len(options) == 1 else hint
    return hint


@cache
def shape_of(model: type) -> RecordShape:
    """Reads a model's declarations. Raises UndeclaredField."""
    hints = get_type_hints(model, include_extras=True)
    fields: list[FieldShape] = []
    composites: dict[str, RecordShape] = {}
    sections: dict[Sensitivity, list[str]] = {}
    for spec in dataclasses.fields(model):
        hint = hints[spec.name]
        marks = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Declared)]
        if get_origin(hint) is not Annotated or len(marks) != 1:
            raise UndeclaredField(f"{model.__name__}.{spec.name}")
        declared = marks[0]
        inner = _unwrapped(get_args(hint)[0])
        is_list = get_origin(inner) is list
        element = _unwrapped(get_args(inner)[0]) if is_list else inner
        item = element if dataclasses.is_dataclass(element) and isinstance(element, type) else None
        shape = FieldShape(spec.name, declared, inner, is_list, item)
        fields.append(shape)
        if declared.sensitivity is not Sensitivity.OPEN:
            sections.setdefault(declared.sensitivity, []).append(spec.name)
        elif item is not None:
            nested = shape_of(item)
            if nested.sections:
                composites[spec.name] = nested
                for sensitivity in nested.sections:
                    sections.setdefault(sensitivity, []).append(spec.name)
        elif declared.kind is Kind.ATTRIBUTES:
            for sensitivity in SEALED_CLASSES:
                sections.setdefault(sensitivity, []).append(spec.name)
    return RecordShape(
        model,
        tuple(fields),
        {f.name: f for f in fields},
        {sensitivity: tuple(sorted(names)) for sensitivity, names in sections.items()},
        composites,
    )
