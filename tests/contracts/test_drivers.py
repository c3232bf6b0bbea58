"""Both drivers keep one contract: that of `service.storage`'s Collection and UnitOfWork (decision record 0001).

What is above can't tell which one is open. P27 rests on what is acknowledged being majority-committed.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from service.storage import Collection, Database, DuplicateKey, Index, UnitOfWork, deadline
from service.storage.mongo import ATTEMPTS, DatabaseTrouble

INDEXES = (
    Index("things", (("number", 1),), "things_number", unique=True, partial={"number": {"$exists": True}}),
    Index("things", (("tags", 1), ("_id", -1)), "things_tags", unique=True, partial={"tags": {"$exists": True}}),
)
AT = datetime(2026, 11, 24, 2, 4, 57, 123000, tzinfo=UTC)


@pytest.fixture(params=["pymongo", "motor"])
def driver(request: pytest.FixtureRequest) -> str:
    """Each driver in its turn."""
    return str(request.param)


@pytest.fixture
async def things(database: Database) -> Collection:
    """A collection with its indexes."""
    await database.ensure(INDEXES)
    return database.collection("things")


async def test_the_asked_driver_is_open(database: Database, driver: str) -> None:
    assert database.driver == driver
    assert type(database.client).__module__.partition(".")[0] == driver
    assert await database.reachable()
    assert await database.ping()


async def test_a_document_comes_back_as_it_was_stored(things: Collection) -> None:
    document = {"_id": "a", "at": AT, "bytes": b"\x00\xff", "list": [1, None, {"x": 1.5}], "text": "张小明"}
    await things.insert_one(dict(document))
    assert await things.find_one({"_id": "a"}) == document
    assert await things.find_one({"_id": "a"}, {"text": 1}) == {"_id": "a", "text": "张小明"}
    assert await things.find_one({"_id": "b"}) is None


async def test_lists_are_sorted_limited_counted_and_scanned(things: Collection) -> None:
    await things.insert_many([{"_id": n, "even": n % 2 == 0} for n in range(1_200)])
    assert [d["_id"] for d in await things.find({"even": True}, sort=[("_id", -1)], limit=3)] == [1198, 1196, 1194]
    assert len(await things.find({})) == 1_200
    assert [d["_id"] async for d in things.scan({}, sort=[("_id", 1)])] == list(range(1_200))
    assert (await things.count({"even": True}), await things.count({}, limit=10)) == (600, 10)
    assert await things.estimated_count() == 1_200
    grouped = await things.aggregate([{"$group": {"_id": "$even", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}])
    assert grouped == [{"_id": False, "n": 600}, {"_id": True, "n": 600}]
    assert await things.update_many({"even": True}, {"$set": {"seen": True}}) == 600
    assert await things.delete_many({"even": False}) == 600


async def test_a_page_that_is_larger_than_one_answer_of_the_server_comes_whole(things: Collection) -> None:
    await things.insert_many([{"_id": n, "text": "x" * 4_000_000} for n in range(6)])
    assert [d["_id"] for d in await things.find({}, sort=[("_id", 1)], limit=6)] == list(range(6))


async def test_a_deadline_ends_a_page_and_a_single_read(things: Collection) -> None:
    await things.insert_many([{"_id": n} for n in range(20)])
    slow = {"$where": "sleep(200) || false"}
    for read in (lambda: things.find(slow, limit=5), lambda: things.find_one(slow)):
        began = time.monotonic()
        with deadline(0.3), pytest.raises(DatabaseTrouble):
            await read()
        assert time.monotonic() - began < 2


async def test_an_update_tells_how_many_matched(things: Collection) -> None:
    await things.insert_one({"_id": "a", "version": 1})
    assert await things.update_one({"_id": "a", "version": 1}, {"$inc": {"version": 1}}) == 1
    assert await things.update_one({"_id": "a", "version": 1}, {"$inc": {"version": 1}}) == 0
    assert await things.update_one({"_id": "b"}, {"$set": {"version": 9}}, upsert=True) == 0
    assert (await things.find_one({"_id": "b"}) or {})["version"] == 9


async def test_a_changed_document_is_returned_as_it_was_before_or_is_after(things: Collection) -> None:
    await things.insert_many([{"_id": "a", "n": 1}, {"_id": "b", "n": 5}])
    increase = {"$inc": {"n": 1}}
    assert await things.find_one_and_update({"_id": "a"}, increase) == {"_id": "a", "n": 2}
    assert await things.find_one_and_update({"_id": "a"}, increase, before=True) == {"_id": "a", "n": 2}
    assert await things.find_one_and_update({}, increase, sort=[("n", -1)]) == {"_id": "b", "n": 6}
    assert await things.find_one_and_update({"_id": "c"}, increase) is None
    assert await things.find_one_and_update({"_id": "c"}, increase, upsert=True) == {"_id": "c", "n": 1}
    assert await things.find_one_and_update({"_id": "d"}, increase, upsert=True, before=True) is None


async def test_a_duplicate_names_its_index_and_no_value(things: Collection) -> None:
    await things.insert_one({"_id": "a", "number": 4711, "tags": ["secret-token"]})

    async def refused(write: Any) -> str:
        with pytest.raises(DuplicateKey) as error:
            await write
        assert "4711" not in str(error.value)
        assert "secret" not in str(error.value)
        assert error.value.__cause__ is None
        return error.value.index

    assert await refused(things.insert_one({"_id": "a"})) == "_id_"
    assert await refused(things.insert_one({"_id": "b", "number": 4711})) == "things_number"
    assert await refused(things.insert_many([{"_id": "c"}, {"_id": "d", "number": 4711}])) == "things_number"
    await things.insert_one({"_id": "e", "number": 1})
    assert await refused(things.update_one({"_id": "e"}, {"$set": {"number": 4711}})) == "things_number"
    change = {"$set": {"number": 4711}}
    assert await refused(things.find_one_and_update({"_id": "e"}, change)) == "things_number"


async def test_a_unit_of_work_commits_everything_together(database: Database, things: Collection) -> None:
    await database.collection("entries").insert_one({"_id": "first"})

    async def work(unit: UnitOfWork) -> str:
        await unit.collection("things").insert_one({"_id": "a"})
        assert await things.find_one({"_id": "a"}) is None, "nobody outside sees it yet"
        assert await unit.collection("things").find_one({"_id": "a"}) == {"_id": "a"}
        await unit.collection("entries").insert_one({"_id": "b"})
        return "done"

    assert await database.transact(work) == "done"
    assert await things.count({}) == 1
    assert await database.collection("entries").count({}) == 2


@pytest.mark.parametrize("trouble", [RuntimeError("no"), asyncio.CancelledError(), DuplicateKey("x")])
async def test_a_unit_of_work_that_fails_leaves_nothing(
    database: Database, things: Collection, trouble: BaseException
) -> None:
    runs = 0

    async def work(unit: UnitOfWork) -> None:
        nonlocal runs
        runs += 1
        await unit.collection("things").insert_one({"_id": "a"})
        raise trouble

    with pytest.raises(type(trouble)):
        await database.transact(work)
    assert runs == 1, "only conflicts are tried again"
    assert await things.count({}) == 0
    await things.insert_one({"_id": "a"})  # no lock is left behind


async def test_a_duplicate_inside_a_unit_of_work_undoes_the_rest(database: Database, things: Collection) -> None:
    await things.insert_one({"_id": "a", "number": 1})

    async def work(unit: UnitOfWork) -> None:
        await unit.collection("things").insert_one({"_id": "b"})
        await unit.collection("things").insert_one({"_id": "c", "number": 1})

    with pytest.raises(DuplicateKey) as error:
        await database.transact(work)
    assert error.value.index == "things_number"
    assert [d["_id"] for d in await things.find({})] == ["a"]


async def test_write_conflicts_are_tried_again_until_every_one_counts(database: Database, things: Collection) -> None:
    await things.insert_one({"_id": "a", "n": 0})
    runs = 0

    async def work(unit: UnitOfWork) -> None:
        nonlocal runs
        runs += 1
        found = await unit.collection("things").find_one({"_id": "a"})
        assert found is not None
        await asyncio.sleep(0.01)
        await unit.collection("things").update_one({"_id": "a"}, {"$set": {"n": found["n"] + 1}})

    await asyncio.gather(*(database.transact(work) for _ in range(4)))
    assert (await things.find_one({"_id": "a"}) or {})["n"] == 4
    assert runs > 4, "they did conflict"


async def test_a_conflict_that_does_not_end_is_given_up(database: Database, things: Collection) -> None:
    await things.insert_one({"_id": "a", "n": 0})
    runs = 0

    async def work(unit: UnitOfWork) -> None:
        nonlocal runs
        runs += 1
        await unit.collection("things").find_one({"_id": "a"})
        await things.update_one({"_id": "a"}, {"$inc": {"n": 1}})  # somebody else, always a moment ahead
        await unit.collection("things").update_one({"_id": "a"}, {"$inc": {"n": 100}})

    with pytest.raises(Exception, match=r"(?i)write ?conflict"):
        await database.transact(work)
    assert runs == ATTEMPTS
    assert (await things.find_one({"_id": "a"}) or {})["n"] == ATTEMPTS


async def test_an_insertion_wakes_whoever_waits(database: Database, things: Collection) -> None:
    woken = asyncio.Event()

    async def wait() -> None:
        async for _ in things.insertions():
            woken.set()

    waiting = asyncio.create_task(wait())
    try:
        for number in range(100):  # the stream begins a moment after it was asked for
            await things.insert_one({"_id": f"i{number}"})
            if woken.is_set():
                break
            await asyncio.sleep(0.1)
        assert woken.is_set()
        # An update is no insertion.
        await asyncio.sleep(0.5)
        woken.clear()
        await things.update_one({"_id": "i0"}, {"$set": {"n": 1}})
        await asyncio.sleep(0.5)
        assert not woken.is_set()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_who_follows_gets_the_inserts_that_hold_a_field_and_nothing_else_of_them(
    database: Database, things: Collection
) -> None:
    followed = things.follow(("tags", "number"), ("facets.records", "tags"))
    assert await anext(followed) is None, "it is open: what comes now is not missed"
    await things.insert_one({"_id": "a", "text": "no such field"})
    await things.insert_one({"_id": "b", "tags": ["x"], "text": "secret", "facets": {"records": ["r"], "actor": "u"}})
    await things.update_one({"_id": "a"}, {"$set": {"number": 1}})

    async def work(unit: UnitOfWork) -> None:
        await unit.collection("things").insert_many([{"_id": "c", "number": 2}, {"_id": "d", "tags": ["y"]}])

    await database.transact(work)
    async with asyncio.timeout(10):
        found = [await anext(followed) for _ in range(3)]
    assert found == [{"tags": ["x"], "facets": {"records": ["r"]}}, {}, {"tags": ["y"]}]
    await followed.aclose()  # type: ignore[attr-defined]


async def test_reads_and_writes_are_majority(database: Database) -> None:
    assert database.native.read_concern.level == "majority"
    assert database.native.write_concern.document["w"] == "majority"
    native = database.collection("things")._native
    assert (native.read_concern.level, native.write_concern.document["w"]) == ("majority", "majority")


async def test_indexes_are_made_once_and_keep_their_names(database: Database, things: Collection) -> None:
    await asyncio.gather(database.ensure(INDEXES), database.ensure(INDEXES))
    found = await database.native["things"].index_information()
    assert set(found) == {"_id_", "things_number", "things_tags"}
    assert found["things_number"]["unique"]
