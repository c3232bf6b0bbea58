"""The embedded engine's schema, and a Question as Tantivy's query tree.

Nothing that people typed is ever parsed by Tantivy: the tree is built from terms. The one exception are
ranges over strings, which only its parser can make: they take hexadecimal digits or a TypeID.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import tantivy
from tantivy import FieldType, Occur, Query

from search.port import (
    DATE_FIELDS,
    KEYWORD_FIELDS,
    SINGLE_FIELDS,
    TEXT_FIELDS,
    After,
    IndexDocument,
    Question,
    Reach,
    Sort,
    SortValue,
    milliseconds,
)
from search.query import Keywords
from search.tokens import Phrase, index_tokens

ID = "id"
KIND = "kind"
VERSION = "version"
SPACES = "spaces"


def schema() -> tantivy.Schema:
    """No text is stored: only the id can be read back. Keyword fields for sorting have a twin in
    hexadecimal digits, whose order is that of the code points.
    """
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(ID, stored=True, fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(KIND, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field(VERSION, fast=True)
    for name in sorted(KEYWORD_FIELDS):
        builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
    for name in sorted(SINGLE_FIELDS):
        builder.add_text_field(order_field(name), fast=True, tokenizer_name="raw", index_option="basic")
    for name in sorted(DATE_FIELDS):
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in sorted(TEXT_FIELDS):
        builder.add_text_field(name, tokenizer_name=SPACES, index_option="position")
    return builder.build()


def register(index: tantivy.Index) -> None:
    """Tell this index object how to split our tokens."""
    index.register_tokenizer(SPACES, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())


def order_field(name: str) -> str:
    """The fast field that a declared field is sorted by."""
    return name if name in DATE_FIELDS else f"{name}_order"


def order_value(name: str, value: SortValue) -> SortValue:
    """A declared field's value as its order field holds it."""
    return value.encode().hex() if isinstance(value, str) and name not in DATE_FIELDS else value


def sort_value(name: str, stored: SortValue) -> SortValue:
    """The way back from `order_value`."""
    return bytes.fromhex(stored).decode() if isinstance(stored, str) and name not in DATE_FIELDS else stored


def document(source: IndexDocument) -> tantivy.Document:
    """A record as Tantivy takes it. Texts in one field are a position apart, so no phrase spans two."""
    made = tantivy.Document()
    made.add_text(ID, source.id)
    made.add_text(KIND, source.kind)
    made.add_unsigned(VERSION, source.version)
    for name in source.keywords:
        for value in source.values(name):
            made.add_text(name, value)
            if name in SINGLE_FIELDS:
                made.add_text(order_field(name), value.encode().hex())
    for name, moment in source.dates.items():
        if moment is not None:
            made.add_integer(name, milliseconds(moment))
    for name, texts in source.texts.items():
        for text in texts:
            tokens = index_tokens(text)
            if tokens:
                made.add_text(name, tokens)
    return made


class QueryBuilder:
    """Query trees for one schema."""

    def __init__(self, shape: tantivy.Schema) -> None:
        self._schema = shape

    def matching(self, question: Question) -> Query:
        """Everything but the page. Only the keywords give scores."""
        clauses = [(Occur.Must, self._unscored(self._term(KIND, question.kind)))]
        if question.keywords.phrases:
            clauses.append(
                (
                    Occur.Must,
                    self._keywords(question.keywords, sorted(question.text_fields)),
                )
            )
        reach = self._reach(question.reach)
        if reach is not None:
            clauses.append((Occur.Must, self._unscored(reach)))
        for name, values in question.terms.items():
            clauses.append((Occur.Must, self._unscored(self.any_of(name, values))))
        for name, (start, end) in question.ranges.items():
            if start is not None or end is not None:
                clauses.append((Occur.Must, self._unscored(self._between(name, start, end))))
        if question.excluded_ids:
            clauses.append((Occur.MustNot, self.any_of(ID, question.excluded_ids)))
        return Query.boolean_query(clauses)

    def any_of(self, name: str, values: Iterable[str]) -> Query:
        """Documents with one of the values; none for no values."""
        return Query.term_set_query(self._schema, name, list(values))

    def after(self, index: tantivy.Index, sort: Sort, after: After) -> Query:
        """Documents that come after this one in the order of `sort`."""
        name = order_field(sort.field)
        later_ids = self._string_range(index, ID, f"{{{after.id} TO *}}")
        missing = Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, Query.exists_query(name))])
        if after.value is None:
            return _both(missing, later_ids)
        value = order_value(sort.field, after.value)
        if isinstance(value, int):
            beyond = self._numbers_beyond(name, value, sort.descending)
        else:
            beyond = self._string_range(
                index,
                name,
                f"{{* TO {value}}}" if sort.descending else f"{{{value} TO *}}",
            )
        ties = _both(self.equal(sort, after.value), later_ids)
        return Query.boolean_query([(Occur.Should, query) for query in (ties, beyond, missing)])

    def equal(self, sort: Sort, value: SortValue) -> Query:
        """Documents whose sort field has this value, or none for None."""
        name = order_field(sort.field)
        if value is None:
            return Query.boolean_query(
                [
                    (Occur.Must, Query.all_query()),
                    (Occur.MustNot, Query.exists_query(name)),
                ]
            )
        return self._term(name, order_value(sort.field, value))

    def _keywords(self, keywords: Keywords, fields: list[str]) -> Query:
        return Query.boolean_query(
            [
                (
                    Occur.Must,
                    Query.boolean_query([(Occur.Should, self._phrase(name, phrase)) for name in fields])
                    if fields
                    else Query.empty_query(),
                )
                for phrase in keywords.phrases
            ]
        )

    def _phrase(self, name: str, phrase: Phrase) -> Query:
        tokens = list(phrase.tokens)
        if phrase.prefix:
            # phrase_prefix_query looks at 50 continuations only; the pattern takes them all.
            pattern = re.escape(tokens[-1]) + ".*"
            if len(tokens) == 1:
                return Query.regex_query(self._schema, name, pattern)
            words: list[str | tuple[int, str]] = [re.escape(token) for token in tokens[:-1]]
            return Query.regex_phrase_query(self._schema, name, [*words, pattern])
        if len(tokens) == 1:
            return Query.term_query(self._schema, name, tokens[0])
        return Query.phrase_query(self._schema, name, list(tokens))

    def _reach(self, reach: Reach) -> Query | None:
        if reach is None:
            return None
        if not reach:
            return Query.empty_query()
        return Query.boolean_query([(Occur.Should, self.any_of(name, values)) for name, values in reach])

    def _between(self, name: str, start: datetime | None, end: datetime | None) -> Query:
        return Query.range_query(
            self._schema,
            name,
            FieldType.Integer,
            lower_bound=None if start is None else milliseconds(start),
            upper_bound=None if end is None else milliseconds(end),
            include_upper=end is None,
        )

    def _numbers_beyond(self, name: str, value: int, descending: bool) -> Query:
        if descending:
            return Query.range_query(
                self._schema,
                name,
                FieldType.Integer,
                upper_bound=value,
                include_upper=False,
            )
        return Query.range_query(
            self._schema,
            name,
            FieldType.Integer,
            lower_bound=value,
            include_lower=False,
        )

    def _string_range(self, index: tantivy.Index, name: str, bounds: str) -> Query:
        if not re.fullmatch(r"\{(\* TO [a-z0-9_]+|[a-z0-9_]+ TO \*)\}", bounds):
            raise ValueError("not a range of a TypeID or of hexadecimal digits")
        return index.parse_query(f"{name}:{bounds}")

    def _term(self, name: str, value: SortValue) -> Query:
        return Query.term_query(self._schema, name, value, "basic")

    @staticmethod
    def _unscored(query: Query) -> Query:
        return Query.const_score_query(query, 0.0)


def _both(one: Query, other: Query) -> Query:
    return Query.boolean_query([(Occur.Must, one), (Occur.Must, other)])
