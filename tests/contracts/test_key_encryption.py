"""What every holder of the key-encryption key guarantees: the keyring, and Vault's transit engine (a real OpenBao)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.crypto import (
    CiphertextError,
    KeyEncryption,
    Keyring,
    KeyringEncryption,
    KeyringError,
    TransitEncryption,
    WrappedItem,
    transit,
)
from service.journal.service import Journal
from service.keys.model import KEYS
from service.keys.service import Keys
from service.storage import Database
from service.storage.epoch import Epoch
from tests.fixtures.vault import Vault


@pytest.fixture
def ring(tmp_path: Path) -> KeyringEncryption:
    return KeyringEncryption(Keyring.create(tmp_path / "keyring.json"), tmp_path / "keyring.json")


@pytest.fixture
def held(vault: Vault, ring: KeyringEncryption) -> Iterator[TransitEncryption]:
    """With a transit key of its own."""
    made = TransitEncryption(vault.url, vault.token, vault.new_key(), ring)
    yield made
    made.close()


@pytest.fixture(params=["ring", "held"])
def encryption(request: pytest.FixtureRequest) -> KeyEncryption:
    found: KeyEncryption = request.getfixturevalue(request.param)
    return found


async def _wrapped(encryption: KeyEncryption, count: int) -> tuple[list[bytes], list[WrappedItem]]:
    keys = [os.urandom(32) for _ in range(count)]
    contexts = [f"data-key/cus_{number}/1".encode() for number in range(count)]
    items = [
        WrappedItem(await encryption.wrap(key, context=context), context)
        for key, context in zip(keys, contexts, strict=True)
    ]
    return keys, items


async def test_what_it_wraps_it_unwraps_many_at_once_and_in_order(encryption: KeyEncryption) -> None:
    await encryption.require_usable()
    keys, items = await _wrapped(encryption, 40)
    assert await encryption.unwrap_all(items) == keys
    assert await encryption.unwrap_all([]) == []
    assert {encryption.key_name(item.wrapped) for item in items} == {await encryption.current()}
    assert len({item.wrapped for item in items}) == 40
    with pytest.raises(ValueError, match="32 bytes"):
        await encryption.wrap(bytes(31), context=b"c")


async def test_a_key_in_another_place_flipped_or_cut_is_refused_and_the_others_are_opened(
    encryption: KeyEncryption,
) -> None:
    keys, items = await _wrapped(encryption, 4)
    good = items[0]
    flipped = [
        bytes(byte ^ (1 << place % 8) if at == place else byte for at, byte in enumerate(good.wrapped))
        for place in range(len(good.wrapped))
    ]
    cut = [good.wrapped[:length] for length in range(0, len(good.wrapped), 7)]
    hostile = [
        *(WrappedItem(text, good.context) for text in (*flipped, *cut)),
        WrappedItem(good.wrapped, items[1].context),
        WrappedItem(items[1].wrapped, good.context),
        WrappedItem(good.wrapped + b"=", good.context),
    ]
    found = await encryption.unwrap_all([*hostile, *items])
    assert found[-4:] == keys
    assert all(isinstance(result, CiphertextError) for result in found[:-4])


async def test_wrapped_anew_it_is_the_same_key_and_what_cant_be_opened_is_told_apart(encryption: KeyEncryption) -> None:
    keys, items = await _wrapped(encryption, 3)
    broken = WrappedItem(items[1].wrapped, b"elsewhere")
    first, none, third = await encryption.rewrap_all([items[0], broken, items[2]])
    assert isinstance(none, CiphertextError)
    assert isinstance(first, bytes)
    assert isinstance(third, bytes)
    again = [WrappedItem(first, items[0].context), WrappedItem(third, items[2].context)]
    assert await encryption.unwrap_all(again) == [keys[0], keys[2]]
    assert first != items[0].wrapped


async def test_what_the_keyring_wrapped_is_opened_and_moves_to_vault(
    held: TransitEncryption, ring: KeyringEncryption
) -> None:
    keys, items = await _wrapped(ring, 3)
    _, theirs = await _wrapped(held, 1)
    assert (await held.unwrap_all([items[0], theirs[0], items[1]]))[::2] == keys[:2]
    moved = await held.rewrap_all([*items, theirs[0]])
    assert {held.key_name(wrapped) for wrapped in moved if isinstance(wrapped, bytes)} == {"vault:v1"}
    contexts = [item.context for item in items]
    assert await held.unwrap_all([WrappedItem(w, c) for w, c in zip(moved[:3], contexts, strict=True)]) == keys


async def test_vaults_own_rotation_is_followed_and_its_former_version_may_be_disallowed(
    vault: Vault, ring: KeyringEncryption
) -> None:
    name = vault.new_key()
    held = TransitEncryption(vault.url, vault.token, name, ring)
    keys, items = await _wrapped(held, 2)
    vault.ask("POST", f"transit/keys/{name}/rotate")
    assert (await held.current(), held.key_name(items[0].wrapped)) == ("vault:v2", "vault:v1")
    moved = [
        WrappedItem(wrapped, item.context)
        for wrapped, item in zip(await held.rewrap_all(items), items, strict=True)
        if isinstance(wrapped, bytes)
    ]
    assert {held.key_name(item.wrapped) for item in moved} == {"vault:v2"}
    vault.ask("POST", f"transit/keys/{name}/config", {"min_decryption_version": 2})
    assert await held.unwrap_all(moved) == keys
    assert all(isinstance(found, CiphertextError) for found in await held.unwrap_all(items))
    held.close()


async def test_a_list_of_two_hundred_customers_asks_vault_once(
    held: TransitEncryption, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = Epoch(database)
    keys = Keys(database, held, epoch, Journal(database))
    owners = [f"cus_{number}" for number in range(200)]
    made = await asyncio.gather(*(keys.made(owner) for owner in owners))
    await database.insert({KEYS: [document for _, document in made]})
    asked: list[str] = []
    real = held._asked
    monkeypatch.setattr(held, "_asked", lambda method, verb, body: asked.append(verb) or real(method, verb, body))
    await keys.load(owners)
    assert asked == ["decrypt"]
    for key, _ in made:
        assert keys.current(key.owner_id).of_class("NAME")[1] == key.of_class("NAME")[1]


@pytest.mark.parametrize(
    ("token", "key", "words"),
    [("wrong", "good", "lacks the right"), ("", "absent", "no transit key anjuan-none"), ("", "plain", "derived=true")],
)
async def test_what_is_wrong_with_vault_is_a_sentence_without_the_token(
    vault: Vault, ring: KeyringEncryption, token: str, key: str, words: str
) -> None:
    names = {"good": vault.new_key, "absent": lambda: "anjuan-none", "plain": lambda: vault.new_key(derived=False)}
    held = TransitEncryption(vault.url, token or vault.token, names[key](), ring)
    with pytest.raises(KeyringError, match=words) as refused:
        await held.require_usable()
    assert (token or vault.token) not in str(refused.value)
    assert f"127.0.0.1:{vault.port}" in str(refused.value)
    held.close()


async def test_a_silent_vault_holds_up_whoever_needs_it_and_nobody_else(
    ring: KeyringEncryption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transit, "ANSWER_SECONDS", 0.4)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        held = TransitEncryption(f"http://127.0.0.1:{listener.getsockname()[1]}", "t", "anjuan", ring)
        ticks: list[Any] = []

        async def tick() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        with pytest.raises(KeyringError, match="can't be reached"):
            await held.wrap(bytes(32), context=b"c")
        ticking.cancel()
        assert len(ticks) > 15, "the loop went on"
        # What the keyring wrapped needs no Vault
        keys, items = await _wrapped(ring, 1)
        assert await held.unwrap_all(items) == keys
        held.close()
