"""One case for each behaviour of execution that graphql-core's published tests cover, answered in both ways."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import GraphQLSchema, Undefined, build_schema

from schema.execution.operations import SETTINGS_MOST
from tests.fixtures.paths import operations_of, read
from tests.unit.execution.conftest import agree

AB = "type Query { a: String b: String deep: Query deeper: [Query!] }"


ROOT = {"a": "A", "b": "B"}


def later(value: Any) -> Any:
    async def resolve(_info: Any, **_arguments: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    return resolve


# Directives (specification, section 3.13)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("form", ["b @{}", "...F @{}", "... on Query @{} {{ b }}", "... @{} {{ b }}"])
async def test_what_is_skipped_or_not_included_is_left_out(form: str, skip: bool, include: bool) -> None:
    directives = form.format("skip(if: $s) @include(if: $i)")
    text = f"query ($s: Boolean!, $i: Boolean!) {{ a {directives} }}"
    text += " fragment F on Query { b }" if "...F" in form else ""
    answer = await agree(AB, text, ROOT, s=skip, i=include)
    assert answer["data"] == ({"a": "A", "b": "B"} if include and not skip else {"a": "A"})


async def test_one_operation_is_compiled_for_each_setting_of_its_conditions() -> None:
    schema = build_schema(AB)
    operation = read(operations_of(schema), "query ($s: Boolean = true) { a @skip(if: $s) b @include(if: $s) }")
    for _ in range(2):
        assert (await operation.run(None, {}, ROOT)).data == {"b": "B"}
        assert (await operation.run(None, {"s": False}, ROOT)).data == {"a": "A"}
        assert (await operation.run(None, {"s": True}, ROOT)).data == {"b": "B"}
        assert (await operation.run(None, {"s": None}, ROOT)).errors is not None


async def test_settings_without_end_are_not_compiled_without_end() -> None:
    names = [f"s{n}" for n in range(6)]
    declared = ", ".join(f"${name}: Boolean!" for name in names)
    fields = " ".join(f"k{name}: a @include(if: ${name})" for name in names)
    operation = read(operations_of(build_schema(AB)), f"query ({declared}) {{ {fields} }}")
    for setting in range(2 ** len(names)):
        given = {name: bool(setting >> bit & 1) for bit, name in enumerate(names)}
        answer = await operation.run(None, given, ROOT)
        assert answer.data == {f"k{name}": "A" for name in names if given[name]}
    assert len(operation._writers) == SETTINGS_MOST


async def test_everything_may_be_skipped() -> None:
    assert await agree(AB, "{ a @skip(if: true) deep { a @include(if: false) } }", {"deep": {}}) == {
        "data": {"deep": {}}
    }


async def test_null_in_a_condition_is_an_error_of_the_request_at_the_root_and_of_the_field_below() -> None:
    at_root = "query ($s: Boolean = true) { a @skip(if: $s) }"
    assert (await agree(AB, at_root, ROOT, by="conditions", s=None))["data"] is None
    below = "query ($s: Boolean = true) { deep { a @skip(if: $s) } }"
    answer = await agree(AB, below, {"deep": ROOT}, by="conditions", s=None)
    assert answer["data"] == {"deep": None}


# Selections (section 6.3)


async def test_selections_merge_through_aliases_and_fragments_in_the_order_in_which_they_are_met() -> None:
    text = """
    { deep { b } ...F x: deep { b a } ... on Query { deep { a b } } }
    fragment F on Query { x: deep { a } deep { again: a ...G } }
    fragment G on Query { a deep { a } }
    """
    answer = await agree(AB, text, {"deep": {**ROOT, "deep": ROOT}})
    assert list(answer["data"]) == ["deep", "x"]
    assert list(answer["data"]["deep"]) == ["b", "again", "a", "deep"]
    assert list(answer["data"]["x"]) == ["a", "b"]


async def test_keys_keep_their_order_whatever_is_done_first() -> None:
    schema = "type Query { a: String b: String c: String d: String e: String }"
    root = {"a": "a", "b": later("b"), "c": "c", "d": later("d"), "e": "e"}
    assert list((await agree(schema, "{ a b c d e }", root))["data"]) == ["a", "b", "c", "d", "e"]


async def test_the_named_operation_is_executed() -> None:
    text = "query First { a } query Second { b }"
    assert (await agree(AB, text, ROOT, name="Second"))["data"] == {"b": "B"}
    assert (await agree(AB, "query Only { a }", ROOT))["data"] == {"a": "A"}
    assert (await agree(AB, "query Only { a }", ROOT, name="Only"))["data"] == {"a": "A"}


@pytest.mark.parametrize("name", [None, "Third", ""])
async def test_an_operation_that_is_not_there_is_an_error(name: str | None) -> None:
    answer = await agree(AB, "query First { a } query Second { b }", ROOT, name=name, by="operation")
    assert answer["data"] is None


async def test_a_document_without_an_operation_is_an_error() -> None:
    answer = await agree(AB, "fragment F on Query { a }", ROOT, validated=False, by="operation")
    assert answer["errors"][0]["message"] == "Must provide an operation."


async def test_a_kind_of_operation_that_the_schema_lacks_is_an_error() -> None:
    await agree(AB, "mutation { a }", ROOT, validated=False, by="operation")


async def test_what_is_not_valid_is_answered_as_by_graphql_core_too() -> None:
    """Only valid documents come so far (P7); should another one, it is graphql-core's."""
    await agree(AB, "{ a nothing }", ROOT, validated=False, by="introspection")
    await agree(AB, "{ a ...Missing }", ROOT, validated=False)
    await agree(AB, "{ ...F } fragment F on Query { a ...F }", ROOT, validated=False)
    await agree(AB, "{ a } type Extra { a: Int }", ROOT, validated=False, by="document")


async def test_introspection_and_other_directives_are_graphql_cores() -> None:
    await agree(AB, '{ __schema { queryType { name } } __type(name: "Query") { name } }', ROOT, by="introspection")
    schema = f"directive @own on FIELD | QUERY {AB}"
    await agree(schema, "{ a @own b }", ROOT, by="directives")
    await agree(schema, "query @own { a b }", ROOT, by="directives")


async def test_a_root_type_may_be_asked_for_its_name() -> None:
    assert (await agree(AB, "{ __typename x: __typename }"))["data"] == {"__typename": "Query", "x": "Query"}


# Sources and resolvers (section 6.4)


async def test_values_are_read_from_dicts_and_objects_and_called_where_they_are_functions() -> None:
    schema = "type Query { a(of: Int = 2): Int b: Int c: Int o: Query }"
    root = {"a": lambda _info, of: of * 2, "b": 3, "o": SimpleNamespace(a=lambda _info, of: of, b=4)}
    answer = await agree(schema, "{ a x: a(of: 5) b c o { a b c } }", root)
    assert answer["data"] == {"a": 4, "x": 10, "b": 3, "c": None, "o": {"a": 2, "b": 4, "c": None}}


async def test_a_resolver_is_told_where_it_stands() -> None:
    schema = "type Query { a(x: Int): String }"

    def tell(info: Any, x: int) -> str:
        names = [node.alias.value for node in info.field_nodes]
        types, variables = f"{info.parent_type} {info.return_type}", info.variable_values.coerced
        return f"{info.field_name} {names} {types} {info.operation.name.value} {x} {info.context} {variables}"

    text = "query Q($x: Int) { k: a(x: $x) k: a(x: $x) }"
    answer = await agree(schema, text, {"a": tell}, context=lambda: "ctx", x=1)
    assert answer["data"]["k"] == "a ['k', 'k'] Query String Q 1 ctx {'x': 1}"


async def test_a_resolver_that_asks_for_its_path_gets_it_from_graphql_core() -> None:
    root = {"deep": {"a": lambda info: str(info.path.as_list())}}
    answer = await agree(AB, "{ deep { k: a } }", root, by="error")
    assert answer["data"] == {"deep": {"k": "['deep', 'k']"}}


async def test_arguments_may_be_called_like_anything() -> None:
    """Also when graphql-core takes over with the results that are there."""
    schema: Any = build_schema("type Query { a(source: Int, info: Int, resolve: Int, run: Int): String bad: String }")
    schema.query_type.fields["a"].resolve = lambda *_positional, **given: str(given)
    answer = await agree(schema, "{ a(source: 1, info: 2, resolve: 3, run: 4) bad }", {"bad": ValueError()}, by="value")
    assert answer["data"]["a"] == "{'source': 1, 'info': 2, 'resolve': 3, 'run': 4}"


async def test_fields_side_by_side_are_awaited_together() -> None:
    """Each waits for the other: one after the other would never end (section 6.3.1)."""

    def make() -> dict[str, Any]:
        met = asyncio.Barrier(2)

        async def meet(_info: Any) -> str:
            async with asyncio.timeout(5), met:
                return "met"

        return {"a": meet, "b": meet, "deep": {"a": meet, "b": meet}}

    assert (await agree(AB, "{ a b }", make))["data"] == {"a": "met", "b": "met"}
    assert (await agree(AB, "{ deep { a b } }", make))["data"] == {"deep": {"a": "met", "b": "met"}}


# Leaves (section 3.5)


@pytest.mark.parametrize(
    ("kind", "value", "by"),
    [
        ("Int", 2**31 - 1, "compiled"), ("Int", -(2**31), "compiled"), ("Int", 2**31, "error"), ("Int", True, "compiled"),
        ("Int", 1.0, "compiled"), ("Int", 1.5, "error"), ("Int", "12", "compiled"), ("Int", "", "error"),
        ("Int", float("inf"), "error"), ("Float", 1, "compiled"), ("Float", float("nan"), "error"),
        ("Float", "1.5", "compiled"), ("String", 1, "compiled"), ("String", False, "compiled"), ("String", [1], "error"),
        ("Boolean", 1, "compiled"), ("Boolean", "true", "error"), ("ID", 7, "compiled"), ("ID", 1.5, "error"),
        ("ID", {}, "error"), ("String", ValueError("returned"), "value"), ("[Int]", "12", "value"), ("[Int]", 5, "value"),
        ("[String]", {"a": 1}, "value"), ("E", "RED", "compiled"), ("E", "PINK", "error"), ("E", [], "error"),
    ],
)  # fmt: skip
async def test_a_leaf_is_coerced_or_refused(kind: str, value: Any, by: str) -> None:
    answer = await agree(f"enum E {{ RED }} type Query {{ a: {kind} }}", "{ a }", {"a": value}, by=by)
    assert ("errors" in answer) == (by != "compiled")


async def test_enums_have_values_inside_and_names_outside() -> None:
    schema = build_schema("enum E { ONE TWO } type Query { a: E b(e: E = TWO): String }")
    values: Any = schema.type_map["E"]
    values.values["ONE"].value, values.values["TWO"].value = 1, {"two": 2}
    root = {"a": {"two": 2}, "b": lambda _info, e: repr(e)}
    answer = await agree(schema, "query ($e: E) { a b x: b(e: ONE) y: b(e: $e) }", root, e="ONE")
    assert answer["data"] == {"a": "TWO", "b": "{'two': 2}", "x": "1", "y": "1"}


@pytest.mark.parametrize(("give", "by"), [(lambda _: None, "value"), (lambda _: Undefined, "value"), (int, "error")])
async def test_a_scalar_that_gives_no_value_is_an_error(give: Any, by: str) -> None:
    schema: Any = build_schema("scalar S type Query { a: S b: String }")
    schema.type_map["S"].coerce_output_value = give
    answer = await agree(schema, "{ a b }", ROOT, by=by)
    assert answer["data"] == {"a": None, "b": "B"}


async def test_undefined_is_null() -> None:
    root = {"a": Undefined, "deep": Undefined, "deeper": Undefined}
    await agree(AB, "{ a deep { a } }", root, by="value")
    await agree(AB, "{ deeper { a } a }", root)


# Abstract types (section 6.4.3)

PETS = """
interface Named { name: String } interface Pet implements Named { name: String age: Int }
type Cat implements Pet & Named { name: String age: Int lives: Int }
type Dog implements Pet & Named { name: String age: Int barks: Boolean }
type Rock implements Named { name: String }
union Thing = Cat | Dog | Rock
enum Leaf { A } type Other { a: Int }
type Query { named: Named pet: Pet things: [Thing] cat: Cat must: Pet! }
"""
CAT = {"__typename": "Cat", "name": "Tom", "age": 3, "lives": 9}
DOG = {"__typename": "Dog", "name": "Rex", "age": 4, "barks": True}


def pets(is_type_of: Any = None, resolve_type: Any = None) -> GraphQLSchema:
    schema = build_schema(PETS)
    for name in ("Cat", "Dog"):
        schema.type_map[name].is_type_of = is_type_of(name) if is_type_of else None  # type: ignore[attr-defined]
    schema.type_map["Pet"].resolve_type = resolve_type  # type: ignore[attr-defined]
    return schema


async def test_fragments_apply_to_the_types_that_a_value_has() -> None:
    text = """
    { things { __typename ... on Named { name } ... on Pet { age ...D } ... on Cat { lives ... on Pet { ...D } } }
      pet { ... on Thing { ... on Named { n: name } } ... on Dog { barks } } }
    fragment D on Dog { barks }
    """
    root = {"things": [CAT, DOG, {"__typename": "Rock"}, None], "pet": CAT}
    answer = await agree(PETS, text, root)
    assert answer["data"] == {
        "things": [
            {"__typename": "Cat", "name": "Tom", "age": 3, "lives": 9},
            {"__typename": "Dog", "name": "Rex", "age": 4, "barks": True},
            {"__typename": "Rock", "name": None},
            None,
        ],
        "pet": {"n": "Tom"},
    }


async def test_a_type_is_found_by_is_type_of() -> None:
    schema = pets(is_type_of=lambda name: lambda value, _info: value["is"] == name)
    root = {"pet": {"is": "Dog", "name": "Rex"}, "cat": {"is": "Cat", "name": "Tom"}}
    answer = await agree(schema, "{ pet { __typename name } cat { name } }", root)
    assert answer["data"]["pet"] == {"__typename": "Dog", "name": "Rex"}


@pytest.mark.parametrize(
    ("is_type_of", "by", "fails"),
    [
        (lambda _name: lambda _value, _info: "truthy", "type", False),
        (lambda _name: lambda _value, _info: False, "type", True),
        (lambda _name: lambda _value, _info: 1 / 0, "error", True),
        (lambda name: lambda _value, _info: later(name == "Cat")(None), "type", False),
        (lambda _name: lambda _value, _info: later(LookupError("no"))(None), "type", True),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
async def test_is_type_of_may_be_false_or_fail_or_take_time(is_type_of: Any, by: str, fails: bool) -> None:
    root = {"cat": {"name": "Tom"}, "pet": {"name": "Tom"}}
    answer = await agree(pets(is_type_of=is_type_of), "{ cat { name } }", root, by=by)
    assert ("errors" in answer) == fails
    text = "{ pet { name } }"
    await agree(pets(is_type_of=is_type_of), text, root, by=by)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (None, "must resolve to an Object type at runtime"),
        (5, "which is not a valid Object type name"),
        ("Nobody", "that does not exist inside the schema"),
        ("Leaf", "was resolved to a non-object type"),
        ("Other", "is not a possible type for 'Pet'"),
    ],
)
@pytest.mark.parametrize("field", ["pet", "must"])
async def test_a_type_that_cannot_be_is_an_error(told: Any, message: str, field: str) -> None:
    schema = pets(resolve_type=lambda _value, _info, _kind: told)
    answer = await agree(schema, f"{{ cat {{ name }} {field} {{ name }} }}", {field: {}}, by="type")
    assert message in answer["errors"][0]["message"]
    assert answer["data"] == (None if field == "must" else {"cat": None, "pet": None})


async def test_a_type_that_is_known_later_or_fails_is_graphql_cores() -> None:
    root = {"pet": {"name": "Tom"}}
    known_later = pets(resolve_type=lambda _value, _info, _kind: later("Cat")(None))
    assert (await agree(known_later, "{ pet { name __typename } }", root, by="type"))["data"]["pet"]["name"] == "Tom"
    await agree(pets(resolve_type=lambda _value, _info, _kind: 1 / 0), "{ pet { name } }", root, by="error")


async def test_one_source_may_be_seen_as_several_types_by_one_fragment() -> None:
    """What one resolver gave is not given again for the other type when graphql-core takes over."""
    schema: Any = pets(resolve_type=lambda _value, info, _kind: "Cat" if info.field_name == "pet" else "Dog")
    for kind in ("Cat", "Dog"):
        schema.type_map[kind].fields["name"].resolve = lambda _source, info, kind=kind: later(kind)(info)
    text = "{ pet { ...F } must { ...F } cat { lives } } fragment F on Pet { name }"
    root = {"pet": DOG, "must": DOG, "cat": {"lives": later("many")}}
    answer = await agree(schema, text, root, by="error")
    assert answer["data"] == {"pet": {"name": "Cat"}, "must": {"name": "Dog"}, "cat": {"lives": None}}
