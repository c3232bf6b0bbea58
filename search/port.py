"""What every search engine is asked and answers, and what it guarantees.

The index holds tokens, never texts: hits are ids and versions, and the records are read from the store.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from search.query import Keywords

ID = re.compile("[a-z0-9_]{1,64}")
"""Ids are TypeIDs."""
GENERATION = re.compile("[a-z0-9_-]{1,64}")

Kind = Literal["case", "customer"]
SortValue = str | int | None

# Keyword fields: exact values, for conditions, facets and reach.
NUMBER = "number"
STATE = "state"
DEPARTMENT = "department"
CATEGORY = "category"
CUSTOMER = "customer"
ASSIGNEE = "assignee"
MONTH = "month"
TAGS = "tags"
RELATION = "relation"
CUSTOMER_KIND = "customer_kind"
OWNER = "owner"
AGENTS = "agents"
DEPARTMENTS = "departments"
# Date fields, kept as milliseconds since 1970 (UTC).
RAISED_AT = "raised_at"
CLOSED_AT = "closed_at"
UPDATED_AT = "updated_at"
# Text fields, one per layer and sensitivity class.
TITLE = "title"
WITH_CUSTOMER = "with_customer"
FROM_CUSTOMER = "from_customer"
INTERNAL = "internal"
SCAN = "scan"
CUSTOMER_NAME = "customer_name"

LIST_FIELDS = frozenset({TAGS, AGENTS, DEPARTMENTS})
SINGLE_FIELDS = (
    NUMBER, STATE, DEPARTMENT, CATEGORY, CUSTOMER, ASSIGNEE, MONTH, RELATION, CUSTOMER_KIND, OWNER,
)  # fmt: skip
KEYWORD_FIELDS = frozenset(SINGLE_FIELDS) | LIST_FIELDS
DATE_FIELDS = frozenset({RAISED_AT, CLOSED_AT, UPDATED_AT})
TEXT_FIELDS = frozenset({TITLE, WITH_CUSTOMER, FROM_CUSTOMER, INTERNAL, SCAN, CUSTOMER_NAME})
SORT_FIELDS = frozenset(SINGLE_FIELDS) | DATE_FIELDS

RELEVANCE = "RELEVANCE"
RELEVANCE_WINDOW = 10_000
"""By relevance only this many hits can be paged through; the total stays exact."""
MOST_HITS = 1_000
"""Largest page."""

Reach = tuple[tuple[str, tuple[str, ...]], ...] | None
"""Which rows the actor reaches: None is every row, else (keyword field, values) clauses of which one
must match. Without clauses, or with clauses without values, nothing matches."""


class SearchError(Exception):
    """Root of an engine's errors. No message holds anything of a question or a document."""


class EngineUnavailable(SearchError):
    """The engine did not do it; the same call may succeed later."""


class UnknownGeneration(SearchError):
    """There is no such generation, or none is current."""


class WriterTaken(SearchError):
    """Another process writes this index already."""


class ReadOnly(SearchError):
    """This instance was opened for reading only."""


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970; a moment without zone is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class IndexDocument:
    """One record as it is indexed. `texts` are readable texts; the engine makes the tokens.

    Raises ValueError for a field that is not declared above, or several values in a single field;
    TypeError for a text that is not in a list.
    """

    id: str
    kind: Kind
    version: int
    keywords: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)
    dates: Mapping[str, datetime | None] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _declared("keyword", self.keywords, KEYWORD_FIELDS)
        _declared("date", self.dates, DATE_FIELDS)
        _declared("text", self.texts, TEXT_FIELDS)
        if not ID.fullmatch(self.id) or self.version < 0:
            raise ValueError("a document needs an id of [a-z0-9_]{1,64} and a version of at least 0")
        for name, value in self.keywords.items():
            if name not in LIST_FIELDS and value is not None and not isinstance(value, str):
                raise ValueError(f"{name} holds a single value")
        for name, pages in self.texts.items():
            if isinstance(pages, str):
                raise TypeError(f"{name} takes a list of texts")

    def values(self, name: str) -> list[str]:
        """A keyword field's values, sorted, each once."""
        value = self.keywords.get(name)
        if value is None:
            return []
        return [value] if isinstance(value, str) else sorted(set(value))


@dataclass(frozen=True, slots=True)
class Sort:
    """By RELEVANCE (best first, `descending` is not looked at) or one of SORT_FIELDS."""

    field: str = RELEVANCE
    descending: bool = True


@dataclass(frozen=True, slots=True)
class After:
    """Where the page before ended: its last hit's `sort_value` and `id`."""

    value: SortValue
    id: str


@dataclass(frozen=True, slots=True)
class Question:
    """One search. All parts must match; `text_fields` are those that the actor may search.

    `terms`: one of the values, for each field. `ranges`: from ≤ value < to, either may be None.
    Raises ValueError for undeclared fields: what people may ask is decided before.
    """

    kind: Kind
    reach: Reach
    keywords: Keywords = field(default_factory=Keywords)
    text_fields: frozenset[str] = frozenset()
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[datetime | None, datetime | None]] = field(default_factory=dict)
    excluded_ids: frozenset[str] = frozenset()
    sort: Sort = field(default_factory=Sort)
    after: After | None = None
    first: int = 20
    facets: tuple[str, ...] = ()
    facet_size: int = 50

    def __post_init__(self) -> None:
        _declared("text", self.text_fields, TEXT_FIELDS)
        _declared("keyword", self.terms, KEYWORD_FIELDS)
        _declared("date", self.ranges, DATE_FIELDS)
        _declared("keyword", self.facets, KEYWORD_FIELDS)
        _declared("keyword", [name for name, _ in self.reach or ()], KEYWORD_FIELDS)
        _declared("sort", [self.sort.field], SORT_FIELDS | {RELEVANCE})
        if not 0 <= self.first <= MOST_HITS or not 1 <= self.facet_size <= 1_000:
            raise ValueError("first or facet_size is out of bounds")
        if self.after is not None:
            value = self.after.value
            if self.sort.field == RELEVANCE:
                right = isinstance(value, int) and value >= 0
            elif self.sort.field in DATE_FIELDS:
                right = value is None or isinstance(value, int)
            else:
                right = value is None or isinstance(value, str)
            if not right or isinstance(value, bool) or not ID.fullmatch(self.after.id):
                raise ValueError("after does not fit the sort field")

    @property
    def offset(self) -> int:
        """How many hits were shown before, by relevance; 0 otherwise."""
        if self.after is None or self.sort.field != RELEVANCE or not isinstance(self.after.value, int):
            return 0
        return self.after.value


@dataclass(frozen=True, slots=True)
class Hit:
    """`sort_value`: the field's value (dates in milliseconds), or by relevance the rank from 1.
    `score` is 0.0 unless sorted by relevance.
    """

    id: str
    version: int
    score: float
    sort_value: SortValue


@dataclass(frozen=True, slots=True)
class Answer:
    """A page of hits; `total` counts all matches, and facets count all matches, both exactly."""

    hits: tuple[Hit, ...]
    total: int
    facets: Mapping[str, list[tuple[str, int]]]


class SearchEngine(Protocol):
    """An index in generations, of which one is current and answers.

    Every implementation passes `tests/contracts/test_search_engines.py`:

    - Writing is idempotent and takes any order: of all versions of a document that were upserted, the
      highest stays, however often and in which order they came. Nothing else depends on the order.
      A delete is not remembered: after it, an upsert of any version may bring the document back, so
      the caller deletes what no longer exists and looks for drift with `versions`.
    - `refresh` is the only promise: after it, what was upserted or deleted before is durable and found by
      the next search of every process. Before it, neither is promised. If it raises, repeat the work.
    - A phrase is found within one value of one text field; each phrase may be found in another field.
      Fields that are not in `text_fields` are never consulted, neither for hits nor for scores' order.
    - Order is total: equal sort values are ordered by id (ascending, by code point), documents without
      the value come last in both directions. Paging with `After` has no gaps and no repeats, whatever
      is equal, as long as the documents themselves do not change. By relevance the page begins after
      as many hits as `After.value` says, within RELEVANCE_WINDOW.
    - Facets are ordered by count, then value.
    - Every method may raise EngineUnavailable; messages hold no values.
    """

    async def create(self, generation: str) -> None:
        """Make an empty generation; one that exists stays as it is. Names are `[a-z0-9_-]{1,64}`."""

    async def generations(self) -> list[str]:
        """All that exist, sorted."""

    async def current(self) -> str | None:
        """The one that answers."""

    async def promote(self, generation: str) -> None:
        """Let it answer from now on, atomically. Raises UnknownGeneration."""

    async def drop(self, generation: str) -> None:
        """Remove it; nothing happens if it is not there. Raises ValueError for the current one."""

    async def upsert(self, generation: str, documents: Sequence[IndexDocument]) -> None:
        """Bring in these versions; older and equal ones change nothing. Raises UnknownGeneration."""

    async def delete(self, generation: str, versions: Sequence[tuple[str, int]]) -> None:
        """Remove documents of this or an older version, (id, version). Raises UnknownGeneration."""

    async def refresh(self, generation: str) -> None:
        """Everything before is durable and found from now on. Raises UnknownGeneration."""

    async def search(self, question: Question) -> Answer:
        """Ask the current generation. Raises UnknownGeneration if there is none."""

    def versions(self, generation: str) -> AsyncIterator[tuple[str, int]]:
        """Every (id, version) that is found, by id. Raises UnknownGeneration."""

    async def healthy(self) -> bool:
        """Whether a search could be answered now; never raises."""

    async def close(self) -> None:
        """Let go of files and connections; what was not refreshed may be lost."""


def _declared(
    what: str,
    names: Mapping[str, object] | Sequence[str] | frozenset[str],
    known: frozenset[str],
) -> None:
    unknown = set(names) - known
    if unknown:
        raise ValueError(f"not a {what} field: {', '.join(sorted(unknown))}")
