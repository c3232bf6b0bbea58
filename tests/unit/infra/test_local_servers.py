"""The embedded servers, for real: authentication, Object Lock, restarts on other ports, kill -9."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.error import S3Error
from minio.retention import Retention
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from infra.local import AlreadyRunning, Endpoints, LocalServers, MissingLibrary, PortInUse, Ports, StaleData
from infra.local.process import ServerProcess
from infra.local.programs import mongod_version

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServers]:
    servers = LocalServers(tmp_path_factory.mktemp("local"), ports=Ports.free())
    servers.start()
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def endpoints(servers: LocalServers) -> Endpoints:
    return servers.endpoints()


def mongo(url: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(url, serverSelectionTimeoutMS=10_000, tz_aware=True)


def s3(endpoints: Endpoints, secret: str | None = None) -> Minio:
    return Minio(
        endpoint=endpoints.s3_endpoint.removeprefix("http://"),
        access_key=endpoints.s3_access_key,
        secret_key=secret or endpoints.s3_secret_key,
        secure=False,
    )


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(S3Error) as caught:
        attempt()
    return str(caught.value.code)


def test_mongod_has_transactions_and_change_streams(endpoints: Endpoints) -> None:
    with mongo(endpoints.mongo_url) as client:
        notes = client.local_servers.notes
        notes.insert_one({"n": 0})
        with notes.watch() as changes:
            with client.start_session() as session, session.start_transaction():
                notes.insert_one({"n": 1}, session=session)
            change = changes.next()
        assert change["fullDocument"]["n"] == 1


def test_nobody_reads_mongod_without_the_password(servers: LocalServers, endpoints: Endpoints) -> None:
    with mongo(f"mongodb://127.0.0.1:{servers.ports.mongo}/?directConnection=true") as stranger:
        with pytest.raises(OperationFailure, match="authentication"):
            stranger.local_servers.notes.find_one()
        with pytest.raises(OperationFailure, match="authentication"):
            stranger.admin.command("createUser", "evil", pwd="evil", roles=["root"])
    wrong = endpoints.mongo_url.replace("mongodb://anjuan:", "mongodb://anjuan:x")
    with mongo(wrong) as guesser, pytest.raises(PyMongoError, match="Authentication failed"):
        guesser.local_servers.notes.find_one()


def test_the_service_user_can_neither_make_users_nor_change_the_replica_set(endpoints: Endpoints) -> None:
    with mongo(endpoints.mongo_url) as client:
        new_set = {"_id": "anjuan", "version": 99, "members": []}
        commands: list[dict[str, Any]] = [
            {"createUser": "evil", "pwd": "evil", "roles": ["root"]},
            {"grantRolesToUser": "anjuan", "roles": ["root"]},
            {"replSetReconfig": new_set, "force": True},
            {"shutdown": 1},
        ]
        for command in commands:
            with pytest.raises(OperationFailure, match="not authorized"):
                client.admin.command(command)


def test_everything_listens_on_the_loopback_address_only(servers: LocalServers) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address")
        address = probe.getsockname()[0]
    for port in servers.ports.numbers("mongo", "s3", "master", "volume", "filer"):
        with pytest.raises(OSError, match=r"refused|unreachable"):
            socket.create_connection((address, port), timeout=2).close()


def test_an_object_under_compliance_retention_outlasts_everybody(endpoints: Endpoints) -> None:
    store = s3(endpoints)
    store.make_bucket(bucket_name="locked", object_lock=True)
    assert store.get_bucket_versioning(bucket_name="locked").status == "Enabled"
    made = store.put_object(bucket_name="locked", object_name="a/b", data=io.BytesIO(b"kept"), length=4)
    which: dict[str, Any] = {"bucket_name": "locked", "object_name": "a/b", "version_id": made.version_id}
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)

    def retain(mode: str, moment: datetime) -> None:
        store.set_object_retention(**which, config=Retention(mode, moment))

    retain(COMPLIANCE, until)
    assert refusal(lambda: store.remove_object(**which)) == "AccessDenied"
    assert refusal(lambda: retain(COMPLIANCE, until - timedelta(days=1))) == "AccessDenied"
    assert refusal(lambda: retain(GOVERNANCE, until)) == "AccessDenied"
    assert refusal(lambda: store.remove_bucket(bucket_name="locked")) == "BucketNotEmpty"
    retain(COMPLIANCE, until + timedelta(days=1))
    store.remove_object(bucket_name="locked", object_name="a/b")  # a delete marker, nothing more
    retention = store.get_object_retention(**which)
    assert retention is not None
    assert retention.retain_until_date == until + timedelta(days=1)
    assert store.get_object(**which).data == b"kept"


def test_nobody_reaches_objects_without_the_keys(servers: LocalServers, endpoints: Endpoints) -> None:
    assert refusal(lambda: s3(endpoints, secret="guess").list_buckets()) == "SignatureDoesNotMatch"
    behind = f"http://127.0.0.1:{servers.ports.filer}/buckets/anjuan-probe/ready"
    for method in ("GET", "PUT", "DELETE"):
        request = urllib.request.Request(behind, method=method, data=b"x" if method == "PUT" else None)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        assert caught.value.code == 401


def test_logs_and_command_lines_hold_no_secret(servers: LocalServers, endpoints: Endpoints) -> None:
    hidden = [endpoints.s3_secret_key, endpoints.mongo_url.split(":")[2].split("@")[0]]
    texts = [path.read_text(errors="replace") for path in (servers.directory.path / "logs").iterdir()]
    texts += [Path(f"/proc/{pid}/cmdline").read_text() for pid in servers.pids().values()]
    texts.append(repr(endpoints))
    assert len(texts) == 5
    assert not [secret for secret in hidden for text in texts if secret in text]


def test_data_outlives_a_kill_and_a_change_of_ports(tmp_path: Path) -> None:
    first = LocalServers(tmp_path / "data", ports=Ports.free())
    endpoints = first.start()
    with mongo(endpoints.mongo_url) as client:
        client.app.notes.insert_one({"_id": "kept"})
    s3(endpoints).make_bucket(bucket_name="files", object_lock=True)
    s3(endpoints).put_object(bucket_name="files", object_name="f", data=io.BytesIO(b"kept"), length=4)
    for pid in first.pids().values():
        os.kill(pid, signal.SIGKILL)
    while first.failed() is None:
        time.sleep(0.05)
    first.stop()
    with LocalServers(tmp_path / "data", ports=Ports.free()) as moved:
        assert moved.mongo_url != endpoints.mongo_url
        with mongo(moved.mongo_url) as client:
            assert client.app.notes.find_one() == {"_id": "kept"}
            assert client.app.notes.insert_one({}).acknowledged
        assert s3(moved).get_object(bucket_name="files", object_name="f").data == b"kept"
        s3(moved).put_object(bucket_name="files", object_name="g", data=io.BytesIO(b"new"), length=3)


def test_servers_end_with_a_parent_that_is_killed_and_the_next_start_is_clean(tmp_path: Path) -> None:
    data = tmp_path / "data"
    script = (
        "import sys, pathlib, time; from infra.local import LocalServers, Ports;"
        "s = LocalServers(pathlib.Path(sys.argv[1]), ports=Ports.free(), objects=False); s.start();"
        "print(s.pids()['mongod'], flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(data)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        with pytest.raises(AlreadyRunning, match=str(parent.pid)):
            LocalServers(data, ports=Ports.free()).start()
        parent.kill()
    with (
        LocalServers(data, ports=Ports.free(), objects=False) as endpoints,
        mongo(endpoints.mongo_url) as client,
    ):
        assert client.admin.command("ping")["ok"] == 1
    assert not Path(f"/proc/{orphan}").exists() or Path(f"/proc/{orphan}/cmdline").read_bytes() == b""


def test_a_pid_file_of_a_process_that_is_not_ours_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    bystander = subprocess.Popen([shutil.which("sleep") or "sleep", "60"])
    try:
        (tmp_path / "run" / "mongod.pid").write_text(f"{bystander.pid}\n/opt/mongod\n")
        assert ServerProcess("mongod", "mongod", tmp_path).end_leftover() is False
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_taken_port_stops_the_start_and_leaves_nothing_running(tmp_path: Path) -> None:
    ports = Ports.free()
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.mongo))
        other.listen()
        servers = LocalServers(tmp_path / "data", ports=ports)
        with pytest.raises(PortInUse, match=str(ports.mongo)):
            servers.start()
    assert servers.pids() == {}
    assert servers.directory.holder() is None


def test_secrets_of_another_directory_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with LocalServers(tmp_path / "data", ports=Ports.free(), objects=False):
        pass
    with LocalServers(tmp_path / "other", ports=Ports.free(), objects=False, mongo=False):
        pass
    shutil.copy2(tmp_path / "other" / "secrets.json", tmp_path / "data" / "secrets.json")
    servers = LocalServers(tmp_path / "data", ports=Ports.free(), objects=False)
    with pytest.raises(StaleData, match=r"secrets\.json.*make reset"):
        servers.start()
    assert servers.pids() == {}


@pytest.mark.parametrize(
    ("library", "remedy"),
    [("libcurl.so.4", "apt-get install libcurl4"), ("libunheard.so.1", "brings libunheard.so.1")],
)
def test_a_missing_system_library_is_named_with_its_remedy(tmp_path: Path, library: str, remedy: str) -> None:
    program = tmp_path / "mongod"
    program.write_text(
        f"#!/bin/sh\necho 'mongod: error while loading shared libraries: {library}: cannot open it' >&2\nexit 127\n"
    )
    program.chmod(0o755)
    with pytest.raises(MissingLibrary, match=remedy) as caught:
        mongod_version(program)
    assert library in str(caught.value)
