"""Running a compiled operation: root fields, then one level of relations after the other.

A selection set's function fills what it can and leaves the rest in `later`; a level's relations are read together,
so that a list of any length costs one question per relation (no N+1). What goes wrong is a Surprise: graphql-core
then answers, with the results of resolvers that ran already (`memo`), so that nothing is done twice.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import GraphQLSchema, OperationType, default_field_resolver
from graphql.execution.values import VariableValues
from graphql.pyutils import is_awaitable

from schema.binding import Batched, Relation
from schema.execution.inputs import Variables

if TYPE_CHECKING:
    from schema.execution.plan import PlannedField
    from schema.execution.writing import Writer

Later = tuple["PlannedField", Any, dict[str, Any], Any]
"""Field, its source, the answer's object that waits for it, and an awaitable or a relation's key."""
Place = tuple[int, int, str]
SETTLED = frozenset({list, dict, tuple, str, int, bool, float, type(None)})


class Outcome(NamedTuple):
    """What a resolver gave, and whether it had to be awaited. The source is kept, for its identity is the key."""

    source: Any
    value: Any
    error: Exception | None
    was_async: bool


class FieldInfo:
    """What a resolver is told: graphql-core's GraphQLResolveInfo without the path, which no resolver may need."""

    __slots__ = ("context", "field_name", "field_nodes", "operation", "parent_type", "return_type", "root_value",
                 "schema", "variable_values")  # fmt: skip

    def __init__(self, field: PlannedField, run: Run) -> None:
        self.context = run.context
        self.field_name = field.name
        self.field_nodes = [detail.node for detail in field.details]
        self.operation = run.writer.plan.operation
        self.parent_type = field.parent
        self.return_type = field.definition.type
        self.root_value = run.root_value
        self.schema: GraphQLSchema = run.writer.plan.schema
        self.variable_values: VariableValues = run.as_core()

    def is_awaitable(self, value: Any) -> bool:
        """graphql-core's predicate."""
        return is_awaitable(value)


class Run:
    """One execution of one plan."""

    __slots__ = ("_arguments", "_core", "_given", "_infos", "_started", "_variables", "coerced", "context", "later",
                 "memo", "root_value", "writer")  # fmt: skip

    def __init__(
        self,
        writer: Writer,
        context: Any,
        variables: Variables,
        given: Mapping[str, Any],
        coerced: dict[str, Any],
        root_value: Any,
    ) -> None:
        self.writer = writer
        self.context = context
        self.coerced = coerced
        self.root_value = root_value
        self.later: list[Later] = []
        self.memo: dict[Place, list[Outcome]] = {}
        self._variables = variables
        self._given = given
        self._core: VariableValues | None = None
        self._infos: dict[PlannedField, FieldInfo] = {}
        self._arguments: dict[PlannedField, dict[str, Any]] = {}
        self._started: list[Any] = []

    def as_core(self) -> VariableValues:
        """The variables in graphql-core's form."""
        if self._core is None:
            self._core = self._variables.with_sources(self._given, self.coerced)
        return self._core

    def info_of(self, field: PlannedField) -> FieldInfo:
        """Made once for all sources of a field."""
        found = self._infos.get(field)
        if found is None:
            found = self._infos[field] = FieldInfo(field, self)
        return found

    def arguments_of(self, field: PlannedField) -> dict[str, Any]:
        """Read once for all sources of a field. Raises Surprise."""
        found = self._arguments.get(field)
        if found is None:
            assert field.arguments is not None  # noqa: S101 - a field without arguments doesn't ask
            found = self._arguments[field] = field.arguments.values(self.coerced, self.as_core)
        return found

    def began(self, value: Any) -> bool:
        """Whether a resolver's result is still to be awaited; if so it is remembered, to be closed if need be."""
        if is_awaitable(value):
            self._started.append(value)
            return True
        return False

    async def data(self) -> dict[str, Any]:
        """The answer's data. Raises whatever goes wrong."""
        fields = self.writer.plan.fields
        out: dict[str, Any] = {}
        if self.writer.plan.operation.operation is OperationType.MUTATION:
            for field in fields:
                await self._root(field, out)
                await self._settle()
            return out
        if len(fields) == 1:
            await self._root(fields[0], out)
        else:
            out = {field.key: None for field in fields}
            failures = [
                found
                for found in await asyncio.gather(*(self._root(field, out) for field in fields), return_exceptions=True)
                if isinstance(found, BaseException)
            ]
            if failures:
                raise failures[0]
        await self._settle()
        return out

    async def _root(self, field: PlannedField, out: dict[str, Any]) -> None:
        if field.name == "__typename":
            out[field.key] = field.parent.name
            return
        resolve = field.definition.resolve or default_field_resolver
        was_async = False
        arguments = field.values(self)
        try:
            value = resolve(self.root_value, self.info_of(field), **arguments)  # type: ignore[arg-type]
            if is_awaitable(value):
                was_async = True
                value = await value
        except Exception as error:
            self._remember(field, Outcome(self.root_value, None, error, was_async))
            raise
        self._remember(field, Outcome(self.root_value, value, None, was_async))
        out[field.key] = self.writer.finisher(field)(value, self)

    async def _settle(self) -> None:
        """Level by level, until nothing waits."""
        while self.later:
            level, self.later = self.later, []
            keys: dict[str, list[str]] = {}
            sources: dict[PlannedField, list[Any]] = {}
            others: list[Later] = []
            for one in level:
                resolve = one[0].definition.resolve
                if isinstance(resolve, Relation):
                    keys.setdefault(resolve.loader, []).append(one[3])
                elif isinstance(resolve, Batched):
                    sources.setdefault(one[0], []).append(one[1])
                else:
                    others.append(one)
            reads: list[Awaitable[Any]] = [self.context.loaders.many(name, ids) for name, ids in keys.items()]
            reads += [self._together(field, of) for field, of in sources.items()]
            reads += [self._awaited(one) for one in others]
            found: list[Any]
            found = await asyncio.gather(*reads, return_exceptions=True) if len(reads) > 1 else [await reads[0]]
            for result in found:
                if isinstance(result, BaseException):
                    raise result
            answers = iter(found)
            loaded = {name: next(answers) for name in keys}
            batches = {field: iter(next(answers)) for field in sources}
            for field, _, out, waiting in level:
                resolve = field.definition.resolve
                if isinstance(resolve, Relation):
                    value = loaded[resolve.loader].get(waiting)
                else:
                    value = next(batches[field]) if isinstance(resolve, Batched) else next(answers)
                out[field.key] = self.writer.finisher(field)(value, self)

    async def _together(self, field: PlannedField, sources: list[Any]) -> Any:
        resolve: Any = field.definition.resolve
        values = await resolve.function(sources, self.info_of(field), **field.values(self))
        for source, value in zip(sources, values, strict=True):
            self._remember(field, Outcome(source, value, None, was_async=True))
        return values

    async def _awaited(self, one: Later) -> Any:
        field, source, _, awaitable = one
        try:
            value = await awaitable
        except Exception as error:
            self._remember(field, Outcome(source, None, error, was_async=True))
            raise
        self._remember(field, Outcome(source, value, None, was_async=True))
        return value

    def keep(self, field: PlannedField, source: Any, value: Any) -> None:
        """Remembers what a resolver below a mutation gave at once: it must not be asked again after the next mutation."""
        self._remember(field, Outcome(source, value, None, was_async=False))

    def _remember(self, field: PlannedField, outcome: Outcome) -> None:
        self.memo.setdefault(_place(outcome.source, field.details[0].node, field.parent), []).append(outcome)

    def close(self) -> None:
        """Ends coroutines that nobody will await."""
        for value in self._started:
            if inspect.iscoroutine(value):
                value.close()

    def remembering(self) -> Callable[..., Any]:
        """Middleware for graphql-core: what a resolver gave already is given again, in the same manner, each thing once."""
        memo = self.memo

        def resolve_once(resolve: Callable[..., Any], source: Any, info: Any, /, **arguments: Any) -> Any:
            gave = memo.get(_place(source, info.field_nodes[0], info.parent_type))
            if not gave:
                return resolve(source, info, **arguments)
            found = gave.pop(0)
            if found.was_async:
                return _again(found)
            if found.error is not None:
                raise found.error
            return found.value

        return resolve_once


def _place(source: Any, node: Any, parent: Any) -> Place:
    """What a resolver's result is remembered under. One source can be seen as several types, by one fragment."""
    return id(source), id(node), parent.name


async def _again(found: Outcome) -> Any:
    if found.error is not None:
        raise found.error
    return found.value
