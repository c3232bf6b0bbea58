"""What a document may cost, known before it is validated (P1, P2; OWASP API4:2023, Unrestricted Resource Consumption).

Two linear rules, each visiting a fragment once however often it is spread:
- `structure`: depth, fields under one key, aliases, directives, fragments, operations, root fields. It runs before
  validation, whose OverlappingFieldsCanBeMerged is quadratic.
- `cost`: every field is 1, a page is its size times what is asked of an item, other lists count with the largest
  size that they may have; so the cost is never less than the number of resolver calls. It depends on variables
  only through page sizes, and is made into a function of them once for each operation.

Refusals are Refused TOO_COSTLY, which names the limit and by how much it was missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)

from service.errors import Code, Refused

SOURCE_MOST = 16_384
TOKENS_MOST = 2_000
DEPTH_MOST = 16
ALIASES_MOST = 100
DIRECTIVES_MOST = 100
FRAGMENTS_MOST = 50
OPERATIONS_MOST = 10
ROOT_FIELDS_MOST = 20
MUTATIONS_MOST = 5
REPEATS_MOST = 300
"""Pairs of fields that share a place in the answer: what OverlappingFieldsCanBeMerged compares."""
VISITS_MOST = 5_000
VALUES_MOST = 10_000
"""Values in all variables together, and in all literals."""
VALUES_DEEP = 24
PAGE_DEFAULT, PAGE_MOST = 20, 200
QUESTION = 10
"""What a list from a store costs beside its items."""
LIST_SIZE = 50
LIST_SIZES = {"Evidence.pages": 500, "CaseHit.highlights": 5, "SearchHighlight.parts": 60, "Case.nodes": 7,
              "PolicyVersion.deny": 168, "PolicyProposal.deny": 168, "PolicyProposal.changes": 400, "AccessExplanation.fields": 250,
              "CaseSearchConnection.facets": 4, "Facet.counts": 100, "EvidencePage.lines": 1_000}  # fmt: skip
"""Largest sizes of lists that are no pages, where they are not at most LIST_SIZE."""

COST_MOST = 500_000
Cost = Callable[[Mapping[str, Any]], int]


def too_costly(limit_name: str, cost: int, limit: int) -> Refused:
    """The refusal: which limit, how much was asked, how much there is."""
    return Refused(Code.TOO_COSTLY, limit_name, cost=cost, limit=limit)


def _require(limit_name: str, cost: int, limit: int) -> None:
    if cost > limit:
        raise too_costly(limit_name, cost, limit)


# Structure


@dataclass(slots=True)
class _Shape:
    """Of one selection set: levels below it, and its aliases, directives and fields, fragments expanded."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0


class _Structure:
    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        self._known: dict[str, _Shape] = {}
        self._open: set[str] = set()

    def shape(self, selections: SelectionSetNode | None) -> _Shape:
        found = _Shape()
        for selection in selections.selections if selections else ():
            found.directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                inner = self.shape(selection.selection_set)
                found.aliases += selection.alias is not None
                depth = inner.depth + 1
            elif isinstance(selection, InlineFragmentNode):
                inner = self.shape(selection.selection_set)
                depth = inner.depth
            elif isinstance(selection, FragmentSpreadNode):
                inner = self._fragment(selection.name.value)
                depth = inner.depth
            else:
                continue
            found.aliases += inner.aliases
            found.directives += inner.directives
            found.depth = max(found.depth, depth)
        return found

    def _fragment(self, name: str) -> _Shape:
        found = self._known.get(name)
        if found is None:
            if name in self._open or name not in self.fragments:
                return _Shape()  # a circle, or no such fragment: validation says so
            self._open.add(name)
            found = self._known[name] = self.shape(self.fragments[name].selection_set)
            self._open.discard(name)
        return found


class _Repeats:
    """Pairs of fields with one response key at one place, fragments expanded, merged as an answer merges them."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._visits = 0
        self.pairs = 0

    def count(self, sets: list[SelectionSetNode]) -> None:
        waiting = [sets]
        while waiting:
            fields: dict[str, list[FieldNode]] = {}
            seen: set[str] = set()
            for selections in waiting.pop():
                self._collect(selections, fields, seen)
            for same in fields.values():
                self.pairs += len(same) * (len(same) - 1) // 2
                _require("repeated fields", self.pairs, REPEATS_MOST)
                below = [field.selection_set for field in same if field.selection_set]
                if below:
                    waiting.append(below)

    def _collect(self, selections: SelectionSetNode, fields: dict[str, list[FieldNode]], seen: set[str]) -> None:
        for selection in selections.selections:
            self._visits += 1
            _require("fields", self._visits, VISITS_MOST)
            if isinstance(selection, FieldNode):
                key = selection.alias.value if selection.alias else selection.name.value
                fields.setdefault(key, []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                self._collect(selection.selection_set, fields, seen)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in seen and name in self._fragments:
                    seen.add(name)
                    self._collect(self._fragments[name].selection_set, fields, seen)


def check_structure(document: DocumentNode) -> None:
    """Raises Refused TOO_COSTLY. Linear in the document."""
    try:
        _check_structure(document)
    except RecursionError:
        raise too_costly("depth", sys.getrecursionlimit(), DEPTH_MOST) from None


def _check_structure(document: DocumentNode) -> None:
    structure = _Structure(document)
    _require("fragments", len(structure.fragments), FRAGMENTS_MOST)
    _require("operations", len(structure.operations), OPERATIONS_MOST)
    for operation in structure.operations:
        shape = structure.shape(operation.selection_set)
        _require("depth", shape.depth, DEPTH_MOST)
        _require("aliases", shape.aliases, ALIASES_MOST)
        _require("directives", shape.directives + len(operation.directives or ()), DIRECTIVES_MOST)
        is_mutation = operation.operation.value == "mutation"
        _require("root fields", _roots(operation, structure), MUTATIONS_MOST if is_mutation else ROOT_FIELDS_MOST)
    for operation in structure.operations:
        _Repeats(structure.fragments).count([operation.selection_set])


def _roots(operation: OperationDefinitionNode, structure: _Structure) -> int:
    found, waiting, seen = 0, [operation.selection_set], set[str]()
    while waiting:
        for selection in waiting.pop().selections:
            if isinstance(selection, FieldNode):
                found += 1
            elif isinstance(selection, InlineFragmentNode):
                waiting.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                seen.add(selection.name.value)
                if selection.name.value in structure.fragments:
                    waiting.append(structure.fragments[selection.name.value].selection_set)
    return found


def check_values(values: Any) -> None:
    """The variables of a request: how many values, how deep. Raises Refused TOO_COSTLY."""
    count, level, depth = 0, [values], 0
    while level:
        depth += 1
        _require("depth of variables", depth, VALUES_DEEP)
        below: list[Any] = []
        for value in level:
            inner = value.values() if value.__class__ is dict else value if value.__class__ is list else ()
            count += len(inner)
            below.extend(item for item in inner if item.__class__ is dict or item.__class__ is list)
        _require("variables", count, VALUES_MOST)
        level = below


# Cost


class Costs:
    """Cost functions of one document's operations."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._lines: list[str] = []
        self._known: dict[str, str] = {}
        self._open: set[str] = set()

    def of(self, operation: OperationDefinitionNode) -> Cost:
        """A function of the given variables."""
        self._lines, self._known = [], {}
        defaults = {
            definition.variable.name.value: _number(definition.default_value.value)
            for definition in operation.variable_definitions or ()
            if isinstance(definition.default_value, IntValueNode)
        }
        root = self._schema.get_root_type(operation.operation)
        total = self._selections(operation.selection_set, root)
        body = "\n ".join([*self._lines, f"return {total}"])
        bound: dict[str, Any] = {"size": _size, "defaults": defaults}
        exec(compile(f"def cost(given):\n {body}\n", "<cost>", "exec"), bound)  # noqa: S102 - our own names and numbers
        made: Cost = bound["cost"]
        return made

    def _selections(self, selections: SelectionSetNode | None, kind: Any) -> str:
        fixed, parts = 0, []
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                found = self._field(selection, kind)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self._schema.get_type(condition.name.value) if condition else kind
                found = self._selections(selection.selection_set, inner)
            elif isinstance(selection, FragmentSpreadNode):
                found = self._fragment(selection.name.value)
            else:
                continue
            if found.isdigit():
                fixed += int(found)
            else:
                parts.append(found)
        if not parts:
            return str(fixed)
        return f"({' + '.join([str(fixed), *parts])})"

    def _field(self, node: FieldNode, kind: Any) -> str:
        name = node.name.value
        fields = kind.fields if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)) else {}
        field = fields.get(name)
        if node.selection_set is None or field is None:
            return "1"
        inner = self._selections(node.selection_set, get_named_type(field.type))
        is_page, times = "first" in field.args, "1"
        if is_page:
            times = self._page(node)
        elif _is_list(field.type) and not kind.name.endswith("Connection"):
            times = str(LIST_SIZES.get(f"{kind.name}.{name}", LIST_SIZE))
        own = 1 + QUESTION if is_page else 1
        if times.isdigit() and inner.isdigit():
            return str(own + int(times) * int(inner))
        variable = f"n{len(self._lines)}"
        self._lines.append(f"{variable} = {own} + {times} * {inner}")
        return variable

    def _page(self, node: FieldNode) -> str:
        for argument in node.arguments or ():
            if argument.name.value == "first":
                if isinstance(argument.value, IntValueNode):
                    return str(_bounded(_number(argument.value.value)))
                if isinstance(argument.value, VariableNode):
                    return f"size(given, defaults, {argument.value.name.value!r})"
        return str(PAGE_DEFAULT)

    def _fragment(self, name: str) -> str:
        found = self._known.get(name)
        if found is None:
            if name in self._open or name not in self._fragments:
                return "0"  # a circle, or no such fragment: validation says so
            self._open.add(name)
            fragment = self._fragments[name]
            inner = self._selections(fragment.selection_set, self._schema.get_type(fragment.type_condition.name.value))
            self._open.discard(name)
            if inner.isdigit():
                found = inner
            else:
                found = f"n{len(self._lines)}"
                self._lines.append(f"{found} = {inner}")
            self._known[name] = found
        return found


def _is_list(kind: Any) -> bool:
    return is_list_type(kind.of_type if is_non_null_type(kind) else kind)


def _number(digits: str) -> int:
    """A literal; one of thousands of digits is refused by validation, not read."""
    return int(digits) if len(digits) < 10 else PAGE_MOST


def _bounded(size: int) -> int:
    return max(1, min(size, PAGE_MOST))


def _size(given: Mapping[str, Any], defaults: Mapping[str, int], name: str) -> int:
    value = given.get(name, defaults.get(name))
    if value.__class__ is int:
        return max(1, min(value, PAGE_MOST))
    return PAGE_DEFAULT if value is None else PAGE_MOST
