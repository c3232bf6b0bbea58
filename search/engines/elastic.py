"""Elasticsearch 8 or 9 behind the port: one index per generation, an alias names the current one.

    PREFIX-g-NAME      a generation
    PREFIX-current     alias of the one that answers

Only what every distribution has is used: no `GET /`, scripts, ingest, reindex or lifecycle. Texts are
sent as our own tokens into fields that are analysed at spaces; `_source` is off, so that nothing but the
tokens themselves, ids and keyword fields is kept. Dates are `long` milliseconds, which makes paging after
a missing value exact.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError, TransportError

from search.port import (
    DATE_FIELDS,
    GENERATION,
    KEYWORD_FIELDS,
    RELEVANCE,
    RELEVANCE_WINDOW,
    TEXT_FIELDS,
    Answer,
    EngineUnavailable,
    Hit,
    IndexDocument,
    Question,
    SearchError,
    SortValue,
    UnknownGeneration,
    milliseconds,
)
from search.tokens import Phrase, index_tokens

ID = "id"
KIND = "kind"
_MOST_CONTINUATIONS = 16_384  # as many as Tantivy takes
_LISTED_AT_ONCE = 1_000
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)
Query = dict[str, Any]


class ElasticIndex:
    """The Elasticsearch engine (see `search.port.SearchEngine`).

    `url` may carry credentials; `prefix` keeps installations apart; `shards` and `replicas` are taken by
    generations created from then on; `options` go to the client (certificates, API keys).
    """

    def __init__(self, url: str, *, prefix: str = "anjuan", shards: int = 1, replicas: int = 0, **options: Any) -> None:
        self._client = AsyncElasticsearch(url, **{"request_timeout": 30, **options})
        self._prefix = f"{prefix}-g-"
        self._alias = f"{prefix}-current"
        self._settings = {
            "index": {
                "number_of_shards": shards,
                "number_of_replicas": replicas,
                "max_result_window": RELEVANCE_WINDOW,
                "refresh_interval": "1s",
            }
        }

    async def create(self, generation: str) -> None:
        """See the port."""
        name = self._name(generation)
        try:
            if not await self._client.indices.exists(index=name):
                await self._client.indices.create(index=name, settings=self._settings, mappings=_mapping())
        except (ApiError, TransportError) as error:
            if not await self._has(name):  # else another process made it meanwhile
                raise _masked(error) from None

    async def generations(self) -> list[str]:
        """See the port."""
        try:
            found = await self._client.indices.get_alias(index=f"{self._prefix}*")
        except NotFoundError:
            return []
        except (ApiError, TransportError) as error:
            raise _masked(error) from None
        return sorted(name.removeprefix(self._prefix) for name in found)

    async def current(self) -> str | None:
        """See the port."""
        try:
            found = await self._client.indices.get_alias(name=self._alias)
        except NotFoundError:
            return None
        except (ApiError, TransportError) as error:
            raise _masked(error) from None
        names = [name.removeprefix(self._prefix) for name in found]
        return names[0] if names else None

    async def promote(self, generation: str) -> None:
        """See the port."""
        name = self._name(generation)
        actions: list[dict[str, Any]] = []
        before = await self.current()
        if before is not None and before != generation:
            actions.append({"remove": {"index": self._name(before), "alias": self._alias}})
        actions.append({"add": {"index": name, "alias": self._alias}})
        try:
            await self._client.indices.update_aliases(actions=actions)
        except (ApiError, TransportError) as error:
            raise _masked(error) from None

    async def drop(self, generation: str) -> None:
        """See the port."""
        name = self._name(generation)
        if await self.current() == generation:
            raise ValueError("the current generation answers and can't be dropped")
        try:
            await self._client.indices.delete(index=name, ignore_unavailable=True)
        except NotFoundError:
            return
        except (ApiError, TransportError) as error:
            raise _masked(error) from None

    async def upsert(self, generation: str, documents: Sequence[IndexDocument]) -> None:
        """See the port. Versions are Elasticsearch's external versions; a conflict means that this
        version, or a newer one, is there.
        """
        operations: list[dict[str, Any]] = []
        for source in documents:
            operations.append({"index": {"_id": source.id, "version": source.version, "version_type": "external"}})
            operations.append(_body(source))
        await self._bulk(generation, operations)

    async def delete(self, generation: str, versions: Sequence[tuple[str, int]]) -> None:
        """See the port. Elasticsearch remembers a deleted version for a minute (`index.gc_deletes`)."""
        await self._bulk(
            generation,
            [
                {"delete": {"_id": name, "version": version, "version_type": "external_gte"}}
                for name, version in versions
            ],
        )

    async def refresh(self, generation: str) -> None:
        """See the port."""
        try:
            await self._client.indices.refresh(index=self._name(generation))
        except (ApiError, TransportError) as error:
            raise _masked(error) from None

    async def search(self, question: Question) -> Answer:
        """See the port."""
        by_relevance = question.sort.field == RELEVANCE
        offset = question.offset
        size = max(0, min(question.first, RELEVANCE_WINDOW - offset))
        body: dict[str, Any] = {
            "query": _matching(question),
            "size": size,
            "version": True,
            "track_total_hits": True,
            "sort": _order(question),
        }
        if by_relevance and size:
            body["from_"] = offset
        if question.after is not None and not by_relevance:
            body["search_after"] = [_sent(question, question.after.value), question.after.id]
        if question.facets:
            body["aggs"] = {name: _facet(name, question.facet_size) for name in question.facets}
        try:
            found = await self._client.search(index=self._alias, **body)
        except (ApiError, TransportError) as error:
            raise _masked(error) from None
        if found.get("timed_out") or found["_shards"]["failed"]:
            raise EngineUnavailable("Elasticsearch answered in part only")
        hits = tuple(
            Hit(
                row["_id"],
                row["_version"],
                float(row["_score"] or 0.0) if by_relevance else 0.0,
                offset + number if by_relevance else _received(row["sort"][0]),
            )
            for number, row in enumerate(found["hits"]["hits"], start=1)
        )
        facets = {
            name: [(bucket["key"], bucket["doc_count"]) for bucket in found["aggregations"][name]["buckets"]]
            for name in question.facets
        }
        return Answer(hits, found["hits"]["total"]["value"], facets)

    async def versions(self, generation: str) -> AsyncIterator[tuple[str, int]]:
        """See the port; documents that change meanwhile may come with either version."""
        after: list[str] | None = None
        while True:
            try:
                found = await self._client.search(
                    index=self._name(generation),
                    query={"match_all": {}},
                    size=_LISTED_AT_ONCE,
                    version=True,
                    sort=[{ID: "asc"}],
                    search_after=after,
                )
            except (ApiError, TransportError) as error:
                raise _masked(error) from None
            rows = found["hits"]["hits"]
            for row in rows:
                yield row["_id"], row["_version"]
            if len(rows) < _LISTED_AT_ONCE:
                return
            after = [rows[-1]["_id"]]

    async def healthy(self) -> bool:
        """See the port."""
        try:
            found = await self._client.search(index=self._alias, size=0, query={"match_all": {}})
        except (ApiError, TransportError):
            return False
        return not found["_shards"]["failed"]

    async def close(self) -> None:
        """See the port."""
        await self._client.close()

    def _name(self, generation: str) -> str:
        if not GENERATION.fullmatch(generation):
            raise ValueError("a generation's name is [a-z0-9_-]{1,64}")
        return f"{self._prefix}{generation}"

    async def _has(self, name: str) -> bool:
        try:
            return bool(await self._client.indices.exists(index=name))
        except (ApiError, TransportError):
            return False

    async def _bulk(self, generation: str, operations: list[dict[str, Any]]) -> None:
        name = self._name(generation)
        if not operations:
            if not await self._has(name):
                raise UnknownGeneration(generation)
            return
        try:
            # Elasticsearch would make a missing index by itself, with another mapping.
            if not await self._client.indices.exists(index=name):
                raise UnknownGeneration(generation)
            answer = await self._client.bulk(index=name, operations=operations)
        except (ApiError, TransportError) as error:
            raise _masked(error) from None
        for item in answer["items"]:
            outcome = next(iter(item.values()))
            is_deletion = "delete" in item
            if outcome["status"] == 409 or (is_deletion and outcome["status"] == 404):
                continue
            if outcome["status"] >= 300:
                raise EngineUnavailable(f"Elasticsearch refused a document with status {outcome['status']}")


def _mapping() -> dict[str, Any]:
    properties: dict[str, Any] = {ID: {"type": "keyword"}, KIND: {"type": "keyword"}}
    properties |= {name: {"type": "keyword"} for name in sorted(KEYWORD_FIELDS)}
    properties |= {name: {"type": "long"} for name in sorted(DATE_FIELDS)}
    # Values of one field are 100 positions apart, so that no phrase spans two.
    text = {"type": "text", "analyzer": "whitespace", "position_increment_gap": 100}
    properties |= {name: dict(text) for name in sorted(TEXT_FIELDS)}
    return {"dynamic": "strict", "_source": {"enabled": False}, "properties": properties}


def _body(source: IndexDocument) -> dict[str, Any]:
    body: dict[str, Any] = {ID: source.id, KIND: source.kind}
    body |= {name: source.values(name) for name in source.keywords}
    body |= {name: milliseconds(moment) for name, moment in source.dates.items() if moment is not None}
    body |= {name: [index_tokens(text) for text in texts] for name, texts in source.texts.items()}
    return body


def _matching(question: Question) -> Query:
    filters: list[Query] = [{"term": {KIND: question.kind}}]
    if question.reach is not None:
        filters.append(_any([{"terms": {name: list(values)}} for name, values in question.reach]))
    filters += [{"terms": {name: list(values)}} for name, values in question.terms.items()]
    filters += [_between(name, *bounds) for name, bounds in question.ranges.items()]
    fields = sorted(question.text_fields)
    return {
        "bool": {
            "must": [_any([_phrase(name, phrase) for name in fields]) for phrase in question.keywords.phrases],
            "filter": filters,
            "must_not": [{"terms": {ID: sorted(question.excluded_ids)}}] if question.excluded_ids else [],
        }
    }


def _any(queries: list[Query]) -> Query:
    if not queries:
        return {"match_none": {}}
    return {"bool": {"should": queries, "minimum_should_match": 1}}


def _phrase(name: str, phrase: Phrase) -> Query:
    tokens = phrase.tokens
    if len(tokens) == 1:
        return {"prefix" if phrase.prefix else "term": {name: {"value": tokens[0]}}}
    words = " ".join(tokens)
    if phrase.prefix:
        return {"match_phrase_prefix": {name: {"query": words, "max_expansions": _MOST_CONTINUATIONS}}}
    return {"match_phrase": {name: {"query": words}}}


def _between(name: str, start: datetime | None, end: datetime | None) -> Query:
    bounds = {}
    if start is not None:
        bounds["gte"] = milliseconds(start)
    if end is not None:
        bounds["lt"] = milliseconds(end)
    return {"range": {name: bounds}} if bounds else {"match_all": {}}


def _order(question: Question) -> list[dict[str, Any]]:
    if question.sort.field == RELEVANCE:
        return [{"_score": "desc"}, {ID: "asc"}]
    direction = "desc" if question.sort.descending else "asc"
    return [{question.sort.field: {"order": direction, "missing": "_last"}}, {ID: "asc"}]


def _sent(question: Question, value: SortValue) -> SortValue:
    """A missing date is what Elasticsearch puts in its place: the value that comes last."""
    if value is None and question.sort.field in DATE_FIELDS:
        return _SMALLEST if question.sort.descending else _LARGEST
    return value


def _received(value: Any) -> SortValue:
    if value in (_SMALLEST, _LARGEST):
        return None
    return value if value is None or isinstance(value, str) else int(value)


def _facet(name: str, size: int) -> dict[str, Any]:
    return {"terms": {"field": name, "size": size, "order": [{"_count": "desc"}, {"_key": "asc"}]}}


def _masked(error: ApiError | TransportError) -> SearchError:
    """An error without Elasticsearch's words, which quote the question."""
    if isinstance(error, NotFoundError):
        return UnknownGeneration("Elasticsearch has no such index")
    if isinstance(error, ApiError):
        return EngineUnavailable(f"Elasticsearch answered with status {error.meta.status}")
    return EngineUnavailable(f"Elasticsearch can't be reached ({type(error).__name__})")
