"""The data directory: modes, format, lock, secrets, and never somebody else's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import AlreadyRunning, DataDirectory, StaleData
from infra.local.directory import FORMAT


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_directory_and_its_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    directory.secrets()
    assert mode(directory.path) == 0o700
    assert {mode(path) for path in directory.path.iterdir() if path.is_file()} == {0o600}
    assert (directory.path / "format").read_text() == f"{FORMAT}\n"
    directory.close()


def test_the_owner_alone_whatever_the_umask_says(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        directory = DataDirectory(tmp_path / "data")
        directory.open()
        directory.secrets()
    finally:
        os.umask(former)
    assert mode(directory.path / "secrets.json") == 0o600
    assert mode(directory.path) == 0o700
    directory.close()


def test_secrets_are_made_once_and_differ_between_directories(tmp_path: Path) -> None:
    made = []
    for name in ("one", "one", "two"):
        directory = DataDirectory(tmp_path / name)
        directory.open()
        made.append(directory.secrets())
        directory.close()
    assert made[0] == made[1]
    assert made[0].mongo_password != made[2].mongo_password
    assert made[0].s3_secret_key not in repr(made[0])


def test_a_second_start_on_the_same_directory_is_told_who_has_it(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path / "data")
    first.open()
    second = DataDirectory(tmp_path / "data")
    assert second.holder() == os.getpid()
    with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}.*make down"):
        second.open()
    first.close()
    assert second.holder() is None
    second.open()
    second.close()


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, os; from infra.local import DataDirectory;"
        "d = DataDirectory(pathlib.Path(sys.argv[1])); d.open(); os.kill(os.getpid(), 9)"
    )
    data = tmp_path / "data"
    done = subprocess.run([sys.executable, "-c", script, str(data)], check=False)
    assert done.returncode == -9
    directory = DataDirectory(data)
    directory.open()
    directory.close()


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        (str(FORMAT + 1), "newer version"),
        (str(FORMAT - 1), "make reset"),
        ("", "make reset"),
        ("x", "backup"),
    ],
)
def test_another_format_is_refused_with_its_remedy(tmp_path: Path, found: str, remedy: str) -> None:
    (tmp_path / "format").write_text(found)
    with pytest.raises(StaleData, match=remedy):
        DataDirectory(tmp_path).open()


def test_a_directory_with_other_files_is_neither_taken_nor_changed_nor_removed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.odt").write_text("mine")
    with pytest.raises(StaleData, match=r"thesis\.odt.*ANJUAN_DATA_DIR"):
        DataDirectory(tmp_path).open()
    with pytest.raises(StaleData, match="nothing was removed"):
        DataDirectory(tmp_path).remove()
    assert mode(tmp_path) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.odt"]


def test_data_without_its_secrets_is_refused(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    (directory.path / "mongo").mkdir()
    with pytest.raises(StaleData, match=r"secrets\.json is gone.*backup"):
        directory.secrets()
    assert not (directory.path / "secrets.json").exists()
    directory.close()


def test_secrets_that_others_could_read_are_refused_with_the_remedy(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    directory.secrets()
    (directory.path / "secrets.json").chmod(0o640)
    with pytest.raises(StaleData, match="chmod 600"):
        directory.secrets()
    directory.close()


@pytest.mark.parametrize("content", ["{}", "[]", "not json", json.dumps({"mongo_password": "x"})])
def test_broken_secrets_are_refused_without_being_shown(tmp_path: Path, content: str) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    path = directory.path / "secrets.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StaleData, match="backup"):
        directory.secrets()
    directory.close()


def test_reset_removes_a_directory_that_is_not_in_use(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    with pytest.raises(AlreadyRunning):
        DataDirectory(tmp_path / "data").remove()
    assert (directory.path / "format").exists()
    directory.close()
    directory.remove()
    assert not directory.path.exists()
