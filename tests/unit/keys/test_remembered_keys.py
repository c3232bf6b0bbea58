"""Remembered data keys are bounded, and what one request asks for is never forgotten while it is served."""

from __future__ import annotations

import pytest

from service.crypto import Keyring, KeyringEncryption
from service.journal.service import Journal
from service.keys import service
from service.keys.model import KEYS
from service.keys.service import Keys
from service.storage import Database
from service.storage.epoch import Epoch


@pytest.fixture
def keyring(tmp_path) -> Keyring:
    return Keyring.create(tmp_path / "keyring.json")


def made_keys(database: Database, keyring: Keyring, epoch: Epoch) -> Keys:
    return Keys(database, KeyringEncryption(keyring), epoch, Journal(database))


async def given_owners(database: Database, keyring: Keyring, *owners: str) -> Keys:
    keys = made_keys(database, keyring, Epoch(database))
    for owner in owners:
        await database.insert({KEYS: [(await keys.made(owner))[1]]})
    return keys


async def test_a_page_of_known_and_unknown_customers_keeps_all_its_keys(database, keyring, monkeypatch):
    monkeypatch.setattr(service, "REMEMBERED_MOST", 2)
    keys = await given_owners(database, keyring, "first", "second", "third")
    await keys.load(["first"])
    await keys.load(["second"])

    await keys.load(["first", "third"])

    assert keys.versions("first")
    assert keys.versions("third")
    assert not keys.versions("second")


async def test_a_page_larger_than_what_is_remembered_keeps_all_its_keys(database, keyring, monkeypatch):
    monkeypatch.setattr(service, "REMEMBERED_MOST", 2)
    keys = await given_owners(database, keyring, "first", "second", "third")

    await keys.load(["first", "second", "third"])

    assert all(keys.versions(owner) for owner in ("first", "second", "third"))


async def test_a_new_epoch_forgets_a_destroyed_key_but_lets_a_request_under_way_finish(database, keyring):
    epoch = Epoch(database)
    keys = made_keys(database, keyring, epoch)
    await epoch.refresh()
    await database.insert({KEYS: [(await keys.made("first"))[1]]})
    await keys.load(["first"])

    async def destroy(unit):
        await unit.collection("keys").delete_many({"_id": "first"})
        await Epoch.raise_in(unit)

    await database.transact(destroy)
    await epoch.refresh()

    assert keys.versions("first"), "a request that loaded its keys before may finish"
    await keys.load(["first"])
    assert not keys.versions("first"), "whoever asks from now on finds nothing"
