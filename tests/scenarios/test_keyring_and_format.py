"""A database remembers its storage format and its keyring: without them nothing starts on it, and nothing changes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from infra.local import Endpoints
from service.config import Settings
from service.crypto import Keyring
from tests.fixtures.company import environment_of, settings_on

ROOT = Path(__file__).parents[2]
STARTS = (["init"], ["serve"], ["worker"], ["user", "create", "x@example.com", "X", "--role", "ADMIN"], ["reindex"])


@dataclass
class Installation:
    """Its settings, its database from outside, and the command line."""

    settings: Settings
    client: MongoClient[dict[str, Any]]
    more: dict[str, str] = field(default_factory=dict)

    def anjuan(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service.cli", *arguments]
        return subprocess.run(
            command, env=environment_of(self.settings) | self.more, capture_output=True, text=True, cwd=ROOT,
            check=False, timeout=120,
        )  # fmt: skip

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        database = self.client[self.settings.database]
        return {name: list(database[name].find({}).sort("_id")) for name in sorted(database.list_collection_names())}

    @property
    def meta(self) -> dict[str, dict[str, Any]]:
        return {document["_id"]: document for document in self.client[self.settings.database]["meta"].find({})}

    def is_refused(self, *parts: str, by: Sequence[list[str]] = STARTS[:2]) -> None:
        """In one line, with the remedy, and without a trace in the data."""
        before = self.everything()
        for start in by:
            done = self.anjuan(*start)
            assert done.returncode == 1, (start, done.stdout, done.stderr)
            told = done.stderr.strip().splitlines()
            assert len(told) == 1, (start, told)
            for part in parts:
                assert part in told[0], (start, told)
        assert self.everything() == before


@pytest.fixture
def installation(mongo_server: str, s3_server: Endpoints, tmp_path: Path) -> Iterator[Installation]:
    """An installation with a user and a customer's data key."""
    settings = settings_on(tmp_path / "data", mongo_server, s3_server)
    with MongoClient[dict[str, Any]](mongo_server) as client:
        made = Installation(settings, client)
        first = made.anjuan("init")
        assert first.returncode == 0, first.stderr
        assert "Keep a copy" in first.stdout
        assert made.anjuan("user", "create", "a@example.com", "A", "--role", "ADMIN").returncode == 0
        keyring = Keyring.load(settings.keyring_path)
        wrapped = keyring.wrap(secrets.token_bytes(32), context=b"data-key/cus_1/1")
        document = {"_id": "cus_1", "versions": [{"version": 1, "wrapped": wrapped}]}
        client[settings.database]["keys"].insert_one(document)
        yield made
        client.drop_database(settings.database)


def test_a_new_installation_writes_down_its_format_and_a_commitment_for_each_key(installation: Installation) -> None:
    form = json.loads(installation.settings.keyring_path.read_text())
    assert installation.meta.keys() == {"format", "keyring/root", f"keyring/encryption/{form['current']}"}
    assert installation.meta["format"]["number"] == 1
    told = json.dumps(installation.meta, default=str)
    assert form["root_secret"] not in told
    assert form["encryption_keys"][0]["key"] not in told
    assert installation.anjuan("init").stdout == "Ready.\n"


def test_a_keyring_that_is_gone_is_not_replaced(installation: Installation) -> None:
    path = installation.settings.keyring_path
    path.rename(path.with_suffix(".away"))
    installation.is_refused("backup", by=STARTS)
    assert "There is no keyring at" in installation.anjuan("init").stderr
    assert not path.exists()
    # Nor where nothing was ever written down
    installation.client[installation.settings.database]["meta"].delete_many({})
    installation.is_refused("backup")
    assert not path.exists()
    # It is enough to bring it back
    path.with_suffix(".away").rename(path)
    assert installation.anjuan("init").returncode == 0


@pytest.mark.parametrize("recorded", [True, False])
def test_another_keyring_is_refused(installation: Installation, recorded: bool) -> None:
    if not recorded:
        installation.client[installation.settings.database]["meta"].delete_many({})
    path = installation.settings.keyring_path
    path.unlink()
    Keyring.create(path)
    installation.is_refused("not that of the stored data", "backup", by=STARTS)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_keyring_that_lacks_the_key_of_stored_keys_is_refused_by_name(
    installation: Installation, recorded: bool
) -> None:
    path = installation.settings.keyring_path
    lost = json.loads(path.read_text())["current"]
    Keyring.rotate(path)
    Keyring.retire(path, frozenset({lost}))
    if not recorded:
        installation.client[installation.settings.database]["meta"].delete_many({})
    installation.is_refused(f"lacks key {lost}", "backup", by=[["serve"], ["worker"], ["rotate-keys"]])


def test_keys_are_rotated_and_retired_from_the_command_line(installation: Installation) -> None:
    path = installation.settings.keyring_path
    former = json.loads(path.read_text())["current"]
    done = installation.anjuan("rotate-keys")
    assert done.returncode == 0, done.stderr
    current = json.loads(path.read_text())["current"]
    assert f"{current} is the current key" in done.stdout
    assert f"data keys: 1 wrapped by {current}, 0 were already." in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    early = installation.anjuan("rotate-keys", "--retire")
    assert (early.returncode, "too new" in early.stderr) == (1, True)
    assert former in path.read_text()
    installation.client[installation.settings.database]["meta"].update_many({}, {"$unset": {"recorded_at": ""}})
    done = installation.anjuan("rotate-keys", "--retire")
    assert (done.returncode, done.stdout) == (0, f"Retired: {former}.\n")
    assert former not in path.read_text()
    assert installation.anjuan("rotate-keys", "--owner", "cus_1").returncode == 0
    assert installation.anjuan("rotate-keys", "--owner", "cus_2").stderr == "anjuan: cus_2 has no data key\n"
    # A keyring in the environment is never changed: it says what to do instead
    installation.more = {"ANJUAN_KEYRING_JSON": path.read_text()}
    done = installation.anjuan("rotate-keys")
    assert (done.returncode, "ANJUAN_KEYRING_JSON" in done.stdout) == (0, True), done.stderr
    assert json.loads(path.read_text())["current"] == current


def test_a_keyring_with_another_root_secret_is_refused(installation: Installation) -> None:
    path = installation.settings.keyring_path
    other = json.loads(Keyring.create(path.with_name("other.json")) and path.with_name("other.json").read_text())
    form = json.loads(path.read_text())
    path.write_text(json.dumps({**form, "root_secret": other["root_secret"]}))
    installation.is_refused("root secret differs", "backup")


def test_a_further_current_key_is_recorded_and_needed_from_then_on(installation: Installation) -> None:
    path = installation.settings.keyring_path
    former = path.read_text()
    Keyring.create(path.with_name("other.json"))
    form, other = json.loads(former), json.loads(path.with_name("other.json").read_text())
    rotated = {
        **form,
        "current": other["current"],
        "encryption_keys": [*form["encryption_keys"], *other["encryption_keys"]],
    }
    path.write_text(json.dumps(rotated))
    assert installation.anjuan("init").returncode == 0
    assert f"keyring/encryption/{other['current']}" in installation.meta
    path.write_text(former)
    installation.is_refused(f"lacks key {other['current']}", "backup")


@pytest.mark.parametrize(("found", "what"), [(2, "newer version"), (0, "needs 1")])
def test_another_storage_format_is_refused(installation: Installation, found: int, what: str) -> None:
    meta = installation.client[installation.settings.database]["meta"]
    meta.update_one({"_id": "format"}, {"$set": {"number": found}})
    installation.is_refused(f"storage format {found}", what)


def test_data_of_a_version_that_wrote_nothing_down_is_taken_over_once(installation: Installation) -> None:
    def commitments() -> dict[str, Any]:
        return {name: {**document, "recorded_at": None} for name, document in installation.meta.items()}

    written = commitments()
    installation.client[installation.settings.database]["meta"].delete_many({})
    done = installation.anjuan("user", "create", "b@example.com", "B", "--role", "AUDITOR")
    assert done.returncode == 0, done.stderr
    assert commitments() == written


def test_up_refuses_to_make_a_keyring_over_data(installation: Installation) -> None:
    installation.settings.keyring_path.unlink()
    before = installation.everything()
    installation.more = {"COLUMNS": "1000"}
    done = installation.anjuan("up", "--no-demo")
    assert done.returncode == 1
    assert "There is no keyring at" in done.stdout
    assert "Traceback" not in done.stderr
    assert installation.everything() == before
    assert not installation.settings.keyring_path.exists()
    # The directory was not its own before, and holds nothing that another program started.
    assert not list((installation.settings.data_dir / "run").glob("*.pid")) or os.name != "posix"
