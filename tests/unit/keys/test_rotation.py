"""Key-encryption keys and data keys are exchanged without anything becoming unreadable (P18)."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Binary

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy
from service.clock import now
from service.crypto import Keyring, KeyringEncryption, KeyringError
from service.errors import Unfit
from service.installation.rotation import KeyRotation
from service.installation.service import Installation
from service.journal.service import Journal
from service.keys.model import KEYS
from service.keys.repository import KeyRepository
from service.keys.service import Keys
from service.policies.service import seed_data
from service.storage import Database
from service.storage.epoch import Epoch

CALLER = Caller(SYSTEM, Policy.read(seed_data()))


class Process:
    """What one process remembers: a keyring that it read when it started, an epoch, keys."""

    def __init__(self, database: Database, path: Path) -> None:
        self.database, self.path = database, path
        self.epoch, self.journal = Epoch(database), Journal(database)
        self.keyring = Keyring.load(path)
        self.encryption = KeyringEncryption(self.keyring, path)
        self.epoch.on_change(self.encryption.look_again)
        self.keys = Keys(database, self.encryption, self.epoch, self.journal)
        self.rotation = KeyRotation(database, self.journal, self.encryption, (KeyRepository(database),))

    async def owner(self, name: str) -> None:
        """A new owner with a data key."""
        await self.database.insert({KEYS: [(await self.keys.made(name))[1]]})

    async def rotate(self) -> str:
        """What `anjuan rotate-keys` does."""
        keyring = Keyring.rotate(self.path)
        await self.rotation.announce(CALLER, keyring)
        await self.epoch.refresh()
        outcome = await self.rotation.rewrap(CALLER, lambda *_: None)
        assert outcome.current == keyring.current_id
        return keyring.current_id

    async def opens(self, owner: str) -> bool:
        """Whether a request that begins now has the owner's keys."""
        await self.epoch.refresh()
        await self.keys.load([owner])
        return bool(self.keys.versions(owner))


@pytest.fixture
async def path(database: Database, tmp_path: Path) -> Path:
    made = tmp_path / "keyring.json"
    await Installation(database).verify(Keyring.create(made), founding=True)
    return made


async def _entries(database: Database, action: str) -> list[dict[str, Any]]:
    found = await database.collection("journal").find({"facets.action": action})
    return [json.loads(bytes(entry["entry"])) for entry in found]


async def _age(database: Database) -> None:
    await database.collection("meta").update_many(
        {"recorded_at": {"$exists": True}}, {"$set": {"recorded_at": now() - timedelta(minutes=11)}}
    )


async def test_a_process_with_the_former_keyring_in_memory_reads_what_a_newer_key_wrapped(database, path):
    running, other = Process(database, path), Process(database, path)
    await running.owner("first")
    former = running.keyring.current_id
    current = await other.rotate()
    assert set(await other.rotation.needed()) == {current} != {former}
    # It has not heard of a new epoch, and meets a key that it does not know
    await running.keys.load(["first"])
    assert running.keys.versions("first")


async def test_what_a_process_wraps_after_a_rotation_is_wrapped_by_the_new_key(database, path):
    running, other = Process(database, path), Process(database, path)
    await running.epoch.refresh()
    current = await other.rotate()
    await running.epoch.refresh()
    await running.owner("later")
    assert await other.rotation.needed() == {current: 1}


async def test_a_key_that_a_process_made_at_the_last_moment_is_found_by_a_later_run_and_is_never_lost(database, path):
    running, other = Process(database, path), Process(database, path)
    current = await other.rotate()
    await running.owner("late")  # its request began before the epoch rose
    assert await other.rotation.needed() == {running.keyring.current_id: 1}
    await _age(database)
    with pytest.raises(Unfit, match="still wrapped by former keys: 1 by kek-"):
        await other.rotation.retire(CALLER, path)
    assert not await other.rotation.is_finished()
    await other.rotation.rewrap(CALLER, lambda *_: None)
    assert await other.rotation.needed() == {current: 1}
    assert await other.opens("late")


async def test_where_the_keyring_file_is_gone_a_process_reads_on_but_wraps_nothing(database, path):
    running, other = Process(database, path), Process(database, path)
    await running.owner("first")
    await running.epoch.refresh()
    await other.rotate()
    kept = path.read_text()
    path.unlink()
    await running.epoch.refresh()
    with pytest.raises(KeyringError, match="does not exist"):
        await running.keys.made("second")
    path.write_text(kept)
    path.chmod(0o600)
    await running.encryption.unwrap_all([])
    running.encryption.look_again()
    assert await running.opens("first")
    await running.keys.made("second")


async def test_a_repeat_finds_nothing_to_do_and_says_so_in_the_journal(database, path):
    process = Process(database, path)
    for number in range(3):
        await process.owner(f"owner{number}")
    await process.rotate()
    before = await database.collection(KEYS).find({}, sort=[("_id", 1)])
    outcome = await process.rotation.rewrap(CALLER, lambda *_: None)
    assert (outcome.done, outcome.already) == ({"data keys": 0}, {"data keys": 3})
    assert await database.collection(KEYS).find({}, sort=[("_id", 1)]) == before
    first, second = await _entries(database, "keyring.rewrap")
    assert first["details"]["rewrapped"] == {"data keys": 3}
    assert second["details"]["rewrapped"] == {"data keys": 0}
    assert first["details"]["current"] == Keyring.load(path).current_id


async def test_a_damaged_wrapped_key_is_named_and_left_and_the_others_are_wrapped_anew(database, path):
    process = Process(database, path)
    for name in ("bad", "cut", "good"):
        await process.owner(name)
    (bad, cut, _) = await database.collection(KEYS).find({}, sort=[("_id", 1)])
    flipped, shortened = bytearray(bad["versions"][0]["wrapped"]), bytes(cut["versions"][0]["wrapped"])[:40]
    flipped[-1] ^= 1
    for owner, wrapped in (("bad", bytes(flipped)), ("cut", shortened)):
        await database.collection(KEYS).update_one({"_id": owner}, {"$set": {"versions.0.wrapped": Binary(wrapped)}})
    former = process.keyring.current_id
    current = await process.rotate()
    stored = {d["_id"]: bytes(d["versions"][0]["wrapped"]) for d in await database.collection(KEYS).find({})}
    assert (stored["bad"], stored["cut"]) == (bytes(flipped), shortened)
    assert await process.rotation.needed() == {former: 1, "(unreadable)": 1, current: 1}
    assert (await _entries(database, "keyring.rewrap"))[0]["details"]["unopened"] == 2
    # And as long as they may be restored, the key that they need stays
    await _age(database)
    with pytest.raises(Unfit, match="still wrapped"):
        await process.rotation.retire(CALLER, path)
    assert former in Keyring.load(path).former_ids


async def test_a_former_key_leaves_the_keyring_only_when_nothing_needs_it_and_every_process_has_had_the_time(
    database, path
):
    process = Process(database, path)
    await process.owner("first")
    former = process.keyring.current_id
    await process.rotate()
    with pytest.raises(Unfit, match="too new"):
        await process.rotation.retire(CALLER, path)
    await _age(database)
    assert await process.rotation.retire(CALLER, path) == {former}
    form = json.loads(path.read_text())
    assert [key["id"] for key in form["encryption_keys"]] == [form["current"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # A process that starts now is content, and opens everything
    await Installation(database).verify(Keyring.load(path))
    assert await Process(database, path).opens("first")
    assert (await _entries(database, "keyring.retire"))[0]["details"] == {"retired": [former]}


async def test_a_retirement_that_is_cut_off_leaves_a_keyring_that_starts(database, path, monkeypatch):
    process = Process(database, path)
    await process.owner("first")
    await process.rotate()
    await _age(database)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Keyring, "retire", dies)
        with pytest.raises(KeyboardInterrupt):
            await process.rotation.retire(CALLER, path)
    await Installation(database).verify(Keyring.load(path))
    await _age(database)
    assert await process.rotation.retire(CALLER, path)
    assert Keyring.load(path).former_ids == frozenset()


async def test_a_rotated_data_key_seals_what_is_new_and_opens_what_is_old_in_every_process(database, path):
    here, there = Process(database, path), Process(database, path)
    await here.owner("first")
    assert await there.opens("first")
    former = there.keys.current("first")
    assert await here.keys.rotate(CALLER, "first") == 2
    # At its next request the other process seals under the new version and has the former one
    assert await there.opens("first")
    assert there.keys.current("first").version == 2
    assert there.keys.versions("first")[1].of_class("NAME")[1] == former.of_class("NAME")[1]
    assert there.keys.versions("first")[2].of_class("NAME")[1] != former.of_class("NAME")[1]
    (entry,) = await _entries(database, "key.rotate")
    assert (entry["records"][0]["id"], entry["details"]) == ("first", {"version": 2})
    # And a re-wrapping run takes every version along
    current = await here.rotate()
    assert await here.rotation.needed() == {current: 2}
    assert await there.opens("first")
    assert set(there.keys.versions("first")) == {1, 2}


async def test_who_has_no_data_key_gets_none_by_rotation(database, path):
    process = Process(database, path)
    with pytest.raises(LookupError, match="no data key"):
        await process.keys.rotate(CALLER, "nobody")
    assert await database.collection(KEYS).find({}) == []
    assert await _entries(database, "key.rotate") == []


async def test_a_destroyed_key_is_gone_in_every_process_at_its_next_request(database, path):
    here, there = Process(database, path), Process(database, path)
    for name in ("first", "second"):
        await here.owner(name)
    assert await there.opens("first")

    async def destroy(unit: Any) -> None:
        await here.keys.destroy(CALLER, unit, "first")

    await database.transact(destroy)
    assert not await there.opens("first")
    assert not await here.opens("first")
    assert await there.opens("second")
    (entry,) = await _entries(database, "key.destroy")
    assert entry["records"][0]["id"] == "first"


async def test_a_destruction_that_does_not_commit_destroys_nothing(database, path):
    process = Process(database, path)
    await process.owner("first")
    epoch = await process.epoch.refresh()

    async def destroy(unit: Any) -> None:
        await process.keys.destroy(CALLER, unit, "first")
        raise RuntimeError("the step after it failed")

    with pytest.raises(RuntimeError, match="step after"):
        await database.transact(destroy)
    assert await process.epoch.refresh() == epoch
    assert await process.opens("first")
    assert await _entries(database, "key.destroy") == []
