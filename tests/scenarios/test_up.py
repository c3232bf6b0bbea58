"""`anjuan up`, as people use it: stopped in the middle of the demo, started again, started elsewhere."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.engines import free_port

ROOT = Path(__file__).parents[2]


def up(data: Path, port: int, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANJUAN_")}
    environment |= {"ANJUAN_DATA_DIR": str(data), "ANJUAN_PORT": str(port), "ANJUAN_LOCAL_PORTS": "auto"}
    environment["COLUMNS"] = "1000"
    command = [sys.executable, "-m", "service.cli", "up", *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def told_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if words in line:
            return told
    pytest.fail(told)


def stop(process: subprocess.Popen[str], sign: int = signal.SIGINT) -> str:
    """Stops it; it must end in order. Returns what it told at the end."""
    process.send_signal(sign)
    told = process.communicate(timeout=90)[0]
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert "rror" not in told
    return told


def test_a_demo_that_was_cut_short_begins_anew_and_its_address_is_that_of_the_last_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    # Given two starts that are stopped while the demo is loaded: once in order, once not
    first = up(data, free_port(), "--scale", "0.03")
    told_until(first, "customers are on file")
    assert "the next `make up` begins it anew" in stop(first)
    assert not (data / "demo.json").exists()
    second = up(data, free_port(), "--scale", "0.03")
    assert "cut short at an earlier start" in told_until(second, "customers are on file")
    second.kill()
    second.communicate()
    # Then the next one loads it
    port = free_port()
    third = up(data, port, "--scale", "0.03")
    told = told_until(third, "Ctrl-C stops everything")
    assert "cut short at an earlier start" in told
    assert "The demo data is loaded." in told
    before = json.loads((data / "demo.json").read_text("utf-8"))
    assert before["url"] == f"http://127.0.0.1:{port}"
    stop(third)
    # And a start on another port says so, to its reader alone
    port = free_port()
    fourth = up(data, port)
    assert "There are customers already" in told_until(fourth, "Ctrl-C stops everything")
    after = json.loads((data / "demo.json").read_text("utf-8"))
    assert after == {**before, "url": f"http://127.0.0.1:{port}"}
    assert stat.S_IMODE((data / "demo.json").stat().st_mode) == 0o600
    stop(fourth, signal.SIGTERM)
