"""Writes the functions that complete values: plain Python, one function per selection set and kind of source.

What is written is Python source made of nothing but names of our own and constants that are bound beside it; no part
of a document goes into it but response keys, as literals. A function is written when it is first needed and kept
with its plan. Errors, nulls where none may be, and values that are not what their type says are left to
graphql-core: any exception in a written function means that it answers instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLObjectType,
    Undefined,
    default_field_resolver,
    default_type_resolver,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.pyutils import is_awaitable

from schema.binding import Batched, Relation, Stored
from schema.execution.leaves import LISTS, enum_names, leaf_test, no_list, nothing, sorted_names, whatever
from schema.execution.plan import Plan, PlannedField
from schema.execution.running import SETTLED, Run
from schema.execution.surprise import Surprise
from service.access.view import View

Complete = Callable[[Any, Run], Any]


class Writing:
    """One function while it is written: lines, fresh names, bound constants."""

    def __init__(self, writer: Writer, *parameters: str) -> None:
        self.writer = writer
        self._parameters = parameters
        self._lines: list[str] = []
        self._bound: dict[str, Any] = {"SETTLED": SETTLED, "LISTS": LISTS}
        self._names: dict[int, str] = {}
        self._fresh = 0

    def fresh(self, letter: str = "t") -> str:
        """A name that nothing else in this function has."""
        self._fresh += 1
        return f"{letter}{self._fresh}"

    def bind(self, value: Any, letter: str = "c") -> str:
        """The name under which a constant is known to the function."""
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = self.fresh(letter)
            self._bound[name] = value
        return name

    def line(self, text: str) -> None:
        """One more line of the body."""
        self._lines.append(text)

    def made(self) -> Any:
        """The function."""
        body = "\n ".join(self._lines)
        source = f"def written({', '.join(self._parameters)}):\n {body}\n"
        exec(compile(source, "<selection>", "exec"), self._bound)  # noqa: S102 - see the module's docstring
        return self._bound["written"]

    # Expressions

    def value(self, kind: Any, expression: str, field: PlannedField, *, dicts: bool = False, stored: Any = None) -> str:
        """An expression that completes another one's value as `kind`. `dicts`: objects in it are plain dicts.
        `stored` is the enum behind a stored value.
        """
        required = is_non_null_type(kind)
        inner: Any = kind.of_type if required else kind
        if stored is not None and is_list_type(inner):
            names = self.bind(sorted_names(enum_names(get_named_type(inner)), required=required))  # type: ignore[arg-type]
            return f"{names}({expression})"
        if is_leaf_type(inner):
            return self._leaf(inner, expression, required=required)
        name = self.fresh()
        if is_list_type(inner):
            item = self.fresh("x")
            each = self.value(inner.of_type, item, field, dicts=dicts)
            otherwise = self.bind(no_list(required=required))
            return f"([{each} for {item} in {name}] if ({name} := {expression}).__class__ in LISTS else {otherwise}({name}))"
        missing = f"{self.bind(nothing)}()" if required else "None"
        if is_abstract_type(inner):
            complete = f"{self.bind(self.writer.abstract(inner, field))}({name}, run)"
        elif dicts and (inline := self._inline(inner, name, field)):
            complete = inline
        else:
            complete = f"{self.bind(self.writer.completer(inner, field))}({name}, run)"
        return f"({complete} if ({name} := {expression}) is not None else {missing})"

    def _leaf(self, kind: Any, expression: str, *, required: bool) -> str:
        name = self.fresh()
        if isinstance(kind, GraphQLEnumType) and (names := enum_names(kind)) is not None:
            missing = f"{self.bind(nothing)}()" if required else "None"
            return f"({self.bind(names)}[{name}] if ({name} := {expression}) is not None else {missing})"
        otherwise = self.bind(whatever(kind, required=required))
        test = leaf_test(kind)
        if test is None:
            return f"{otherwise}({expression})"
        condition = test.text.format(value=f"({name} := {expression})", name=name, **{
            key: self.bind(value) for key, value in test.bound.items()
        })  # fmt: skip
        return f"({name} if {condition} else {otherwise}({name}))"

    def _inline(self, kind: GraphQLObjectType, source: str, field: PlannedField) -> str | None:
        """An object display for a plain dict, if nothing but stored fields is asked of it."""
        parts = []
        for inner in self.writer.plan.fields_of(kind, field.details):
            if inner.name == "__typename":
                parts.append(f"{inner.key!r}: {kind.name!r}")
                continue
            resolve = inner.definition.resolve
            if not isinstance(resolve, Stored) or kind.is_type_of is not None:
                return None
            read = f"{source}.get({resolve.name!r})"
            completed = self.value(inner.definition.type, read, inner, dicts=True, stored=resolve.enum)
            parts.append(f"{inner.key!r}: {completed}")
        return "{" + ", ".join(parts) + "}"

    # Objects

    def answer(self, fields: list[PlannedField], stored: Callable[[PlannedField, Stored], str]) -> None:
        """The rest of a function that makes an answer's object; `stored` completes what is simply read."""
        parts: list[str] = []
        after: list[str] = []
        for field in fields:
            resolve = field.definition.resolve
            if field.name == "__typename":
                completed = repr(field.parent.name)
            elif isinstance(resolve, Stored):
                completed = stored(field, resolve)
            elif isinstance(resolve, Relation):
                key, bound = self.fresh("k"), self.bind(field)
                self.line(f"{key} = {self.bind(resolve.key)}(source)")
                missing = f"{self.bind(nothing)}()" if is_non_null_type(field.definition.type) else "None"
                completed = f"None if {key} is not None else {missing}"
                after.append(f"if {key} is not None: run.later.append(({bound}, source, out, {key}))")
            elif isinstance(resolve, Batched):
                completed = "None"
                after.append(f"run.later.append(({self.bind(field)}, source, out, None))")
            else:
                result, waits, bound = self.fresh("r"), self.fresh("w"), self.bind(field)
                call = self.bind(resolve or default_field_resolver)
                given = f", **{bound}.values(run)" if field.arguments is not None else ""
                self.line(f"{result} = {call}(source, {bound}.info(run){given})")
                self.line(f"{waits} = {result}.__class__ not in SETTLED and run.began({result})")
                if self.writer.plan.is_serial:
                    self.line(f"if not {waits}: run.keep({bound}, source, {result})")
                completed = f"None if {waits} else {self.value(field.definition.type, result, field)}"
                after.append(f"if {waits}: run.later.append(({bound}, source, out, {result}))")
            parts.append(f"{field.key!r}: {completed}")
        self.line("out = {" + ", ".join(parts) + "}")
        for text in after:
            self.line(text)
        self.line("return out")


class Writer:
    """The functions of one plan, written as they are needed."""

    def __init__(self, plan: Plan, records: Callable[[Writer, GraphQLObjectType, PlannedField], Complete]) -> None:
        self.plan = plan
        self._records = records
        self._completers: dict[tuple[GraphQLObjectType, int], Complete] = {}
        self._finishers: dict[PlannedField, Complete] = {}

    def finisher(self, field: PlannedField) -> Complete:
        """`(value, run)` → the completed value of a field."""
        found = self._finishers.get(field)
        if found is None:
            writing = Writing(self, "value", "run")
            stored = field.definition.resolve.enum if isinstance(field.definition.resolve, Stored) else None
            writing.line(f"return {writing.value(field.definition.type, 'value', field, stored=stored)}")
            found = self._finishers[field] = writing.made()
        return found

    def completer(self, kind: GraphQLObjectType, field: PlannedField) -> Complete:
        """`(source, run)` → an object of this type with what is asked below the field."""
        key = (kind, id(field.details))
        found = self._completers.get(key)
        if found is None:
            found = self._completers[key] = self._by_source(kind, field)
        return found

    def _by_source(self, kind: GraphQLObjectType, field: PlannedField) -> Complete:
        written: dict[str, Complete] = {}
        is_type_of = kind.is_type_of

        def complete(source: Any, run: Run) -> Any:
            place = source.__class__
            if is_type_of is not None and is_type_of(source, run.info_of(field)) is not True:  # type: ignore[arg-type]
                raise Surprise("type")
            if place is View:
                form = "record"
            elif place is dict:
                form = "dict"
            else:
                if isinstance(source, Exception) or source is Undefined or is_awaitable(source):
                    raise Surprise("value")
                form = "object"
            function = written.get(form)
            if function is None:
                made = self._records(self, kind, field) if form == "record" else self._plain(kind, field, form)
                function = written[form] = made
            return function(source, run)

        return complete

    def _plain(self, kind: GraphQLObjectType, field: PlannedField, form: str) -> Complete:
        writing = Writing(self, "source", "run")

        def stored(inner: PlannedField, resolve: Stored) -> str:
            read = f"source.get({resolve.name!r})" if form == "dict" else f"getattr(source, {resolve.name!r})"
            return writing.value(inner.definition.type, read, inner, stored=resolve.enum)

        writing.answer(self.plan.fields_of(kind, field.details), stored)
        return writing.made()  # type: ignore[no-any-return]

    def abstract(self, kind: Any, field: PlannedField) -> Complete:
        """`(source, run)` → an object of whichever type the value is."""
        schema = self.plan.schema
        known: dict[str, Complete] = {}
        resolve_type: Any = kind.resolve_type or default_type_resolver

        def complete(source: Any, run: Run) -> Any:
            if isinstance(source, Exception) or source is Undefined or is_awaitable(source):
                raise Surprise("value")
            name = resolve_type(source, run.info_of(field), kind)
            function = known.get(name) if name.__class__ is str else None
            if function is None:
                found = schema.get_type(name) if isinstance(name, str) else None
                if not isinstance(found, GraphQLObjectType) or not schema.is_sub_type(kind, found):
                    if is_awaitable(name):
                        name.close() if hasattr(name, "close") else None
                    raise Surprise("type")
                function = known[name] = self.completer(found, field)
            return function(source, run)

        return complete
