"""`anjuan up` that was killed: nothing of it stays, and only what is known to be its own is ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import PROGRAMS, DataDirectory, LocalServers, end_leftovers
from infra.local.process import ServerProcess
from tests.fixtures.engines import free_port

ROOT = Path(__file__).parents[3]
# Stands for the API: named like it, working on the data directory, and deaf to the death of its parent.
DEAF = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); print('up', flush=True); signal.pause()"
)


def is_alive(pid: int) -> bool:
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not check() and time.monotonic() < deadline:
        time.sleep(0.1)
    return check()


def up(data: Path, port: int) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANJUAN_")}
    environment |= {"ANJUAN_DATA_DIR": str(data), "ANJUAN_PORT": str(port), "ANJUAN_LOCAL_PORTS": "auto"}
    command = [sys.executable, "-m", "service.cli", "up", "--no-demo"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line)
        if "Ctrl-C stops everything" in line:
            return
    pytest.fail("".join(told))


def pids(data: Path) -> dict[str, int]:
    return {path.stem: int(path.read_text().split()[0]) for path in (data / "run").glob("*.pid")}


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process on this data directory that does not end with its parent."""
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    directory.close()
    command = [sys.executable, "-c", DEAF, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_an_up_that_is_killed_takes_api_and_worker_with_it_and_the_next_start_is_clean(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    first = up(data, port)
    wait_until_ready(first)
    running = pids(data)
    assert running.keys() == PROGRAMS.keys()
    assert all(is_alive(pid) for pid in running.values())
    logs = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data / "logs").iterdir()}
    assert logs == {f"{name}.log": 0o600 for name in PROGRAMS}
    # Another one on the same directory is refused and takes nothing away from the first.
    refused = up(data, free_port())
    assert "in use by process" in " ".join(refused.communicate(timeout=30)[0].split())
    assert (data / "running.json").exists()

    first.kill()
    first.wait()
    second = up(data, port)  # at once, on the same port, while the first one's are still ending
    try:
        wait_until_ready(second)
        assert not any(is_alive(pid) for pid in running.values())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            assert all(json.load(answer)["parts"].values())
    finally:
        second.send_signal(signal.SIGINT)
        assert second.wait(60) == 0
    assert not any(is_alive(pid) for pid in running.values())
    assert pids(data) == {}


@pytest.mark.parametrize("name", ["serve", "worker"])
def test_down_ends_what_a_killed_up_left_behind(bystander: subprocess.Popen[str], tmp_path: Path, name: str) -> None:
    (tmp_path / "data" / "run" / f"{name}.pid").write_text(f"{bystander.pid}\n{sys.executable}\n")
    command = [sys.executable, "-m", "infra.local", "down", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Stopped what ran" in done.stdout
    assert bystander.wait(10) == 0


def test_the_next_start_ends_what_a_killed_up_left_behind(bystander: subprocess.Popen[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "run" / "serve.pid").write_text(f"{bystander.pid}\n{sys.executable}\n")
    told: list[str] = []
    with LocalServers(tmp_path / "data", mongo=False, objects=False, report=told.append):
        assert bystander.wait(10) == 0
    assert told == ["Ended the API, which an earlier run had left behind"]


def test_a_process_of_another_data_directory_is_left_alone(bystander: subprocess.Popen[str], tmp_path: Path) -> None:
    other = DataDirectory(tmp_path / "other")
    other.open()
    (other.path / "run" / "serve.pid").write_text(f"{bystander.pid}\n{sys.executable}\n")
    assert list(end_leftovers(other)) == []
    assert bystander.poll() is None
    other.close()


def test_a_log_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.open()
    log = directory.path / "logs" / "serve.log"
    log.write_text("of an earlier version\n")
    log.chmod(0o644)
    process = ServerProcess("the API", "serve", directory.path)
    process.start([sys.executable, "-c", "print('later')"], cwd=tmp_path)
    assert eventually(lambda: process.exit_code() == 0)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert process.last_lines(2) == ["of an earlier version", "later"]
    with contextlib.closing(directory):
        process.stop(1)
