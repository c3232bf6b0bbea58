"""Signing keys are rotated in the file, whole or not at all, and running processes take them up (P9)."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from service.clock import now
from service.crypto import Keyring, KeyringError, signing
from service.crypto.signing import (
    LivingSigningKeys,
    announce_signing_key,
    retire_signing_keys,
    rotate_signing_key,
)

TOKEN_LIFE = timedelta(minutes=10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A keyring file."""
    Keyring.create(tmp_path / "keyring.json")
    return tmp_path / "keyring.json"


def living(path: Path) -> LivingSigningKeys:
    """One process."""
    return LivingSigningKeys(Keyring.load(path), path)


def test_a_new_key_signs_and_the_former_goes_on_verifying(path: Path) -> None:
    here, elsewhere = living(path), living(path)
    former, _ = here.signing_key()

    told_former, new = rotate_signing_key(path)

    assert told_former == former != new
    kid, private = here.signing_key()
    assert kid == new
    for process in (here, elsewhere):
        public = process.verification_key(new)
        assert public is not None
        public.verify(private.sign(b"text"), b"text")
        assert process.verification_key(former) is not None
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_rotation_leaves_everything_else_as_it_was(path: Path) -> None:
    before = json.loads(path.read_text()) | {"later": {"unknown": True}}
    path.write_text(json.dumps(before))

    rotate_signing_key(path)

    after = json.loads(path.read_text())
    for name in ("encryption_keys", "current", "root_secret", "format", "later"):
        assert after[name] == before[name]
    assert living(path).secret("cursor") == Keyring.from_json(json.dumps(before)).secret("cursor")


def test_made_up_key_ids_make_nobody_read_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P9: the file is read once for each time that it was rewritten."""
    process, reads = living(path), 0
    genuine = Keyring.load

    def counted(given: Path) -> Keyring:
        nonlocal reads
        reads += 1
        return genuine(given)

    monkeypatch.setattr(signing.Keyring, "load", counted)
    for number in range(1_000):
        assert process.verification_key(f"sig-{number}") is None
    assert reads <= 1
    _, new = rotate_signing_key(path)
    assert process.verification_key(new) is not None, "a flood keeps no new key out"
    for number in range(1_000):
        assert process.verification_key(f"sig-{number}") is None
    assert reads <= 2


def test_former_keys_stay_for_as_long_as_their_tokens_live(path: Path) -> None:
    process = living(path)
    former, _ = process.signing_key()
    rotate_signing_key(path)
    before = path.read_bytes()

    with time_machine.travel(now() + timedelta(minutes=9), tick=False), pytest.raises(KeyringError, match="another 6"):
        retire_signing_keys(path, TOKEN_LIFE)
    assert path.read_bytes() == before

    with time_machine.travel(now() + timedelta(minutes=11), tick=False):
        assert retire_signing_keys(path, TOKEN_LIFE) == [former]
        assert retire_signing_keys(path, TOKEN_LIFE) == []
    assert process.look_again()
    assert process.verification_key(former) is None


def test_a_leaked_key_is_retired_at_once(path: Path) -> None:
    process = living(path)
    former, _ = process.signing_key()
    rotate_signing_key(path)

    assert retire_signing_keys(path, None) == [former]

    process.look_again()
    assert process.verification_key(former) is None


def test_an_announced_key_verifies_before_it_signs(path: Path) -> None:
    """Machines that get the file one after the other: no order of arrival makes a false 401."""
    first, second = living(path), living(path)
    former, _ = first.signing_key()

    announced = announce_signing_key(path)
    with pytest.raises(KeyringError, match="announced already"):
        announce_signing_key(path)

    assert first.signing_key()[0] == former
    assert second.verification_key(announced) is not None
    assert rotate_signing_key(path) == (former, announced)
    assert first.signing_key()[0] == announced


def test_an_announced_key_outlives_the_retirement_of_former_ones(path: Path) -> None:
    former, current = rotate_signing_key(path)
    announced = announce_signing_key(path)

    assert retire_signing_keys(path, None) == [former]

    assert [key["kid"] for key in json.loads(path.read_text())["signing_keys"]] == [current, announced]


def test_without_a_moment_nobody_knows_whether_it_is_too_early(path: Path) -> None:
    rotate_signing_key(path)
    keyring = json.loads(path.read_text())
    del keyring["signing_since"]
    path.write_text(json.dumps(keyring))

    with pytest.raises(KeyringError, match="since when"):
        retire_signing_keys(path, TOKEN_LIFE)


def test_a_file_that_is_no_keyring_is_not_touched_and_stops_nobody(path: Path) -> None:
    process = living(path)
    kid, _ = process.signing_key()
    path.write_text("{")

    with pytest.raises(KeyringError, match="not JSON"):
        rotate_signing_key(path)

    assert path.read_text() == "{"
    assert process.signing_key()[0] == kid
    assert process.verification_key(kid) is not None
    path.unlink()
    assert process.signing_key()[0] == kid


def test_a_rotation_that_is_cut_short_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyringError, match="No space left"):
        rotate_signing_key(path)

    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir() if found.suffix != ".lock"] == [path.name]


def test_rotations_at_the_same_time_lose_none(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = {new for _, new in pool.map(lambda _: rotate_signing_key(path), range(16))}

    assert len(made) == 16
    assert made < {key["kid"] for key in json.loads(path.read_text())["signing_keys"]}
