"""Nothing escapes the proof: a new field, list, argument, type or route is asked for by itself, or fails the suite by
name (P12). The planted ones stand for what somebody adds tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.routing import WebSocketRoute

from schema.root import SDL
from service.access.actor import Caller
from service.access.declared import Kind, RecordShape, Sensitivity, shape_of
from service.app import create_app
from service.cases.model import CASE_SHAPE, EVENT_SHAPE
from service.cases.records import relations as case_relations
from service.customers.model import SHAPE as CUSTOMER_SHAPE
from service.customers.records import relations as customer_relations
from service.evidence.model import EVIDENCE, PAGE_SHAPE, PAGES
from service.evidence.model import SHAPE as EVIDENCE_SHAPE
from service.system import System
from tests.proof.proving import Bench
from tests.proof.questions import FILE_ROUTES, AnyQuestion, Asked
from tests.proof.values import NoBuilder
from tests.proof.viewers import Standing
from tests.proof.walk import Walk
from tests.proof.worlds import World

SHAPES = (CUSTOMER_SHAPE, CASE_SHAPE, EVENT_SHAPE, EVIDENCE_SHAPE, PAGE_SHAPE)
ABOUT_NO_RECORD = ("/healthz", "/readyz", "/metrics", "/graphql/")
"""Routes that tell nothing of a record: health, counts by outcome, the files of GraphiQL."""


def _asked(bench: Bench, sdl: str | None = None) -> list[AnyQuestion]:
    clerk = bench.base.people["clerk"]
    return list(Asked(Walk(sdl), clerk, bench.first, bench.world_of(clerk)).every())


def _covered(questions: list[AnyQuestion]) -> set[str]:
    return set().union(*(question.names for question in questions))


# The walk


def test_every_part_of_the_schema_is_in_a_question(bench: Bench) -> None:
    """Every root field, output field, argument, input field and input enum value."""
    assert sorted(Walk().everything() - _covered(_asked(bench))) == []


def test_there_are_enough_questions(bench: Bench) -> None:
    """P12: 5,000 questions × roles at least, on each engine."""
    assert len(_asked(bench)) * len(bench.viewers) >= 5_000


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        (
            "  tag: String = null\n",
            "  tag: String = null\n  nickname: String = null\n  wechat: TextOperators = null\n",
            {"CustomerFilter.nickname", "CustomerFilter.wechat", "TextOperators.eq", "TextOperators.startsWith"},
        ),
        ('  UPDATED_AT_ASC\n}\n\n"""Outcome of a change to a customer', '  UPDATED_AT_ASC\n  NAME_ASC\n}\n\n"""Outcome of a change to a customer', {"CustomerOrder.NAME_ASC"}),
        ("  departments: [Department!]!\n", "  departments: [Department!]!\n  overdue(by: Int): CaseConnection!\n", {"Query.overdue", "Query.overdue(by)"}),
        ("  departments: [Department!]!\n", "  departments: [Department!]!\n  similar(to: ID!, by: String!): [Customer!]!\n", {"Query.similar", "Query.similar(to)", "Query.similar(by)"}),
        ("type Mutation {\n", "type Mutation {\n  mergeCustomers(input: AssignCustomerInput!): CustomerPayload!\n", {"Mutation.mergeCustomers"}),
        ("type Subscription {\n", "type Subscription {\n  customerChanged(id: ID!): Customer\n", {"Subscription.customerChanged"}),
        ("type Channel {\n", "type Channel {\n  extension: String\n", {"Channel.extension"}),
    ],
    ids=["a filter and its operators", "an order", "a list", "a question with arguments of its own", "a mutation", "a subscription", "a field"],
)  # fmt: skip
def test_what_is_added_is_asked_for_by_itself(bench: Bench, before: str, after: str, names: set[str]) -> None:
    assert before in SDL
    planted = SDL.replace(before, after, 1) + "\ninput TextOperators { eq: String, startsWith: String }\n"
    assert names <= _covered(_asked(bench, planted))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("  tag: String = null\n", "  tag: String = null\n  spoken: Voice = null\n", "Voice"),
        ("  departments: [Department!]!\n", "  departments: [Department!]!\n  loan(id: ID!): Loan\n", "Loan"),
        ("  closedAt: DateTime\n", "  closedAt: DateTime\n  excerpt(length: Int!): String\n", "excerpt"),
        ("type Subscription {\n", "type Subscription {\n  everything: Case\n", "everything"),
    ],
    ids=["a scalar", "a type of node", "a field that needs an argument", "a subscription"],
)  # fmt: skip
def test_what_the_proof_can_not_ask_fails_by_name(bench: Bench, before: str, after: str, named: str) -> None:
    assert before in SDL
    further = {"Voice": "scalar Voice", "Loan": "type Loan implements Node { id: ID! }"}
    planted = SDL.replace(before, after, 1) + further.get(named, "")
    with pytest.raises(NoBuilder, match=named):
        _asked(bench, planted)


def test_every_route_is_asked_or_tells_nothing_of_a_record(bench: Bench) -> None:
    found = set()
    for route in create_app(bench.first.settings).routes:
        methods = {"WEBSOCKET"} if isinstance(route, WebSocketRoute) else set(getattr(route, "methods", None) or ())
        found |= {(method, str(getattr(route, "path", ""))) for method in methods}
    asked = {("POST", "/graphql"), ("WEBSOCKET", "/graphql"), *FILE_ROUTES}
    assert asked <= found
    page = {("GET", "/graphql"), ("HEAD", "/graphql")}
    assert [one for one in sorted(found - asked - page) if not one[1].startswith(ABOUT_NO_RECORD)] == []


# The worlds


async def _opened(system: System) -> dict[str, list[tuple[RecordShape, Mapping[str, Any]]]]:
    """Every record of a world with all its values, by id."""
    await system.epoch.refresh()
    customers = await system.customers.sealed_for_index(await _ids(system, "customers"))
    cases = await system.cases.sealed_for_index(await _ids(system, "cases"))
    events = await system.cases.history.sealed_for_index([case.id for case in cases])
    shelf = system.evidence.shelf
    files = await system.database.collection(EVIDENCE).find({})
    pages = await system.database.collection(PAGES).find({}, sort=[("_id", 1)])
    return {
        "customers": [(CUSTOMER_SHAPE, record.values()) for _, record in sorted(customers.items())],
        "cases": [(CASE_SHAPE, case.values()) for case in sorted(cases, key=lambda case: case.id)],
        "events": [(EVENT_SHAPE, event.values()) for _, some in sorted(events.items()) for event in some],
        "files": [(EVIDENCE_SHAPE, shelf.sealed(file).values()) for file in sorted(files, key=lambda d: d["_id"])],
        "pages": [(PAGE_SHAPE, shelf.sealed_page(page).values()) for page in pages],
    }


async def _ids(system: System, collection: str) -> list[str]:
    return [document["_id"] for document in await system.database.collection(collection).find({})]


def _values(shape: RecordShape, values: Mapping[str, Any]) -> dict[str, Any]:
    """By path: each sealed field, also those inside items, but labels."""
    found: dict[str, Any] = {}
    for one in shape.fields:
        value = values.get(one.name)
        if one.kind is Kind.ATTRIBUTES:
            for sensitivity in set(Sensitivity) - {Sensitivity.OPEN}:
                for key, item in (value.get(sensitivity) or {}).items():
                    found[f"attributes.{key}"] = item
        elif one.name in shape.composites or (one.item is not None and one.sensitivity is not Sensitivity.OPEN):
            assert one.item is not None
            for inner in shape_of(one.item).fields:
                if inner.kind is not Kind.LABEL:
                    found[f"{one.name}.{inner.name}"] = [item.get(inner.name) for item in value or ()]
        elif one.sensitivity is not Sensitivity.OPEN and one.kind is not Kind.LABEL:
            found[one.name] = value
    return found


def test_every_sealed_field_differs_between_the_worlds_of_who_sees_nothing(bench: Bench) -> None:
    """A new sealed field that the story does not tell fails here, by name."""
    nobody = bench.base.people["admin"]
    first, second = bench.first.run(_opened), bench.world_of(nobody).run(_opened)
    same = set()
    differing = set()
    for noun, records in first.items():
        assert len(records) == len(second[noun]) > 0, noun
        for (shape, one), (_, other) in zip(records, second[noun], strict=True):
            told, retold = _values(shape, one), _values(shape, other)
            for name in told.keys() | retold.keys():
                same.add(f"{noun}.{name}")
                if told.get(name) != retold.get(name):
                    differing.add(f"{noun}.{name}")
    assert len(differing) > 60
    assert sorted(same - differing) == []


def test_the_masks_of_what_differs_agree_and_the_rest_is_the_same(bench: Bench) -> None:
    """What a viewer sees in full is one value in both worlds; the story tells them apart nowhere else."""
    clerk = bench.base.people["clerk"]
    told = {
        (one.path, one.sensitivity)
        for one in bench.world_of(clerk).teller.hidden
        if bench.world_of(clerk).teller.reaches(one.record)
    }
    classes = {sensitivity for _, sensitivity in told}
    levels = bench.base.policy.row(clerk.roles, Standing(bench.base.people, clerk).relations("c1"))
    assert classes == {sensitivity for sensitivity, level in levels.items() if level.name != "FULL"}


def _standing(bench: Bench, world: World, viewer: str) -> dict[str, tuple[Any, Any]]:
    person = bench.base.people[viewer]
    caller = Caller(bench.base.actors[viewer], bench.base.policy)
    standing, found = Standing(bench.base.people, person), {}
    for nouns, collection, relations in (
        (world.made.customers, "customers", customer_relations),
        (world.made.cases, "cases", case_relations),
    ):
        for key, identifier in nouns.items():
            document = world.stored(collection, identifier)
            assert document is not None
            found[key] = (standing.relations(key), relations(caller, document))
    return found


def test_the_proof_and_the_services_agree_on_who_stands_how_to_what(bench: Bench) -> None:
    for viewer in bench.base.people:
        for record, (said, stored) in _standing(bench, bench.first, viewer).items():
            assert said == stored, (viewer, record)
