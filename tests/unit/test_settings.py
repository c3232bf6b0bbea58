"""Settings that can't be meant: one sentence that names the variable and what is accepted, and never the value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import Ports
from service.config import BadSettings, Settings

ROOT = Path(__file__).parents[2]
WRONG = [
    ("PORT", "abc", "a valid integer"),
    ("PORT", "70000", "less than or equal to 65535"),
    ("MONGO_DRIVER", "foo", "'pymongo' or 'motor'"),
    ("MONGO_URL", "s3cret-host:27017", "mongodb://user:password@host:port"),
    ("DATABASE", "a b", "letters, digits"),
    ("S3_ENDPOINT", "foo", "http(s)://host:port"),
    ("S3_ENDPOINT", "http://host:port", "ort"),
    ("S3_ENDPOINT", "http://key:s3cret@host", "nothing more"),
    ("S3_BUCKET", "Evidence!", "lower-case"),
    ("SEARCH_URL", "localhost:9200", "http(s)://"),
    ("TRUSTED_PROXIES", "foo", "10.0.0.0/8"),
    ("TIME_ZONE", "Nope", "Asia/Shanghai"),
    ("TIME_ZONE", "../etc/passwd", "Asia/Shanghai"),
    ("LOG_LEVEL", "LOUD", "DEBUG or INFO"),
    ("TLS_CERT", "/nowhere.pem", "PEM"),
    ("OIDC_ISSUER", "http://login.s3cret.example", "https://host/path"),
    ("OIDC_RETURN_URL", "https://console.example/#s3cret", "without query and fragment"),
    ("OIDC_ALGORITHM", "HS256", "'RS256', 'ES256' or 'EdDSA'"),
    ("RETENTION_YEARS", "three", "a valid integer"),
]


@pytest.mark.parametrize(("name", "value", "accepted"), WRONG)
def test_a_wrong_setting_is_named_with_what_is_accepted(
    name: str, value: str, accepted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ANJUAN_{name}", value)
    with pytest.raises(BadSettings) as caught:
        Settings.read(_env_file=None)
    told = str(caught.value)
    assert told.startswith(f"ANJUAN_{name} ")
    assert accepted in told
    assert "s3cret" not in told + repr(caught.value.__context__)


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANJUAN_PORT", "abc")
    monkeypatch.setenv("ANJUAN_TIME_ZONE", "Nope")
    with pytest.raises(BadSettings, match=r"ANJUAN_PORT .*ANJUAN_TIME_ZONE "):
        Settings.read(_env_file=None)


@pytest.mark.parametrize(("name", "other"), [("OIDC_AUDIENCE", "OIDC_CLIENT_ID"), ("OIDC_ISSUER", "TOKEN_ISSUER")])
def test_tokens_of_different_kinds_are_kept_apart(name: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (name, other):
        monkeypatch.setenv(f"ANJUAN_{one}", "https://s3cret.example")
    with pytest.raises(BadSettings) as caught:
        Settings.read(_env_file=None)
    told = str(caught.value)
    assert told.startswith(f"ANJUAN_{name} must differ from ANJUAN_{other}. ")
    assert "s3cret" not in told + repr(caught.value.__context__)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "MONGO_URL", "S3_ENDPOINT", "TIME_ZONE"):
        monkeypatch.setenv(f"ANJUAN_{name}", "")
    settings = Settings.read(_env_file=None)
    assert (settings.port, settings.mongo_url, settings.s3_endpoint) == (8420, None, None)


def anjuan(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANJUAN_")}
    environment |= {f"ANJUAN_{name.upper()}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)


def is_one_sentence(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize("command", ["up", "serve", "worker", "init", "doctor"])
def test_every_command_tells_a_wrong_setting_in_one_sentence(command: str, tmp_path: Path) -> None:
    is_one_sentence(anjuan(command, data_dir=str(tmp_path), port="abc"), "ANJUAN_PORT", "integer")


def test_init_tells_what_cannot_be_reached(mongo_server: str, mongo_database_name: str, tmp_path: Path) -> None:
    ports = Ports.free()
    nowhere = f"http://127.0.0.1:{ports.s3}"
    url = f"mongodb://me:s3cret@127.0.0.1:{ports.mongo}/?replicaSet=anjuan"
    parts = {"data_dir": str(tmp_path), "database": mongo_database_name, "s3_endpoint": nowhere}
    parts |= {"s3_access_key": "key", "s3_secret_key": "s3cret"}

    no_mongo = anjuan("init", **parts, mongo_url=url)
    is_one_sentence(no_mongo, f"127.0.0.1:{ports.mongo}", "can't be reached", "ANJUAN_MONGO_URL")
    no_objects = anjuan("init", **parts, mongo_url=mongo_server)
    is_one_sentence(no_objects, f"127.0.0.1:{ports.s3}", "can't be reached", "ANJUAN_S3_ENDPOINT")
    unreadable = anjuan("init", **parts, mongo_url="mongodb://me:s3c@ret@host")
    is_one_sentence(unreadable, "percent-encoded")
    wrong = anjuan("init", **parts, mongo_url=mongo_server.replace("mongodb://anjuan:", "mongodb://anjuan:s3cret"))
    is_one_sentence(wrong, "refuses", "ANJUAN_MONGO_URL")
    for done in (no_mongo, no_objects, unreadable, wrong):
        assert "s3c" not in done.stderr + done.stdout
