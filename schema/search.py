"""`searchCases`: hits, highlights, facets."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry import argument

from schema.cases import Case, CaseStateEnum
from schema.connections import PageAfter, PageFirst, PageInfo, conditions, connection, page_size
from schema.context import context_of
from schema.records import enum_type
from search.port import RAISED_AT, RELEVANCE, UPDATED_AT, After, Sort


@strawberry.type(description="A piece of a highlighted text.")
class HighlightPart:
    """Text, and whether it is what was looked for."""

    text: str = strawberry.field(description="The piece.")
    hit: bool = strawberry.field(description="Whether it is a word that was looked for.")


@strawberry.type(description="Where the words stand in a visible text of the case.")
class SearchHighlight:
    """Made from the masked record."""

    field: str = strawberry.field(
        description="title, description, resolution, a layer of the history, fileName or scan."
    )
    evidence: strawberry.ID | None = strawberry.field(description="The file, for a scan.")
    page: int | None = strawberry.field(description="The page, for a scan.")
    parts: list[HighlightPart] = strawberry.field(description="The fragment in pieces.")


@strawberry.type(description="A case that was found.")
class CaseHit:
    """An edge with highlights."""

    cursor: str = strawberry.field(description="Where it stands; opaque.")
    node: Case = strawberry.field(description="The case.")

    @strawberry.field(description="Where the words stand.")
    async def highlights(root: Any, info: strawberry.Info) -> list[SearchHighlight]:
        hit = root.item
        return [
            {
                "field": found.field,
                "evidence": found.evidence,
                "page": found.page,
                "parts": [{"text": text, "hit": is_hit} for text, is_hit in found.fragment],
            }
            for found in await hit.highlights.of(hit.case.id)
        ]


@strawberry.type(description="How many matches have a value.")
class FacetCount:
    """Value and count."""

    value: str = strawberry.field(description="The value.")
    count: int = strawberry.field(description="How many matches have it.")


@strawberry.type(description="Counts by a field under the question's conditions.")
class Facet:
    """Field and counts."""

    field: str = strawberry.field(description="state, department, category or month.")
    counts: list[FacetCount] = strawberry.field(description="Most frequent first.")


@strawberry.type(description="Cases that were found.")
class CaseSearchConnection:
    """A page of hits."""

    edges: list[CaseHit] = strawberry.field(description="The page's hits.")
    nodes: list[Case] = strawberry.field(description="The page's cases.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int = strawberry.field(description="All matches within reach.")
    facets: list[Facet] = strawberry.field(description="Counts by state, department, category and month.")


@strawberry.input(description="Which cases; conditions are joined by and, values of one by or.")
class CaseSearchFilter:
    """Open fields only."""

    states: list[CaseStateEnum] | None = strawberry.field(default=None, description="In one of these states.")
    categories: list[str] | None = strawberry.field(default=None, description="Of one of these categories.")
    departments: list[strawberry.ID] | None = strawberry.field(default=None, description="Of one of these departments.")
    assignees: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Handled by one of these agents."
    )
    owners: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Of these account managers' customers."
    )
    customers: list[strawberry.ID] | None = strawberry.field(default=None, description="Of one of these customers.")
    months: list[str] | None = strawberry.field(default=None, description="Raised in one of these months, YYYY-MM.")
    numbers: list[str] | None = strawberry.field(default=None, description="With one of these numbers.")
    raised_from: datetime | None = strawberry.field(default=None, description="Raised then or later.")
    raised_to: datetime | None = strawberry.field(default=None, description="Raised before then.")


@enum_type
class CaseSearchOrder(Enum):
    """Orders of found cases: by relevance or an open field."""

    RELEVANCE = RELEVANCE
    RAISED_AT_DESC = f"-{RAISED_AT}"
    RAISED_AT_ASC = RAISED_AT
    UPDATED_AT_DESC = f"-{UPDATED_AT}"
    UPDATED_AT_ASC = UPDATED_AT


_TERMS = {
    "states": "state",
    "categories": "category",
    "departments": "department",
    "assignees": "assignee",
    "owners": "owner",
    "customers": "customer",
    "months": "month",
    "numbers": "number",
}


async def search_cases(
    root: Any,
    info: strawberry.Info,
    query: Annotated[str, argument(description="Words and phrases; blank finds all that the conditions find.")] = "",
    filter: Annotated[CaseSearchFilter | None, argument(description="Which cases.")] = None,
    order_by: Annotated[CaseSearchOrder, argument(description="In which order.")] = CaseSearchOrder.RELEVANCE,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> CaseSearchConnection:
    """Finds cases by words in their texts and scans, and by conditions (R55). Words are joined by and; a phrase
    stands in quotes.
    """
    context = context_of(info)
    caller, size, asked = context.signed_in, page_size(first), conditions(filter)
    terms = {
        field: tuple(str(getattr(value, "value", value)) for value in asked[name])
        for name, field in _TERMS.items()
        if name in asked
    }
    raised = (asked.get("raised_from"), asked.get("raised_to"))
    question = ["searchCases", query, terms, raised, order_by.value]
    position = context.parts.cursors.read(caller, question, after)
    found = await context.parts.search.cases(
        caller,
        query=query,
        terms=terms,
        raised=raised,
        sort=Sort(order_by.value.lstrip("-"), order_by.value.startswith("-") or order_by is CaseSearchOrder.RELEVANCE),
        after=After(*position) if position else None,
        first=size,
        with_facets=after is None,
    )
    return connection(
        context, question, found.hits, first=size, after=after, more=found.more,
        node=lambda hit: hit.case, position=lambda hit: [hit.after.value, hit.after.id],
        total_count=found.total,
        facets=[
            {"field": field, "counts": [{"value": value, "count": count} for value, count in counts]}
            for field, counts in found.facets.items()
        ],
    )  # fmt: skip
