"""Asks: access, freshness, engine, reads the hits, journals the search.

Rights come from the database's truth at query time (P14): the engine gets the reach as a condition, records with
index work pending are left out of the question, and hits are read from MongoDB with the access filter in that
query. Nothing that the caller may not search is ever consulted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from search import port
from search.document import TEXTS
from search.highlight import Fragment, fragments
from search.keyed import KeyedTokens, numbers_in
from search.port import After, EngineUnavailable, Question, SearchEngine, Sort, UnknownGeneration
from search.query import Keywords, QueryError, parse
from search.tokens import Token
from service.access import questions
from service.access.actor import Caller
from service.access.view import View
from service.cases.model import CASE_QUESTIONS
from service.cases.service import Cases
from service.crypto import CiphertextError
from service.customers.model import QUESTIONS as CUSTOMER_QUESTIONS
from service.customers.service import Customers
from service.errors import Code, Refused
from service.evidence.service import EvidenceRoom
from service.journal.model import Work
from service.journal.service import PENDING_MOST, Journal

FACETS = (port.STATE, port.DEPARTMENT, port.CATEGORY, port.MONTH)
EVENTS_MOST = 1_000


@dataclass(frozen=True, slots=True)
class FoundCase:
    """A hit: the case as the caller sees it, and where the page may go on after it."""

    case: View
    after: After
    highlights: Highlights


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits; total and facets count everything that matches within reach."""

    hits: Sequence[FoundCase]
    total: int
    facets: Mapping[str, Sequence[tuple[str, int]]]
    more: bool


@dataclass(frozen=True, slots=True)
class Highlight:
    """Where the words stand in one visible text of a case."""

    field: str
    fragment: Fragment
    evidence: str | None = None
    page: int | None = None


class Search:
    """Raises Refused: INVALID_QUERY, QUESTION_REFUSED, THROTTLED, SEARCH_BEHIND, SEARCH_UNAVAILABLE."""

    def __init__(
        self,
        engine: SearchEngine,
        journal: Journal,
        cases: Cases,
        customers: Customers,
        evidence: EvidenceRoom,
        keyed: KeyedTokens,
    ) -> None:
        self.engine = engine
        self._journal = journal
        self._cases = cases
        self._customers = customers
        self._evidence = evidence
        self._keyed = keyed

    async def cases(
        self,
        caller: Caller,
        *,
        query: str,
        terms: Mapping[str, tuple[str, ...]],
        raised: tuple[datetime | None, datetime | None],
        sort: Sort,
        after: After | None,
        first: int,
        with_facets: bool,
    ) -> Found:
        """Keyword and conditional search over cases and scans (R55)."""
        keywords = self._parsed(query)
        facets = FACETS if with_facets else ()
        ordered = () if sort.field == port.RELEVANCE else (sort.field,)
        CASE_QUESTIONS.permit(caller, [*terms, *ordered, *facets, *([port.RAISED_AT] if any(raised) else [])])
        text_fields, looked_for = searchable(caller, keywords), await self._looked_for(caller, query)
        question = Question(
            kind="case",
            reach=reach_of(caller),
            keywords=keywords,
            text_fields=text_fields,
            terms=terms,
            ranges={port.RAISED_AT: raised} if any(raised) else {},
            excluded_ids=await self._pending(),
            sort=sort,
            after=after,
            first=first + 1,
            facets=facets,
        )
        answer = await self._ask(question)
        page = answer.hits[:first]
        views = await self._cases.load(caller, [hit.id for hit in page])
        shown = Highlights(self, caller, keywords, list(views.values()), self._keyed.spans)
        hits = [FoundCase(views[hit.id], After(hit.sort_value, hit.id), shown) for hit in page if hit.id in views]
        await self._journal.record(
            caller,
            Work("case.search", details={"found": answer.total, "fields": sorted(question.text_fields), **looked_for}),
        )
        return Found(hits, answer.total, answer.facets, len(answer.hits) > first)

    async def customers(
        self, caller: Caller, *, query: str, terms: Mapping[str, tuple[str, ...]], after: After | None, first: int
    ) -> tuple[list[tuple[View, After]], int, bool]:
        """Customers by part of their name."""
        keywords = self._parsed(query)
        CUSTOMER_QUESTIONS.permit(caller, ["query", *terms])
        looked_for = await self._looked_for(caller, query)
        question = Question(
            kind="customer",
            reach=reach_of(caller),
            keywords=keywords,
            text_fields=frozenset({port.CUSTOMER_NAME}),
            terms=terms,
            excluded_ids=await self._pending(),
            after=after,
            first=first + 1,
        )
        answer = await self._ask(question)
        page = answer.hits[:first]
        views = await self._customers.load(caller, [hit.id for hit in page])
        await self._journal.record(caller, Work("customer.search", details={"found": answer.total, **looked_for}))
        found = [(views[hit.id], After(hit.sort_value, hit.id)) for hit in page if hit.id in views]
        return found, answer.total, len(answer.hits) > first

    def _parsed(self, query: str) -> Keywords:
        try:
            return parse(query, self._keyed.hide)
        except QueryError as error:
            raise Refused(Code.INVALID_QUERY, "query", reason=f"{error.reason} @ {error.position}") from None

    async def _looked_for(self, caller: Caller, query: str) -> dict[str, int]:
        """What the journal is told of whole numbers in a search: each is a lookup, and counts as one. Raises Refused
        THROTTLED.
        """
        numbers = numbers_in(query)
        if numbers:
            await self._customers.lookups.spend(caller, "query", numbers)
        return {"numbers": numbers} if numbers else {}

    async def _pending(self) -> frozenset[str]:
        pending = await self._journal.pending()
        if len(pending) > PENDING_MOST:
            raise Refused(Code.SEARCH_BEHIND)
        return frozenset(pending)

    async def _ask(self, question: Question) -> port.Answer:
        try:
            return await self.engine.search(question)
        except (EngineUnavailable, UnknownGeneration):
            raise Refused(Code.SEARCH_UNAVAILABLE) from None

    async def texts(
        self, caller: Caller, cases: Sequence[View]
    ) -> dict[str, list[tuple[str, str, str | None, int | None]]]:
        """Every text of these cases that the caller may see, masked: (field, text, evidence, page) by case."""
        found: dict[str, list[tuple[str, str, str | None, int | None]]] = {}
        scans = await self._evidence.pages_of_cases(caller, cases)
        histories = await self._cases.history.first_of(caller, cases, descending=False, limit=EVENTS_MOST)
        for case in cases:
            texts = found.setdefault(case.id, [])
            for name in ("title", "product", "description", "resolution"):
                texts.append((name, _readable(case, name), None, None))
            for event in histories[case.id]:
                for name in ("text", "internal_text"):
                    texts.append((event.document["layer"], _readable(event, name), None, None))
            for evidence, pages in scans.get(case.id, ()):
                texts.append(("fileName", _readable(evidence, "file_name"), evidence.id, None))
                texts += [("scan", _readable(page, "text"), evidence.id, page.document["number"]) for page in pages]
        return found


class Highlights:
    """Made by us from the masked record, in both engines alike; read for a whole page when first asked for."""

    MOST = 5

    def __init__(
        self,
        search: Search,
        caller: Caller,
        keywords: Keywords,
        cases: Sequence[View],
        cut: Callable[[str], list[Token]],
    ) -> None:
        self._search = search
        self._caller = caller
        self._keywords = keywords
        self._cut = cut
        self._cases = cases
        self._texts: asyncio.Task[dict[str, list[tuple[str, str, str | None, int | None]]]] | None = None

    async def of(self, case: str) -> list[Highlight]:
        """At most MOST fragments, each from another text first."""
        if not self._keywords.phrases:
            return []
        if self._texts is None:
            self._texts = asyncio.create_task(self._search.texts(self._caller, self._cases))
        texts = await self._texts
        found = [
            Highlight(field, fragment, evidence, page)
            for field, text, evidence, page in texts.get(case, ())
            for fragment in (fragments(text, self._keywords, most=1, cut=self._cut) if text else ())
        ]
        return found[: self.MOST]


def _readable(view: View, name: str) -> str:
    """The text as the caller sees it; one that can't be opened has no words to highlight."""
    try:
        return view.shown(name) or ""
    except CiphertextError:
        return ""


def searchable(caller: Caller, keywords: Keywords) -> frozenset[str]:
    """The text fields that the caller may search. Raises Refused when keywords were given and there is none."""
    found = frozenset(name for name, asked in TEXTS.items() if questions.may_ask(caller, asked))
    if keywords.phrases and not found:
        questions.permit(caller, TEXTS.values())
    return found


def reach_of(caller: Caller) -> port.Reach:
    """The caller's reach in the engine's words."""
    reach = caller.reach
    if reach.every:
        return None
    clauses: list[tuple[str, tuple[str, ...]]] = []
    if reach.owner:
        clauses.append((port.OWNER, (reach.owner,)))
    if reach.agent:
        clauses.append((port.AGENTS, (reach.agent,)))
    if reach.department:
        clauses.append((port.DEPARTMENTS, (reach.department,)))
    return tuple(clauses)
