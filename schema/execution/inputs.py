"""Variables and arguments, coerced by functions made once for each operation.

Only what is right is coerced here, to exactly what graphql-core would give (`coerce_input_value`,
`get_argument_values`). Whatever is wrong is a Surprise: graphql-core then finds the words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLString,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_argument_values,
    get_named_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, input_is_nested_too_deeply
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal, coerce_input_value

from schema.execution.surprise import Surprise

Coercer = Callable[[Any], Any]
_UNCHANGING = (str, int, float, bool, type(None), Enum, date, datetime)
_ONE = (str, int, float, dict)  # JSON's values that stand for a list of one
_objects: dict[Any, Coercer] = {}


def coercer(kind: GraphQLInputType) -> Coercer:
    """The function that coerces JSON values of a type; it raises Surprise for what is no such value."""
    return _by_core(kind) if _is_endless(kind) else _made(kind)


def _is_endless(kind: Any, above: tuple[Any, ...] = ()) -> bool:
    """Whether a type's values can be nested without end: graphql-core counts their levels, from the outermost."""
    named: Any = get_named_type(kind)
    if not is_input_object_type(named):
        return False
    return named in above or any(_is_endless(field.type, (*above, named)) for field in named.fields.values())


def _made(kind: Any) -> Coercer:
    if is_non_null_type(kind):
        return _required(_made(kind.of_type))
    if is_list_type(kind):
        return _listed(_made(kind.of_type))
    if is_input_object_type(kind):
        found = _objects.get(kind)
        if found is None:
            found = _objects[kind] = _by_core(kind) if kind.is_one_of else _object(kind)
        return found
    if kind is GraphQLString or kind is GraphQLID:
        return _text(kind)
    return _by_core(kind)


def _by_core(kind: Any) -> Coercer:
    def coerce(value: Any) -> Any:
        if input_is_nested_too_deeply(value, kind):
            raise Surprise("variables")
        found = coerce_input_value(value, kind)
        if found is Undefined:
            raise Surprise("variables")
        return found

    return coerce


def _text(kind: Any) -> Coercer:
    otherwise = _by_core(kind)

    def coerce(value: Any) -> Any:
        return value if value.__class__ is str else otherwise(value)

    return coerce


def _required(inner: Coercer) -> Coercer:
    def coerce(value: Any) -> Any:
        if value is None:
            raise Surprise("variables")
        return inner(value)

    return coerce


def _listed(item: Coercer) -> Coercer:
    def coerce(value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is list:
            return [item(one) for one in value]
        if isinstance(value, _ONE):
            return [item(value)]
        raise Surprise("variables")

    return coerce


def _object(kind: Any) -> Coercer:
    fields = [
        (name, field.out_name or name, _made(field.type), is_required_input_field(field), _default(field))
        for name, field in kind.fields.items()
    ]
    names = frozenset(kind.fields)
    out_type = kind.out_type

    def coerce(value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is not dict or not names.issuperset(value):
            raise Surprise("variables")
        found = {}
        for name, out_name, inner, required, default in fields:
            given = value.get(name, Undefined)
            if given is not Undefined:
                found[out_name] = inner(given)
            elif required:
                raise Surprise("variables")
            else:
                fallen_back = default()
                if fallen_back is not Undefined:
                    found[out_name] = fallen_back
        return out_type(found)

    return coerce


def _default(definition: Any) -> Callable[[], Any]:
    """What stands for a missing value, or Undefined; made anew where somebody could change it."""
    try:
        value = coerce_default_value(definition)
    except TypeError:
        raise Surprise("defaults") from None
    if value is Undefined or _is_unchanging(value):
        return lambda: value
    return lambda: coerce_default_value(definition)


def _is_unchanging(value: Any) -> bool:
    return isinstance(value, _UNCHANGING)


class Variables:
    """The variables of one operation. Raises Surprise for definitions that only graphql-core can explain."""

    def __init__(self, schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode]) -> None:
        self._readers: list[tuple[str, Any, Coercer, bool, Callable[[], Any] | None]] = []
        for definition in definitions:
            signature = get_variable_signature(schema, definition)
            if isinstance(signature, GraphQLError):
                raise Surprise("variables")
            kind: Any = signature.type
            default = _default(signature) if definition.default_value else None
            self._readers.append((signature.name, signature, coercer(kind), is_non_null_type(kind), default))

    def coerced(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Values by name; those that were left out and have no default are missing. Raises Surprise."""
        found: dict[str, Any] = {}
        try:
            for name, _, coerce, required, default in self._readers:
                value = given.get(name, Undefined)
                if value is not Undefined:
                    found[name] = coerce(value)
                elif default is not None:
                    fallen_back = default()
                    if fallen_back is not Undefined:
                        found[name] = fallen_back
                elif required:
                    raise Surprise("variables")
        except RecursionError:
            raise Surprise("variables") from None
        return found

    def with_sources(self, given: Mapping[str, Any], coerced: dict[str, Any]) -> VariableValues:
        """The same in graphql-core's own form, for literals with variables inside."""
        sources = {
            name: VariableValueSource(signature, given.get(name, Undefined)) for name, signature, *_ in self._readers
        }
        return VariableValues(sources, coerced)


def has_variables(value: ValueNode) -> bool:
    """Whether a literal holds variables."""
    if isinstance(value, VariableNode):
        return True
    if isinstance(value, ListValueNode):
        return any(has_variables(item) for item in value.values)
    return isinstance(value, ObjectValueNode) and any(has_variables(field.value) for field in value.fields)


class Arguments:
    """The arguments of one field in one operation. `always` holds them where no variable takes part."""

    __slots__ = ("_field", "_node", "_readers", "always")

    def __init__(self, field: GraphQLField, node: FieldNode) -> None:
        self._field = field
        self._node = node
        self._readers: list[Callable[[dict[str, Any], Any, dict[str, Any]], None]] = []
        self.always: dict[str, Any] | None = None
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if not any(has_variables(value) for value in given.values()):
            try:
                always = get_argument_values(field, node)
            except GraphQLError:
                raise Surprise("arguments") from None
            if all(_is_unchanging(value) for value in always.values()):
                self.always = always
                return
        for name, definition in field.args.items():
            self._readers.append(_argument(definition.out_name or name, definition, given.get(name)))

    def values(self, variables: dict[str, Any], as_core: Callable[[], VariableValues]) -> dict[str, Any]:
        """By resolver's name; never shared with another request where it could be changed. Raises Surprise."""
        if self.always is not None:
            return self.always
        found: dict[str, Any] = {}
        for read in self._readers:
            read(variables, as_core, found)
        return found


def _argument(
    out_name: str, definition: Any, node: ValueNode | None
) -> Callable[[dict[str, Any], Any, dict[str, Any]], None]:
    kind = definition.type
    required = is_required_argument(definition)
    default = _default(definition)

    def fall_back(found: dict[str, Any]) -> None:
        if required:
            raise Surprise("arguments")
        value = default()
        if value is not Undefined:
            found[out_name] = value

    if node is None:
        return lambda _variables, _as_core, found: fall_back(found)
    if isinstance(node, VariableNode):
        variable, never_null = node.name.value, is_non_null_type(kind)

        def read(variables: dict[str, Any], _: Any, found: dict[str, Any]) -> None:
            value = variables.get(variable, Undefined)
            if value is Undefined:
                fall_back(found)
            elif value is None and never_null:
                raise Surprise("arguments")
            else:
                found[out_name] = value

        return read

    def coerce(_: dict[str, Any], as_core: Any, found: dict[str, Any]) -> None:
        value = coerce_input_literal(node, kind, as_core())
        if value is Undefined:
            raise Surprise("arguments")
        found[out_name] = value

    return coerce
