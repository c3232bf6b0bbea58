"""Operations by their text and name: parsed, checked and compiled once, and remembered.

What compilation doesn't know goes to graphql-core whole, before anything runs; what goes wrong while a compiled
operation runs goes there with the results that exist already. Either way the answer is graphql-core's, byte for
byte; a mutation is never executed twice. Counters tell how often and why.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    execute,
)
from graphql.execution.collect_fields import FragmentDetails
from prometheus_client import Counter

from schema.execution.inputs import Variables
from schema.execution.plan import Plan, conditions_of
from schema.execution.records import record
from schema.execution.running import Run
from schema.execution.surprise import Surprise
from schema.execution.writing import Writer
from schema.limits import Cost, Costs
from service.errors import Refused

REMEMBERED_MOST = 1_000
SETTINGS_MOST = 16
"""Settings of its conditions under which one operation is compiled; further ones are graphql-core's."""
compiled = Counter("anjuan_graphql_compiled", "Operations answered by compiled functions")
fallen_back = Counter("anjuan_graphql_fallback", "Operations answered by graphql-core, by reason", ["reason"])


class Source(NamedTuple):
    """A subscription's root field and its arguments, by the resolver's names."""

    field: str
    arguments: dict[str, Any]


async def _no_events() -> AsyncIterator[None]:
    """A stream for graphql-core, which wants one; it is never iterated."""
    return
    yield


class Operation:
    """One operation of a checked document."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, name: str | None) -> None:
        self.document = document
        self.name = name
        self._schema = schema
        self._writers: dict[tuple[Any, ...], Writer] = {}
        self._unknown: str | None = None
        named = [d for d in document.definitions if isinstance(d, OperationDefinitionNode) and _is_named(d, name)]
        self.kind: OperationType | None = named[0].operation if named else None
        self._cost: Cost = Costs(schema, document).of(named[0]) if named else lambda _: 1
        self._fragments = {
            definition.name.value: FragmentDetails(definition, None)
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        try:
            self._operation = _chosen(document, name)
            self._conditions = conditions_of(document)
            self._variables = Variables(schema, self._operation.variable_definitions or ())
        except Surprise as surprise:
            self._unknown = surprise.reason

    def cost(self, given: Mapping[str, Any] | None) -> int:
        """What it costs with these variables; 1 where the name names nothing."""
        return self._cost(given or {})

    async def source(self, context: Any, given: Mapping[str, Any] | None = None) -> Source | ExecutionResult:
        """Of a subscription: which stream of events it asks for; or what is wrong, in graphql-core's words."""
        asked: list[Source] = []

        async def note(_: Any, info: Any, **arguments: Any) -> AsyncIterator[None]:
            asked.append(Source(info.field_name, arguments))
            return _no_events()

        executor = Executor.build(
            self._schema, self.document, None, context, dict(given) if given else None, self.name,
            subscribe_field_resolver=note,
        )  # fmt: skip
        if isinstance(executor, list):
            return ExecutionResult(None, executor)
        made = create_source_event_stream(executor)
        found = await made if inspect.isawaitable(made) else made
        return found if isinstance(found, ExecutionResult) else asked[0]

    async def run(
        self, context: Any, given: Mapping[str, Any] | None = None, root_value: Any = None
    ) -> ExecutionResult:
        """The result for these variables. A subscription's `root_value` is one event: its root field's value."""
        run: Run | None = None
        reason = self._unknown
        if reason is None:
            try:
                run = self._begun(context, given or {}, root_value)
                data = await run.data()
            except Exception as error:  # whatever it is: graphql-core says it in its own words
                reason = error.reason if isinstance(error, Surprise) else "error"
            else:
                compiled.inc()
                return ExecutionResult(data, None)
        fallen_back.labels(reason).inc()
        if run is not None:
            run.close()
        return await self._by_core(context, given, root_value, run)

    def _begun(self, context: Any, given: Mapping[str, Any], root_value: Any) -> Run:
        coerced = self._variables.coerced(given)
        setting = tuple(coerced.get(name) for name in self._conditions) if self._conditions else ()
        writer = self._writers.get(setting)
        if writer is None:
            if len(self._writers) >= SETTINGS_MOST:
                raise Surprise("conditions")
            conditions = {name: coerced[name] for name in self._conditions if name in coerced}
            plan = Plan(self._schema, self._fragments, self._operation, conditions)
            writer = self._writers[setting] = Writer(plan, record)
        return Run(writer, context, self._variables, given, coerced, root_value)

    async def _by_core(
        self, context: Any, given: Mapping[str, Any] | None, root_value: Any, run: Run | None
    ) -> ExecutionResult:
        result = execute(
            self._schema,
            self.document,
            root_value,
            context,
            dict(given) if given else None,
            self.name,
            middleware=[run.remembering()] if run is not None else None,
        )
        return await result if inspect.isawaitable(result) else result  # type: ignore[return-value]


def _is_named(definition: OperationDefinitionNode, name: str | None) -> bool:
    return name is None or (definition.name is not None and definition.name.value == name)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    found = [d for d in document.definitions if isinstance(d, OperationDefinitionNode) and _is_named(d, name)]
    if len(found) != 1:
        raise Surprise("operation")
    return found[0]


class Operations:
    """Bounded; holds no policy and nobody's values. `check` parses and validates, or says what is wrong."""

    def __init__(self, schema: GraphQLSchema, check: Callable[[str], DocumentNode | list[GraphQLError]]) -> None:
        self._schema = schema
        self._check = check
        self._known: OrderedDict[tuple[str, str | None], Operation | list[GraphQLError] | Refused] = OrderedDict()

    def read(self, text: str, name: str | None = None) -> Operation | list[GraphQLError]:
        """The operation, or what is wrong with its document. Raises Refused for what `check` refuses."""
        key = (text, name)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._made(text, name)
            if len(self._known) > REMEMBERED_MOST:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        if isinstance(found, Refused):
            raise found.with_traceback(None)
        return found

    def _made(self, text: str, name: str | None) -> Operation | list[GraphQLError] | Refused:
        try:
            checked = self._check(text)
            return checked if isinstance(checked, list) else Operation(self._schema, checked, name)
        except Refused as refused:
            return refused
