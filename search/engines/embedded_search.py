"""One question on one state of the embedded index: exact pages, totals and facets.

Tantivy orders by one field, or by score, and leaves ties in the order of its files; ties are put in order
of id here.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import tantivy
from tantivy import Occur, Order, Query

from search.engines.embedded_queries import (
    ID,
    VERSION,
    QueryBuilder,
    order_field,
    sort_value,
)
from search.port import RELEVANCE, RELEVANCE_WINDOW, Answer, Hit, Question

_MOST_FACET_VALUES = 60_000  # Tantivy refuses aggregations of more than 65,000 buckets.
_Row = tuple[Any, str, tantivy.DocAddress]


class Search:
    """One question on one state of one generation."""

    def __init__(
        self,
        index: tantivy.Index,
        queries: QueryBuilder,
        searcher: tantivy.Searcher,
        question: Question,
    ) -> None:
        self._index = index
        self._queries = queries
        self._searcher = searcher
        self._question = question
        self._matching = self._queries.matching(question)

    def answer(self) -> Answer:
        """Raises ValueError, whose message may quote the question, if Tantivy fails."""
        question = self._question
        total = int(self._searcher.search(self._matching, 1).count)  # type: ignore[attr-defined] # not in its stub
        hits: list[Hit] = []
        if question.first and total:
            hits = self._by_relevance(total) if question.sort.field == RELEVANCE else self._by_field()
        return Answer(tuple(hits), total, self._facets() if question.facets else {})

    def _facets(self) -> dict[str, list[tuple[str, int]]]:
        wanted = {
            name: {
                "terms": {
                    "field": name,
                    "size": _MOST_FACET_VALUES,
                    "segment_size": _MOST_FACET_VALUES,
                }
            }
            for name in self._question.facets
        }
        counted = self._searcher.aggregate(self._matching, wanted)
        facets: dict[str, list[tuple[str, int]]] = {}
        for name in self._question.facets:
            pairs = [(bucket["key"], bucket["doc_count"]) for bucket in counted[name]["buckets"]]
            pairs.sort(key=lambda pair: (-pair[1], pair[0]))
            facets[name] = pairs[: self._question.facet_size]
        return facets

    def _by_field(self) -> list[Hit]:
        """Tantivy orders by one field only. Of the values on the page just the last can have documents
        beyond it, so that value's documents are asked for once more, by id.
        """
        sort, first = self._question.sort, self._question.first
        name = order_field(sort.field)
        query = self._matching
        if self._question.after is not None:
            query = self._all_of(query, self._queries.after(self._index, sort, self._question.after))
        order = Order.Desc if sort.descending else Order.Asc
        found = self._searcher.search(query, first + 1, count=False, order_by_field=name, order=order).hits
        rows = [(value, self._id(address), address) for value, address in found]
        if len(rows) > first and rows[first][0] == rows[first - 1][0]:
            last = rows[first][0]
            rows = [row for row in rows if row[0] != last]
            ties = self._all_of(query, self._queries.equal(sort, sort_value(sort.field, last)))
            more = self._searcher.search(ties, first - len(rows), count=False, order_by_field=ID, order=Order.Asc).hits
            rows += [(last, key, address) for key, address in more]
        rows = _ties_by_id(rows)[:first]
        versions = self._versions([address for _, _, address in rows])
        return [
            Hit(key, version, 0.0, sort_value(sort.field, value))
            for (value, key, _), version in zip(rows, versions, strict=True)
        ]

    def _by_relevance(self, total: int) -> list[Hit]:
        """Equal scores are put in order of id; if they reach beyond the page, the whole window is looked
        at, always the same one, so that pages neither overlap nor leave gaps.
        """
        offset, first = self._question.offset, self._question.first
        end = min(offset + first, RELEVANCE_WINDOW)
        if offset >= end:
            return []
        if all(phrase.prefix and len(phrase.tokens) == 1 for phrase in self._question.keywords.phrases):
            found = self._searcher.search(self._matching, end, count=False, order_by_field=ID, order=Order.Asc).hits
            rows = [(1.0, key, address) for key, address in found]
        else:
            scored = self._searcher.search(self._matching, end + 1, count=False).hits
            if len(scored) > end and scored[end][0] == scored[end - 1][0]:
                scored = self._searcher.search(self._matching, min(total, RELEVANCE_WINDOW), count=False).hits
            lowest = scored[min(end, len(scored)) - 1][0]
            kept = [hit for hit in scored if hit[0] >= lowest]
            rows = _ties_by_id([(score, self._id(address), address) for score, address in kept])
        page = rows[offset:end]
        versions = self._versions([address for _, _, address in page])
        return [
            Hit(key, version, float(score), offset + number)
            for number, ((score, key, _), version) in enumerate(zip(page, versions, strict=True), start=1)
        ]

    def _id(self, address: tantivy.DocAddress) -> str:
        return str(self._searcher.doc(address).get_first(ID))

    def _versions(self, addresses: list[tantivy.DocAddress]) -> list[int]:
        return [int(version or 0) for version in self._searcher.fast_field_values(VERSION, addresses)]

    @staticmethod
    def _all_of(*queries: Query) -> Query:
        return Query.boolean_query([(Occur.Must, query) for query in queries])


def _ties_by_id(rows: list[_Row]) -> list[_Row]:
    """Rows whose equal values stand together, each such group in order of id."""
    ordered: list[_Row] = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        ordered += sorted(group, key=lambda row: row[1])
    return ordered


def all_by_id(searcher: tantivy.Searcher) -> list[tuple[str, tantivy.DocAddress]]:
    """Every document of this state, by id."""
    hits = searcher.search(
        Query.all_query(),
        max(1, searcher.num_docs),
        count=False,
        order_by_field=ID,
        order=Order.Asc,
    ).hits
    return [(str(name), address) for name, address in hits]
