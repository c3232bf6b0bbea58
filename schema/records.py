"""Stored models → GraphQL types, derived and never repeated.

A field's GraphQL type, nullability, description and its `@sensitivity` directive come from the model's own
declaration; its resolver is the View's mask. Nested models become types of their own, once each.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import strawberry
from strawberry.schema_directive import Location

from schema.binding import Guard
from schema.described import VALUES
from service.access.declared import Declared, Kind, Level, Sensitivity, shape_of

_enums: dict[type[Enum], Any] = {}


def enum_type(enum: type[Enum], name: str | None = None, description: str | None = None) -> Any:
    """The GraphQL enum of a domain enum, described by its docstring's first line, its values by `described`. Also a
    decorator.
    """
    if enum not in _enums:
        text = description or (enum.__doc__ or enum.__name__).strip().split("\n")[0]
        made: Any = strawberry.enum(enum, name=name, description=text)
        for value in made.__strawberry_definition__.values:
            value.description = VALUES.get(name or enum.__name__, {}).get(value.name)
        _enums[enum] = made
    return _enums[enum]


SensitivityClass = enum_type(Sensitivity, "Sensitivity", "Classes of stored values.")
Visibility = enum_type(Level, "Visibility", "How much of a class an actor may see.")
ValueKind = enum_type(Kind, "ValueKind", "What a value is, which decides its mask.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="sensitivity",
    description="The class that decides who may see the field, and the kind that decides its mask.",
)
class SensitivityDirective:
    """Written on every field that is not OPEN."""

    class_: SensitivityClass = strawberry.directive_field(name="class")
    kind: ValueKind


T = TypeVar("T", bound=type)
_known: dict[type, Any] = {}


def _translated(hint: Any) -> Any:
    """The hint with models and enums replaced by their GraphQL types."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [_translated(arg) for arg in get_args(hint) if arg is not type(None)]
        return inner[0] | None if len(inner) == 1 else hint
    if origin is list:
        return list[_translated(get_args(hint)[0])]  # type: ignore[misc]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return enum_type(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return nested_type(hint)
    return hint


def _field(declared: Declared, guard: Guard | None) -> Any:
    directives = []
    if declared.sensitivity is not Sensitivity.OPEN:
        directives.append(SensitivityDirective(class_=declared.sensitivity, kind=declared.kind))  # type: ignore[call-arg]
    metadata = {"guard": guard} if guard else {}
    return strawberry.field(description=declared.description, directives=directives, metadata=metadata)


def nested_type(model: type) -> Any:
    """The type of a model that stands inside a record, made on first use."""
    if model not in _known:
        _known[model] = record_type(model)(type(model.__name__, (), {"__doc__": model.__doc__, "__annotations__": {}}))
    return _known[model]


def record_type(
    model: type,
    *,
    leave_out: Iterable[str] = (),
    interfaces: tuple[type, ...] = (),
    guarded: tuple[Iterable[str], Guard] | None = None,
) -> Callable[[type], Any]:
    """Decorator: gives a class the model's stored fields, beside the relations that it declares itself. `guarded`:
    fields that are null where the guard says no (`schema.binding.Guarded`).
    """
    left_out = {"attributes", *leave_out}
    behind, guard = guarded or ((), None)

    def decorate(cls: type) -> Any:
        hints = get_type_hints(model)
        annotations = dict(inspect.get_annotations(cls))
        for shape in shape_of(model).fields:
            if shape.name in left_out:
                continue
            hint = hints[shape.name]
            if shape.name == "id":
                hint = strawberry.ID
            elif shape.sensitivity is not Sensitivity.OPEN and shape.kind is not Kind.LABEL:
                hint = hint | None if type(None) not in get_args(hint) else hint
            if shape.name in behind:
                hint = hint | None
            annotations[shape.name] = _translated(hint)
            setattr(cls, shape.name, _field(shape.declared, guard if shape.name in behind else None))
        cls.__annotations__ = annotations
        description = (model.__doc__ or "").strip().split("\n")[0]
        if interfaces:
            members = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
            cls = type(cls.__name__, interfaces, members)
        made = strawberry.type(cls, name=model.__name__, description=description)
        _known[model] = made
        return made

    return decorate
