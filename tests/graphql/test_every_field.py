"""Every field of every type is asked for by every role: what it may not see is null or a mask, never an error (P7).

The questions are made from the schema, so a field that is added is asked for without anybody thinking of it.
"""

from __future__ import annotations

import pytest
from graphql import GraphQLNamedType, GraphQLObjectType, get_named_type, is_leaf_type, is_required_argument

from schema.root import core
from tests.fixtures.company import ROLES, Company

DEEP = 3
NODES = ("Customer", "Case", "CaseEvent", "Evidence", "User", "Department", "Template", "AuditEntry")


def selection(kind: GraphQLNamedType, depth: int = DEEP, above: tuple[str, ...] = ()) -> str:
    """All fields of a type, relations down to `depth`, none inside itself."""
    assert isinstance(kind, GraphQLObjectType)
    found = ["__typename"]
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        if is_leaf_type(inner):
            found.append(name)
        elif depth and inner.name not in (*above, kind.name):
            found.append(f"{name} {selection(inner, depth - 1, (*above, kind.name))}")
    return "{ " + " ".join(found) + " }"


def test_every_node_type_is_asked_for() -> None:
    named = {kind.name for kind in core.get_possible_types(core.type_map["Node"])}  # type: ignore[arg-type]
    assert named == set(NODES)


@pytest.mark.parametrize("person", ROLES)
@pytest.mark.parametrize("kind", NODES)
def test_every_field_of_a_record_answers(company: Company, ids: dict[str, str], kind: str, person: str) -> None:
    asked = selection(core.type_map[kind], 1 if kind in ("Case", "Customer", "Evidence") else DEEP)
    answer = company.ask(person, f"query($i: ID!) {{ node(id: $i) {{ ... on {kind} {asked} }} }}", i=ids[kind])
    assert "errors" not in answer, answer["errors"][:3]


ROOTS = {
    "viewer": "viewer",
    "customers": "customers(first: 5)",
    "cases": "cases(first: 5)",
    "searchCases": 'searchCases(query: "水泵", first: 5)',
    "users": "users(first: 5)",
    "departments": "departments",
    "caseTemplates": "caseTemplates",
    "customerTemplates": "customerTemplates",
    "sessions": "sessions(first: 5)",
    "serviceAccounts": "serviceAccounts(first: 5)",
    "auditEntries": "auditEntries(first: 5)",
    "policy": "policy",
    "alerts": "alerts(first: 5)",
    "notices": "notices(first: 5)",
}
REFUSED = {("auditEntries", person) for person in ROLES if person not in ("compliance", "auditor")}
REFUSED |= {("policy", person) for person in ROLES if person not in ("admin", "compliance", "auditor")}
REFUSED |= {("serviceAccounts", person) for person in ROLES if person != "admin"}
REFUSED |= {("alerts", person) for person in ROLES if person != "compliance"}
REFUSED |= {("users", "auditor"), ("searchCases", "admin")}


def test_a_page_lists_what_is_masked_of_it(company: Company, ids: dict[str, str]) -> None:
    document = "query($i: ID!) { evidence(id: $i) { pages { text maskedFields { field visibility } } } }"
    for person, level in (("agent", None), ("clerk", "PARTIAL"), ("compliance", "PARTIAL")):
        page = company.data(person, document, i=ids["Evidence"])["evidence"]["pages"][0]
        assert page["text"]
        masked = {entry["field"]: entry["visibility"] for entry in page["maskedFields"]}
        assert masked == ({"text": level, "boxes": level} if level else {})


def test_every_root_field_is_asked_for() -> None:
    by_id = {name for name, field in core.query_type.fields.items() if "id" in field.args}  # type: ignore[union-attr]
    assert by_id | set(ROOTS) == set(core.query_type.fields)  # type: ignore[union-attr]


@pytest.mark.parametrize("person", ROLES)
@pytest.mark.parametrize("root", ROOTS)
def test_every_field_of_a_list_answers(company: Company, ids: dict[str, str], root: str, person: str) -> None:
    kind = get_named_type(core.query_type.fields[root].type)  # type: ignore[union-attr]
    answer = company.ask(person, f"{{ {ROOTS[root]} {selection(kind, 2)} }}")
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    if (root, person) in REFUSED:
        assert codes <= {"NOT_PERMITTED", "QUESTION_REFUSED"}
        assert codes
    else:
        assert not codes, answer["errors"][:3]
