"""Keyset paging: a page begins right after the last item seen, so that depth costs nothing and nothing repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def page_query(
    filters: Sequence[Mapping[str, Any]], *, sort: str, descending: bool, after: tuple[Any, str] | None
) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """Filter and order of a page by (`sort`, `_id`); `after` is the last one seen."""
    direction, beyond = (-1, "$lt") if descending else (1, "$gt")
    clauses = [clause for clause in filters if clause]
    if after is not None:
        value, last = after
        if sort == "_id":
            clauses.append({"_id": {beyond: last}})
        else:
            clauses.append({"$or": [{sort: {beyond: value}}, {sort: value, "_id": {beyond: last}}]})
    order = [("_id", direction)] if sort == "_id" else [(sort, direction), ("_id", direction)]
    return ({"$and": clauses} if clauses else {}), order


def counting(filters: Sequence[Mapping[str, Any]], indexed: frozenset[str]) -> tuple[dict[str, Any], str | None]:
    """Filter and hint of a count. Where no condition is on a field that an index begins with, MongoDB would walk
    through the documents; along `_id` it needs none of them for a count of all, and reads in order otherwise.
    """
    clauses = [clause for clause in filters if clause]
    named = {name for clause in clauses for name in clause} | {
        name for clause in clauses for choice in clause.get("$or", ()) for name in choice
    }
    return ({"$and": clauses} if clauses else {}), None if named & indexed else "_id_"


def pages_of_each(
    parents: Sequence[str],
    *,
    children: str,
    key: str,
    where: Mapping[str, Any],
    sort: Sequence[tuple[str, int]],
    limit: int,
) -> list[dict[str, Any]]:
    """A pipeline over the parents' collection: the first page of each one's children, under `page`, in one question.

    The server walks the children's index on (`key`, sort) once for each parent and stops at `limit`.
    """
    pipeline: list[dict[str, Any]] = [{"$match": dict(where)}] if where else []
    pipeline += [{"$sort": dict(sort)}, {"$limit": limit}]
    return [
        {"$match": {"_id": {"$in": list(parents)}}},
        {"$project": {"_id": 1}},
        {"$lookup": {"from": children, "localField": "_id", "foreignField": key, "pipeline": pipeline, "as": "page"}},
    ]
