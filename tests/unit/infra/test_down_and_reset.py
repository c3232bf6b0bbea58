"""`make down` and `make reset`: they end and remove what is Anjuan's, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import DataDirectory

ROOT = Path(__file__).parents[3]
# Holds the data directory as `anjuan up` does, and ends in order on SIGTERM.
HOLDER = """
import pathlib, signal, sys
from infra.local import LocalServers
servers = LocalServers(pathlib.Path(sys.argv[1]), mongo=False, objects=False)
servers.start()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(servers.stop()))
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def call(*arguments: str | Path, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.local", *map(str, arguments)]
    return subprocess.run(command, input=answer, capture_output=True, text=True, cwd=ROOT, check=False)


def test_down_ends_the_holder_in_order_and_keeps_the_data(running: subprocess.Popen[str], tmp_path: Path) -> None:
    done = call("down", tmp_path / "data")
    assert done.returncode == 0
    assert "its data is kept" in done.stdout
    assert running.wait(10) == 0
    assert (tmp_path / "data" / "secrets.json").exists()
    assert "Nothing runs" in call("down", tmp_path / "data").stdout


def test_reset_refuses_while_it_runs(running: subprocess.Popen[str], tmp_path: Path) -> None:
    done = call("reset", tmp_path / "data", "--yes")
    assert done.returncode == 1
    assert f"process {running.pid}" in done.stderr
    assert (tmp_path / "data" / "secrets.json").exists()
    assert running.poll() is None


@pytest.mark.parametrize(("answer", "removed"), [("yes\n", True), ("y\n", False), ("\n", False)])
def test_reset_removes_the_data_only_after_a_yes(tmp_path: Path, answer: str, removed: bool) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    directory.close()
    assert call("reset", tmp_path / "data", answer=answer).returncode == 0
    assert directory.path.exists() is not removed


def test_reset_without_anybody_to_ask_removes_nothing(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    directory.close()
    done = call("reset", tmp_path / "data")
    assert "Nothing was removed" in done.stdout
    assert directory.path.exists()


def test_reset_leaves_a_directory_of_somebody_else_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("mine")
    done = call("reset", tmp_path, "--yes")
    assert done.returncode == 1
    assert "nothing was removed" in done.stderr
    assert (tmp_path / "thesis.odt").read_text() == "mine"
