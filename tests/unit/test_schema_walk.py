"""The schema is walked: what comes from a stored record says what it is, or the suite fails (design "Who sees what").

P12: a new field is denied until it is classified.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
)
from strawberry.utils.str_converters import to_camel_case

import service
from schema.described import VALUES
from schema.records import _known, record_type
from schema.root import SDL, core
from service.access.declared import FieldShape, Kind, Open, Sensitivity, UndeclaredField, shape_of
from service.cases.model import CASE_SHAPE, EVENT_SHAPE
from service.cases.model import Case as StoredCase
from service.customers.model import SHAPE as CUSTOMER_SHAPE
from service.evidence.model import PAGE_SHAPE
from service.evidence.model import SHAPE as EVIDENCE_SHAPE

COMMITTED = Path(__file__).parents[2] / "schema" / "schema.graphql"
RECORDS = {
    shape.model.__name__: shape for shape in (CUSTOMER_SHAPE, CASE_SHAPE, EVENT_SHAPE, EVIDENCE_SHAPE, PAGE_SHAPE)
}
# What a type adds to its stored fields: relations, which answer with records of their own, and views on rights.
ADDED = {
    "Customer": {"maskedFields", "owner", "department", "attributes", "allowedActions", "cases", "evidence", "revisions"},
    "Case": {"maskedFields", "customer", "owner", "assignee", "department", "attributes", "allowedActions", "events", "evidence"},
    "CaseEvent": {"maskedFields", "by"},
    "Evidence": {"maskedFields", "allowedActions", "case", "customer", "uploadUrl", "downloadUrl", "text", "pages"},
    "EvidencePage": {"maskedFields"},
    "NodeStamp": {"doneBy"},
    "User": {"department"},
    "PolicyVersion": {"proposals"},
}  # fmt: skip
SCALARS = {"String", "Int", "Float", "Boolean", "ID", "DateTime"}


def _model_types() -> dict[str, tuple[type, GraphQLObjectType]]:
    """GraphQL types made from a dataclass whose fields are declared, by name."""
    found = {}
    for model in _known:
        kind = core.type_map.get(model.__name__)
        if isinstance(kind, GraphQLObjectType):
            found[kind.name] = (model, kind)
    return found


def _directive(field: Any) -> tuple[str, str] | None:
    for node in (field.ast_node and field.ast_node.directives) or ():
        if node.name.value == "sensitivity":
            given = {argument.name.value: argument.value.value for argument in node.arguments}
            return given["class"], given["kind"]
    return None


def _undeclared(name: str, model: type, kind: GraphQLObjectType) -> list[str]:
    """Fields of a type that neither a declaration nor this file's list of relations stands behind."""
    stored = {to_camel_case(field.name) for field in shape_of(model).fields}
    return sorted(set(kind.fields) - stored - ADDED.get(name, set()))


def _shapes(model: type, kind: GraphQLObjectType) -> Iterator[tuple[FieldShape, str, GraphQLField]]:
    for shape in shape_of(model).fields:
        name = to_camel_case(shape.name)
        if name in kind.fields and shape.kind is not Kind.ATTRIBUTES:
            yield shape, name, kind.fields[name]


def test_every_record_is_a_type_of_the_schema() -> None:
    assert set(RECORDS) <= set(_model_types())


@pytest.mark.parametrize("name", sorted(_model_types()))
def test_every_field_has_a_declaration_behind_it(name: str) -> None:
    model, kind = _model_types()[name]
    assert _undeclared(name, model, kind) == []


@pytest.mark.parametrize("name", sorted(_model_types()))
def test_what_may_be_masked_is_nullable_and_says_so_in_the_sdl(name: str) -> None:
    model, _ = _model_types()[name]
    kind = build_schema(SDL).type_map[name]
    assert isinstance(kind, GraphQLObjectType)
    for shape, field_name, field in _shapes(model, kind):
        if field_name in ADDED.get(name, ()):
            continue
        if shape.sensitivity is Sensitivity.OPEN:
            assert _directive(field) is None, f"{name}.{field_name}"
            continue
        assert _directive(field) == (shape.sensitivity.value, shape.kind.value), f"{name}.{field_name}"
        if shape.kind is not Kind.LABEL:
            # A label stands beside a value and is shown wherever that value's mask is.
            assert not isinstance(field.type, GraphQLNonNull), f"{name}.{field_name}"


def test_every_type_with_masked_fields_lists_them() -> None:
    for name, shape in RECORDS.items():
        kind = core.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        assert shape.sections
        assert "maskedFields" in kind.fields, name


def test_what_is_added_to_a_record_is_no_stored_value() -> None:
    """A relation answers with records, an enum or a view on rights; a text would be a hole beside the masks."""
    plain = set()
    for name in RECORDS:
        kind = core.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        for field_name in ADDED[name]:
            inner: Any = kind.fields[field_name].type
            while hasattr(inner, "of_type"):
                inner = inner.of_type
            if inner.name in SCALARS:
                plain.add(f"{name}.{field_name}")
    # Two links, and the text of a file, which `service.evidence.texts` puts together from masked pages.
    assert plain == {"Evidence.uploadUrl", "Evidence.downloadUrl", "Evidence.text"}


def test_every_type_and_field_is_described() -> None:
    silent = []
    for kind in core.type_map.values():
        if kind.name.startswith("__") or kind.name in SCALARS:
            continue
        if not kind.description:
            silent.append(kind.name)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            silent += [f"{kind.name}.{name}" for name, field in kind.fields.items() if not field.description]
    assert silent == []


def test_every_argument_is_described() -> None:
    arguments = {
        f"{kind.name}.{name}({argument})": definition
        for kind in core.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__")
        for name, field in kind.fields.items()
        for argument, definition in field.args.items()
    }
    assert arguments
    assert [name for name, definition in arguments.items() if not definition.description] == []


def test_every_value_of_an_enum_is_described_and_nothing_else_is() -> None:
    enums = {
        kind.name: kind
        for kind in core.type_map.values()
        if isinstance(kind, GraphQLEnumType) and not kind.name.startswith("__")
    }
    assert enums
    assert all(kind.values for kind in enums.values())
    silent = [f"{k.name}.{name}" for k in enums.values() for name, value in k.values.items() if not value.description]
    assert silent == []
    assert {name: set(texts) for name, texts in VALUES.items()} == {
        name: set(kind.values) for name, kind in enums.items()
    }


def test_what_is_not_counted_has_no_total() -> None:
    connections = [name for name in core.type_map if name.endswith("Connection")]
    uncounted = {name for name in connections if "totalCount" not in core.type_map[name].fields}  # type: ignore[attr-defined]
    assert uncounted == {
        "AlertConnection",
        "AuditEntryConnection",
        "CustomerRevisionConnection",
        "NoticeConnection",
        "OpenSessionConnection",
        "ServiceAccountConnection",
    }


def _stored_models() -> list[type]:
    """Every dataclass of a `model.py` with at least one declared field."""
    found = []
    for info in pkgutil.walk_packages(service.__path__, "service."):
        if info.name.rsplit(".", 1)[-1] != "model":
            continue
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if not (isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == info.name):
                continue
            hints = get_type_hints(value, include_extras=True)
            if any(get_origin(hint) is Annotated for hint in hints.values()):
                found.append(value)
    return found


@pytest.mark.parametrize("model", _stored_models(), ids=lambda model: model.__qualname__)
def test_every_stored_model_declares_every_field(model: type) -> None:
    shape = shape_of(model)
    assert {field.name for field in shape.fields} == {field.name for field in dataclasses.fields(model)}
    assert all(field.declared.description for field in shape.fields)


def test_the_records_are_among_the_stored_models() -> None:
    assert {shape.model for shape in RECORDS.values()} <= set(_stored_models())


def test_the_committed_sdl_is_the_schemas() -> None:
    assert COMMITTED.read_text("utf-8") == SDL, "Remedy: anjuan sdl"


def test_an_undeclared_stored_field_is_refused() -> None:
    """Planted: somebody adds a stored field and says nothing about it."""

    @dataclasses.dataclass
    class Leaky:
        id: Annotated[str, Open("The id.")]
        secret: str

    with pytest.raises(UndeclaredField, match="secret"):
        shape_of(Leaky)
    with pytest.raises(UndeclaredField, match="secret"):
        record_type(Leaky)(type("Leaky", (), {}))


def test_a_field_planted_beside_the_declarations_is_found() -> None:
    """Planted: somebody gives a type a field that reads the record itself."""

    class Planted:
        @strawberry.field(description="A hole.")
        def phone(root: Any) -> str:  # noqa: N805 - as resolvers are written
            return str(root.document["phone"])

    before = _known[StoredCase]
    try:
        made = record_type(StoredCase)(Planted)
    finally:
        _known[StoredCase] = before
    query = strawberry.type(type("Query", (), {"__annotations__": {"case": made | None}, "case": None}))
    kind = strawberry.Schema(query=query)._schema.type_map["Case"]
    assert isinstance(kind, GraphQLObjectType)
    assert _undeclared("Case", StoredCase, kind) == ["phone"]


def test_the_walk_reads_unions_as_the_schema_does() -> None:
    hint = get_type_hints(StoredCase)["title"]
    assert get_origin(hint) in (Union, types.UnionType)
    assert type(None) in get_args(hint)
