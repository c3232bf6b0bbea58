"""What an operation asks for: its fields by type, collected once by graphql-core's own rules.

A plan depends on the document, the operation and the schema, and on the values of the few variables that stand in
`@skip` and `@include`; it holds no policy and nobody's data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from schema.execution.inputs import Arguments
from schema.execution.surprise import Surprise

if TYPE_CHECKING:
    from schema.execution.running import FieldInfo, Run

CONDITIONS = frozenset({"skip", "include"})


@dataclass(slots=True, eq=False)
class PlannedField:
    """One response key of one object type: the merged field nodes, the resolver, the arguments."""

    key: str
    name: str
    definition: GraphQLField
    parent: GraphQLObjectType
    details: FieldDetailsList
    arguments: Arguments | None

    def info(self, run: Run) -> FieldInfo:
        """What the resolver is told."""
        return run.info_of(self)

    def values(self, run: Run) -> dict[str, Any]:
        """The arguments, by the resolver's names."""
        if self.arguments is None:
            return {}
        return self.arguments.always if self.arguments.always is not None else run.arguments_of(self)


class Plan:
    """One operation under one setting of its conditions. Raises Surprise for what only graphql-core knows."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDetails],
        operation: OperationDefinitionNode,
        conditions: Mapping[str, Any],
    ) -> None:
        root = schema.get_root_type(operation.operation)
        if root is None:
            raise Surprise("operation")
        self.schema = schema
        self.operation = operation
        self.root: GraphQLObjectType = root
        self._fragments = dict(fragments)
        self._values = VariableValues({}, dict(conditions))
        self._known: dict[tuple[GraphQLObjectType, int], list[PlannedField]] = {}
        try:
            collected = collect_fields(schema, self._fragments, self._values, root, operation)
        except (GraphQLError, RecursionError):
            raise Surprise("conditions") from None
        self.fields = self._planned(root, collected.grouped_field_set)
        self.is_serial = operation.operation is OperationType.MUTATION and len(self.fields) > 1

    def fields_of(self, kind: GraphQLObjectType, details: FieldDetailsList) -> list[PlannedField]:
        """What is asked of a type below a field, in the order of the answer."""
        key = (kind, id(details))  # the plan keeps the lists alive
        found = self._known.get(key)
        if found is None:
            try:
                collected = collect_subfields(self.schema, self._fragments, self._values, self.operation, kind, details)
            except (GraphQLError, RecursionError):
                raise Surprise("conditions") from None
            found = self._known[key] = self._planned(kind, collected.grouped_field_set)
        return found

    def _planned(self, kind: GraphQLObjectType, grouped: Mapping[str, FieldDetailsList]) -> list[PlannedField]:
        found = []
        for key, details in grouped.items():
            node = details[0].node
            definition = self.schema.get_field(kind, node.name.value)
            if definition is None or node.name.value in ("__schema", "__type"):
                raise Surprise("introspection")
            arguments = Arguments(definition, node) if definition.args or node.arguments else None
            found.append(PlannedField(key, node.name.value, definition, kind, details, arguments))
        return found


def conditions_of(document: DocumentNode) -> tuple[str, ...]:
    """The variables of a document that stand in conditions, sorted. Raises Surprise for any other directive."""
    found: set[str] = set()
    for definition in document.definitions:
        if not isinstance(definition, (OperationDefinitionNode, FragmentDefinitionNode)):
            raise Surprise("document")
        if definition.directives:
            raise Surprise("directives")
        if isinstance(definition, FragmentDefinitionNode) and definition.variable_definitions:
            raise Surprise("fragment variables")
        for directive in _directives(definition.selection_set):
            if directive.name.value not in CONDITIONS:
                raise Surprise("directives")
            found.update(
                argument.value.name.value
                for argument in directive.arguments or ()
                if isinstance(argument.value, VariableNode)
            )
    return tuple(sorted(found))


def _directives(selections: SelectionSetNode) -> Iterator[DirectiveNode]:
    waiting: list[SelectionSetNode] = [selections]
    while waiting:
        for selection in waiting.pop().selections:
            yield from selection.directives or ()
            if isinstance(selection, FragmentSpreadNode):
                if getattr(selection, "arguments", None):
                    raise Surprise("fragment variables")
            elif isinstance(selection, (FieldNode, InlineFragmentNode)) and selection.selection_set:
                waiting.append(selection.selection_set)
