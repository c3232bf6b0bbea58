"""What goes wrong below a field, in its arguments, or in a mutation: answered by graphql-core, or as it would (P7).

One case for each behaviour that graphql-core's published tests of lists, non-null types, mutations and variables cover.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import GraphQLError, build_schema

from tests.unit.execution.conftest import agree
from tests.unit.execution.test_behaviours import later


def fails(message: str = "no") -> Any:
    def resolve(_info: Any, **_arguments: Any) -> Any:
        raise LookupError(message)

    return resolve


# Nulls and errors (specification, section 6.4.4)

TREE = "type Query { may: Query must: Query! list: [Query!] leaf: Int sure: Int! }"
WAYS: dict[str, Any] = {
    "null": None,
    "null later": later(None),
    "an error": fails(),
    "an error later": later(LookupError("no")),
    "an error as its value": LookupError("no"),
    "a value of a wrong type": "wrong",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{ leaf sure }", None),
        ("{ may { leaf sure } leaf }", {"may": None, "leaf": 1}),
        ("{ may { must { sure } leaf } leaf }", {"may": None, "leaf": 1}),
        ("{ may { leaf may { must { sure } } } }", {"may": {"leaf": 1, "may": None}}),
        ("{ list { leaf sure } leaf }", {"list": None, "leaf": 1}),
        ("{ must { must { sure } } }", None),
    ],
)
async def test_a_null_goes_up_to_what_may_be_null(text: str, data: Any, way: str) -> None:
    bottom = {"leaf": 1, "sure": WAYS[way]}
    inner = {**bottom, "must": bottom}
    root = {**bottom, "may": {**inner, "may": inner}, "must": inner, "list": [{"leaf": 1, "sure": 1}, bottom]}
    answer = await agree(TREE, text, root, by=...)
    assert answer["data"] == data
    (error,) = answer["errors"]
    assert error["path"][-1] == "sure"


async def test_errors_tell_their_message_place_and_path() -> None:
    root = {"may": {"list": [{"leaf": GraphQLError("refused", extensions={"code": "NO"})}, {"leaf": fails("gone")}]}}
    answer = await agree(
        TREE, "{\n  may { list { x: leaf\n y: leaf ...F } } } fragment F on Query { x: leaf }", root, by="value"
    )
    assert answer["errors"][0] == {
        "message": "refused",
        "locations": [{"line": 2, "column": 16}, {"line": 3, "column": 43}],
        "path": ["may", "list", 0, "x"],
        "extensions": {"code": "NO"},
    }
    assert [error["path"] for error in answer["errors"]] == [
        ["may", "list", 0, "x"], ["may", "list", 0, "y"], ["may", "list", 1, "x"], ["may", "list", 1, "y"],
    ]  # fmt: skip


async def test_one_error_stands_for_all_in_what_became_null() -> None:
    root = {"may": {"sure": fails("first"), "must": {"sure": fails("second")}}, "leaf": fails("third")}
    answer = await agree(TREE, "{ may { leaf sure must { sure } } leaf }", root, by="error")
    assert [error["message"] for error in answer["errors"]] == ["first", "third"]
    assert answer["data"] == {"may": None, "leaf": None}


async def test_errors_stand_in_the_order_in_which_they_happen_and_what_is_known_at_once_comes_first() -> None:
    root = {"may": later(LookupError("later")), "leaf": fails("at once"), "list": [{"leaf": fails("in a list")}]}
    answer = await agree(TREE, "{ may { leaf } leaf list { leaf } }", root, by="error")
    assert [error["message"] for error in answer["errors"]] == ["at once", "in a list", "later"]


# Lists (section 6.4.3)


async def generated() -> Any:
    yield 1
    yield 2


LISTS: dict[str, tuple[Any, str]] = {
    "a list": (lambda: [1, 2], "compiled"),
    "a tuple": (lambda: (1, 2), "compiled"),
    "an empty list": (lambda: [], "compiled"),  # noqa: PIE807 - made anew, as the others
    "a set": (lambda: {1, 2}, "value"),
    "a view": (lambda: {1: 2}.keys(), "value"),  # noqa: PLW0108
    "an iterator": (lambda: iter([1, 2]), "value"),
    "a generator": (lambda: (n for n in (1, 2)), "value"),
    "a generator that fails": (lambda: (1 // n for n in (1, 0)), "value"),
    "an asynchronous generator": (generated, "value"),
    "an item of a wrong type": (lambda: [1, "x"], "error"),
    "an error among the items": (lambda: [1, ValueError("x")], "value"),
    "an item later": (lambda: [1, later(2)(None)], "value"),
    "null as an item later": (lambda: [1, later(None)(None)], "value"),
    "an error as an item later": (lambda: [later(ValueError("x"))(None), 2], "value"),
    "a text": (lambda: "text", "value"),
    "a number": (lambda: 5, "value"),
    "a dict": (lambda: {"a": 1}, "value"),
    "a list in the list": (lambda: [[1]], "error"),
}


@pytest.mark.parametrize("kind", ["[Int]", "[Int!]", "[Int]!", "[Int!]!"])
@pytest.mark.parametrize("given", LISTS)
@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
async def test_a_list_may_be_many_things(kind: str, given: str, is_later: bool) -> None:
    make, by = LISTS[given]
    root = (lambda: {"list": later(make())}) if is_later else (lambda: {"list": make()})
    await agree(f"type Query {{ list: {kind} }}", "{ list }", root, by=by)


@pytest.mark.parametrize("kind", ["[Int]", "[Int!]", "[Int]!", "[Int!]!"])
async def test_null_in_a_list_or_instead_of_it(kind: str) -> None:
    schema = f"type Query {{ list: {kind} }}"
    await agree(schema, "{ list }", {"list": [1, None]}, by="null" if "Int!" in kind else "compiled")
    await agree(schema, "{ list }", {"list": None}, by="null" if kind.endswith("!") else "compiled")


@pytest.mark.parametrize("kind", ["[[Int!]!]!", "[[Int!]!]", "[[Int!]]!", "[[Int]!]", "[[Int]]", "[[[Int!]]!]"])
async def test_lists_of_lists(kind: str) -> None:
    for value in ([[1], []], [[1], None], [[None], [1]], [1], [[[1]], [None]], None, [(1,), [2]], [[[1, None]]], [[]]):
        await agree(f"type Query {{ list: {kind} }}", "{ list }", {"list": value}, by=...)


async def test_what_one_source_gives_in_two_places_is_given_again_for_each() -> None:
    """A generator can be read once."""

    async def numbers(_info: Any) -> Any:
        return (number for number in (1, 2))

    def root() -> dict[str, Any]:
        item = {"list": numbers}
        return {"items": [item, item]}

    schema = "type Query { items: [Item] } type Item { list: [Int] }"
    answer = await agree(schema, "{ items { list } }", root, by="value")
    assert answer["data"] == {"items": [{"list": [1, 2]}, {"list": [1, 2]}]}


# Mutations (section 6.2.2)

COUNTER = """
type Query { a: Int }
type Mutation { add(by: Int = 1): Sum addSurely(by: Int = 1): Sum! fail: Sum failSurely: Sum! }
type Sum { now: Int then: Int! broken: Int brokenSurely: Int! later: Int self: Sum }
"""


class Counter:
    """A root value that counts what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def add(self, _info: Any, by: int) -> Any:
        self.done.append(f"add {by}")
        return Sum(self)

    async def addSurely(self, _info: Any, by: int) -> Any:  # noqa: N802 - the default resolver reads it
        await asyncio.sleep(0.001 * (3 - by))
        return self.add(None, by)

    def fail(self, _info: Any) -> Any:
        self.done.append("fail")
        raise LookupError("failed")

    async def failSurely(self, _info: Any) -> Any:  # noqa: N802
        return self.fail(None)


class Sum:
    """What a mutation gives: what was done until it is asked."""

    broken, brokenSurely = ValueError("broken"), ValueError("broken")  # noqa: N815 - as above

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.then = len(counter.done)

    def now(self, _info: Any) -> int:
        return len(self.counter.done)

    async def later(self, _info: Any) -> int:
        await asyncio.sleep(0)
        return len(self.counter.done)

    @property
    def self(self) -> Sum:
        return Sum(self.counter)


async def mutate(text: str, by: str) -> tuple[Any, list[list[str]]]:
    counters: list[Counter] = []

    def root() -> Counter:
        counters.append(Counter())
        return counters[-1]

    answer = await agree(COUNTER, text, root, by=by)
    assert counters[0].done == counters[1].done
    return answer, counters[1].done


async def test_mutations_are_done_one_after_the_other() -> None:
    text = "mutation { a: addSurely(by: 1) { now later } b: add(by: 2) { then later now } c: addSurely(by: 3) { now } }"
    answer, done = await mutate(text, "compiled")
    assert done == ["add 1", "add 2", "add 3"]
    assert answer["data"] == {"a": {"now": 1, "later": 1}, "b": {"then": 2, "later": 2, "now": 2}, "c": {"now": 3}}


async def test_a_mutation_that_fails_does_not_stop_the_others() -> None:
    answer, done = await mutate("mutation { fail { now } add { now } }", "error")
    assert (answer["data"], done) == ({"fail": None, "add": {"now": 2}}, ["fail", "add 1"])


@pytest.mark.parametrize("text", ["failSurely { now }", "addSurely { brokenSurely }"])
async def test_a_null_that_reaches_the_root_stops_what_would_follow(text: str) -> None:
    answer, done = await mutate(
        f"mutation {{ add {{ now }} {text} never: add(by: 9) {{ now }} }}", "error" if "fail" in text else "value"
    )
    assert answer["data"] is None
    assert len(done) == 2


@pytest.mark.parametrize("below", ["broken", "brokenSurely", "self { later broken }", "later broken now self { now }"])
@pytest.mark.parametrize("field", ["add", "addSurely"])
async def test_a_mutation_is_done_once_even_when_its_payload_fails(field: str, below: str) -> None:
    _, done = await mutate(f"mutation {{ {field}(by: 2) {{ {below} }} }}", "value")
    assert done == ["add 2"]


async def test_what_an_earlier_mutation_gave_is_not_asked_again_after_a_later_one() -> None:
    """Else its payload would tell of what was done after it."""
    text = "mutation { a: add { now later self { now } } b: add { now later broken } c: add { now } }"
    answer, _ = await mutate(text, "value")
    assert answer["data"]["a"] == {"now": 1, "later": 1, "self": {"now": 1}}
    assert answer["data"]["b"] == {"now": 2, "later": 2, "broken": None}
    assert answer["data"]["c"] == {"now": 3}


# Variables and arguments (sections 6.1.2 and 6.4.1)

ECHO = """
scalar Even
enum Colour { RED GREEN }
input In { a: String b: [String] c: String! d: Even e: Colour = RED inner: Inner list: [Int!] = [1] }
input Inner { c: String! d: Even = 8 a: String list: [Inner2!] } input Inner2 { c: String! }
input Endless { c: String inner: Endless list: [Endless!] }
input One @oneOf { a: Int b: String }
type Query {
  int(v: Int): String intDefault(v: Int = 5): String must(v: Int!): String mustDefault(v: Int! = 5): String
  list(v: [Int]): String mustList(v: [Int]!): String listMust(v: [Int!]): String mustListMust(v: [Int!]!): String
  matrix(v: [[Int!]]): String in(v: In): String ins(v: [In!]): String one(v: One): String colour(v: Colour): String
  even(v: Even): String text(v: String): String id(v: ID): String float(v: Float): String flag(v: Boolean): String
  inDefault(v: In = {c: "default", list: [2]}): String
  endless(v: Endless): String
}
"""


def echo() -> Any:
    schema: Any = build_schema(ECHO)
    for definition in schema.query_type.fields.values():
        definition.resolve = lambda _source, _info, **given: repr(given)

    def even(value: Any) -> int:
        if value % 2:
            raise ValueError("odd")
        return int(value)

    schema.type_map["Even"].coerce_input_value = even
    schema.type_map["In"].fields["a"].out_name = "a_text"
    return schema


ANY = (None, 0, 1, 2**31, -3, 1.0, 1.5, True, "", "7", "RED", "PINK", [], [1], [None], [1, None, 2], ["x"], [[1], [2, None]], [[]], {},
       {"c": "c"}, {"c": None}, {"c": "c", "b": "b", "inner": {"c": "i", "d": 2}}, {"c": "c", "inner": {}}, {"c": "c", "inner": {"c": "i", "list": {"c": "j"}}}, {"c": "c", "inner": {"c": "i", "list": [{}]}}, {"c": "c", "d": 3},
       {"c": "c", "e": "PINK"}, {"c": "c", "x": 1}, {"a": 1}, {"b": "b"}, {"a": 1, "b": "b"}, {"a": None}, [{"c": "1"}, {"c": "2"}],
       {"c": "c", "list": 3}, {"c": "c", "list": [None]}, {"c": "c", "b": [None, "x"]})  # fmt: skip


@pytest.mark.parametrize("name", list(echo().query_type.fields))
async def test_a_variable_is_coerced_or_refused_as_by_graphql_core(name: str) -> None:
    """Every value for every type; given, left out, with a default, and in the place of something that may not be null."""
    schema = echo()
    kind = schema.query_type.fields[name].args["v"].type
    texts = [f"query ($v: {kind}) {{ {name}(v: $v) other: {name}(v: $v) }}"]
    if not str(kind).endswith("!"):
        texts.append(f"query ($v: {kind}!) {{ {name}(v: $v) }}")
    if name == "mustDefault":
        texts += ["query ($v: Int) { mustDefault(v: $v) }", "query ($v: Int = 6) { mustDefault(v: $v) must(v: $v) }"]
    for text in texts:
        for value in ANY:
            await agree(schema, text, by=..., v=value)
        await agree(schema, text, by=...)


@pytest.mark.parametrize(
    "text",
    [
        "{ int intDefault mustDefault inDefault list }",
        "{ int(v: null) intDefault(v: null) inDefault(v: null) list(v: null) }",
        '{ list(v: 1) matrix(v: 1) in(v: {c: "c", b: "b"}) ins(v: {c: "c"}) id(v: 5) float(v: 5) }',
        "query ($v: Int) { int(v: $v) intDefault(v: $v) mustDefault(v: $v) list(v: [1, $v]) matrix(v: [[1], null]) }",
        'query ($v: String) { in(v: {c: "c", a: $v, b: [$v, "b"], inner: {c: "i", a: $v, list: {c: "j"}}}) text(v: $v) }',
        'query ($v: Int = 4) { intDefault(v: $v) mustDefault(v: $v) listMust(v: [$v]) in(v: {c: "c", list: [$v]}) }',
        'query ($v: In = {c: "own", list: []}) { in(v: $v) ins(v: [$v]) inDefault(v: $v) }',
        "query ($v: Colour = GREEN) { colour(v: $v) x: colour(v: RED) }",
        'query ($v: Int!) { one(v: {a: $v}) x: one(v: {b: "b"}) }',
    ],
)
@pytest.mark.parametrize(
    "given", [{}, {"v": None}, {"v": 1}, {"v": "RED"}, {"v": "text"}, {"v": {"c": "c"}}, {"other": 1}]
)
async def test_arguments_are_coerced_as_by_graphql_core(text: str, given: dict[str, Any]) -> None:
    await agree(echo(), text, by=..., validated=False, **given)


@pytest.mark.parametrize("levels", [2, 199, 200, 201, 202])
async def test_input_that_is_nested_too_deeply_is_refused_as_by_graphql_core(levels: int) -> None:
    value: dict[str, Any] = {"c": "c"}
    for _ in range(levels):
        value = {"inner": value}
    answer = await agree(echo(), "query ($v: Endless) { endless(v: $v) }", by=..., v=value)
    assert ("errors" in answer) == (levels >= 200)
