"""From a bare Python: stale locks, pip's own index and certificates, locks that name no host."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import bootstrap
from infra.bootstrap import ROOT, Remedy, require_fresh, uv_environment

LOCKS = (bootstrap.RUNTIME_LOCK, bootstrap.DEV_LOCK)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*LOCKS, "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS)
def test_the_committed_locks_are_fresh(lock: str) -> None:
    require_fresh(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_new_dependency_makes_the_locks_stale(checkout: Path, lock: str) -> None:
    edit(checkout / "pyproject.toml", "dependencies = [", 'dependencies = [\n  "left-pad",')
    with pytest.raises(Remedy, match="stale.*make lock"):
        require_fresh(lock)


def test_a_new_description_does_not_make_the_locks_stale(checkout: Path) -> None:
    edit(checkout / "pyproject.toml", "description = ", "description  =  ")
    require_fresh(bootstrap.RUNTIME_LOCK)


def test_a_missing_lock_is_named_with_its_remedy(checkout: Path) -> None:
    (checkout / bootstrap.RUNTIME_LOCK).unlink()
    with pytest.raises(Remedy, match="missing.*make lock"):
        require_fresh(bootstrap.RUNTIME_LOCK)


@pytest.mark.parametrize("lock", [*LOCKS, bootstrap.UV_LOCK])
def test_locks_pin_all_by_hash_and_name_no_host_and_no_path(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"(?:^|[\s'\"=])/\w", text)
    blocks = re.split(r"^(?=[\w.-]+(?:\[[^]]*\])?==)", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_runtime_lock_is_part_of_the_other() -> None:
    runtime, dev = (
        set(re.findall(r"^[\w.-]+(?:\[[^]]*\])?==[^ ]+", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS
    )
    assert runtime < dev


def test_uv_asks_the_index_that_pip_is_configured_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "SSL_CERT_FILE", "UV_INSECURE_HOST"):
        monkeypatch.delenv(name, raising=False)
    environment = uv_environment(
        {
            "index-url": "https://mirror.example/simple",
            "extra-index-url": "https://one.example\nhttps://two.example",
            "find-links": f"{tmp_path} /nowhere/at/all",
            "cert": "/etc/ca.pem",
        }
    )
    assert environment["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert environment["UV_INDEX"] == "https://one.example https://two.example"
    assert environment["UV_FIND_LINKS"] == str(tmp_path)
    assert environment["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert "UV_INSECURE_HOST" not in environment


def test_what_is_set_for_uv_itself_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    assert uv_environment({"index-url": "https://pip.example"})["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


def test_pip_index_from_the_environment_beats_that_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://file.example\ncert = /file.pem\n")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.example")
    found = bootstrap.pip_configuration()
    assert found["index-url"] == "https://environment.example"
    assert found["cert"] == "/file.pem"


def test_a_python_that_is_too_old_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 9, "final", 0))
    with pytest.raises(Remedy, match=r"Python 3\.10; Anjuan needs 3\.11"):
        bootstrap.require_system()


def test_missing_modules_and_libraries_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without_venv:
        without_venv.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(Remedy, match="apt-get install python3-venv"):
            bootstrap.require_system()

    def absent(_: str) -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("ANJUAN_MONGO_URL", raising=False)
    with pytest.raises(Remedy, match="apt-get install libcurl4"):
        bootstrap.require_system()


def test_make_without_a_target_lists_the_targets() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("up", "test", "check", "bench", "down", "reset", "lock", "doctor"):
        assert f"make {target} " in shown
