"""Compiled execution: one fast path for queries, mutations, subscriptions' events and tests. Decision record 0006."""

from schema.execution.operations import Operation, Operations, Source

__all__ = ["Operation", "Operations", "Source"]
