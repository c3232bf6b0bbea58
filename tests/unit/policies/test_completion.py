"""A system that was set up by an older program learns the steps which a newer one brings, and loses nothing (P14)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.access.policy import Relation, Role
from service.clock import new_id, now
from service.journal.repository import INDEXES as JOURNAL_INDEXES
from service.journal.service import Journal
from service.policies.model import CONTENT, POLICIES, PREFIX
from service.policies.repository import INDEXES
from service.policies.service import Policies, seed_data
from service.storage import Database
from service.storage.epoch import Epoch

NEW = ("policy.propose", "policy.confirm", "access.explain")


async def process(database: Database) -> Policies:
    """The policies of one process that starts."""
    epoch = Epoch(database)
    await epoch.refresh()
    return Policies(database, epoch, Journal(database))


@pytest.fixture
async def old(database: Database) -> dict[str, Any]:
    """The policy of an older program, in which people had decided something."""
    await database.ensure((*INDEXES, *JOURNAL_INDEXES))
    seed = seed_data()
    stored = {
        "_id": new_id(PREFIX),
        "version": 3,
        "grants": [row for row in seed["grants"] if row["role"] != "CLERK"],
        "deny": [{"role": "AUDITOR", "relation": "ANY", "class": "NAME"}],
        "steps": {
            step: [] if step == "case.note" else grants for step, grants in seed["steps"].items() if step not in NEW
        },
        "created_at": now(),
    }
    await database.collection(POLICIES).insert_one(dict(stored))
    return stored


async def test_what_is_missing_is_added_and_nothing_else_changes(database: Database, old: dict[str, Any]) -> None:
    await (await process(database)).seed()
    first, second = await database.collection(POLICIES).find({}, sort=[("version", 1)])
    assert first == old, "versions are never changed"
    assert second["version"] == 4
    assert (second["grants"], second["deny"]) == (old["grants"], old["deny"])
    assert second["steps"] == {**old["steps"], **{step: seed_data()["steps"][step] for step in NEW}}
    assert second["steps"]["case.note"] == [], "what people took away is no missing step"
    policy = await (await process(database)).current()
    assert policy.may("policy.confirm", frozenset({Role.COMPLIANCE}), frozenset({Relation.ANY}))


async def test_it_is_told_as_the_systems_own_step(database: Database, old: dict[str, Any]) -> None:
    await (await process(database)).seed()
    (entry,) = await database.collection("journal").find({"facets.action": "policy.complete"})
    told = json.loads(bytes(entry["entry"]))
    assert told["actor"] == "system"
    assert told["records"][0]["version"] == 4
    assert told["details"]["before"] == {}
    assert set(told["details"]["after"]) == set(NEW)


async def test_processes_that_remember_the_old_policy_drop_it(database: Database, old: dict[str, Any]) -> None:
    epoch = Epoch(database)
    running = Policies(database, epoch, Journal(database))
    await epoch.refresh()
    assert (await running.current()).version == 3
    await (await process(database)).complete()
    await epoch.refresh()
    assert (await running.current()).version == 4


async def test_many_processes_that_start_at_once_add_it_once(database: Database, old: dict[str, Any]) -> None:
    starting = [await process(database) for _ in range(8)]
    await asyncio.gather(*(policies.complete() for policies in starting))
    versions = [document["version"] for document in await database.collection(POLICIES).find({})]
    assert sorted(versions) == [3, 4]
    entries = await database.collection("journal").find({"facets.action": "policy.complete"})
    assert len(entries) == 1
    # And again nothing is to be done.
    await (await process(database)).seed()
    assert await database.collection(POLICIES).count({}) == 2


async def test_a_new_system_begins_with_the_seed(database: Database) -> None:
    await database.ensure((*INDEXES, *JOURNAL_INDEXES))
    policies = await process(database)
    await policies.complete()
    assert await policies.table() is None, "there is nothing to complete"
    await policies.seed()
    await policies.seed()
    assert await policies.table() == {name: seed_data()[name] for name in ("version", *CONTENT)}
    assert await database.collection("journal").count({}) == 1
