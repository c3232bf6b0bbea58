"""The doctor: healthy parts pass, each fault is found with a remedy, and no secret is ever told."""

from __future__ import annotations

import io
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import GOVERNANCE
from minio.objectlockconfig import DAYS, ObjectLockConfig
from pymongo import MongoClient

from infra.doctor import Finding, MongoPart, ObjectsPart, Parts, examine
from infra.local import Endpoints, LocalServers, Ports
from service.installation.model import STORAGE_FORMAT


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServers]:
    servers = LocalServers(tmp_path_factory.mktemp("doctor") / "data", ports=Ports.free())
    servers.start()
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def store(servers: LocalServers) -> Minio:
    ends = servers.endpoints()
    address = ends.s3_endpoint.removeprefix("http://")
    store = Minio(endpoint=address, access_key=ends.s3_access_key, secret_key=ends.s3_secret_key, secure=False)
    store.make_bucket(bucket_name="anjuan", object_lock=True)
    return store


@pytest.fixture
def healthy(servers: LocalServers, store: Minio) -> Parts:
    ends, data = servers.endpoints(), servers.directory.path
    (data / "index").mkdir(mode=0o700, exist_ok=True)
    (data / "keyring.json").touch(mode=0o600)
    return Parts(
        data_dir=data,
        keyring=data / "keyring.json",
        index=data / "index",
        mongo=MongoPart(ends.mongo_url, "doctor"),
        objects=objects(ends),
        ports={"mongod": servers.ports.mongo, "S3": servers.ports.s3},
    )


def objects(ends: Endpoints, bucket: str = "anjuan") -> ObjectsPart:
    return ObjectsPart(ends.s3_endpoint, ends.s3_access_key, ends.s3_secret_key, bucket)


def faults(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.part: finding for finding in findings if not finding.ok}


def test_a_healthy_installation_passes_in_every_part(healthy: Parts) -> None:
    findings = examine(healthy)
    assert faults(findings) == {}
    assert {finding.part for finding in findings} == {
        *("python", "libraries", "data directory", "keyring", "disk space"),
        *("ports", "mongodb", "storage", "objects", "index", "reading"),
    }
    assert all(finding.remedy == "" for finding in findings)


def test_no_finding_tells_a_secret(healthy: Parts, servers: LocalServers) -> None:
    assert healthy.mongo is not None
    wrong = replace(
        healthy,
        mongo=MongoPart(healthy.mongo.url.replace("mongodb://anjuan:", "mongodb://anjuan:x"), "doctor"),
        objects=ObjectsPart(servers.endpoints().s3_endpoint, servers.endpoints().s3_access_key, "xx", "anjuan"),
    )
    told = repr(examine(wrong)) + repr(wrong)
    secrets = servers.directory.secrets()
    assert {"mongodb", "objects"} <= faults(examine(wrong)).keys()
    assert secrets.mongo_password not in told
    assert secrets.s3_secret_key not in told


def test_files_that_others_can_read_are_found(healthy: Parts) -> None:
    assert healthy.keyring is not None
    healthy.keyring.chmod(0o644)
    try:
        finding = faults(examine(healthy))["keyring"]
    finally:
        healthy.keyring.chmod(0o600)
    assert "0644" in finding.message
    assert f"chmod 600 {healthy.keyring}" in finding.remedy


def test_lost_directories_are_found(healthy: Parts, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    found = faults(examine(replace(healthy, data_dir=gone, keyring=gone / "k", index=gone / "i")))
    assert found.keys() == {"data directory", "keyring", "index"}
    assert "make up" in found["data directory"].remedy
    assert "restore" in found["keyring"].remedy


def test_servers_that_are_down_are_found(healthy: Parts) -> None:
    ports = Ports.free()
    down = replace(
        healthy,
        mongo=MongoPart(f"mongodb://127.0.0.1:{ports.mongo}/?replicaSet=anjuan", "doctor"),
        objects=ObjectsPart(f"http://127.0.0.1:{ports.s3}", "key", "secret", "anjuan"),
        ports={"API": ports.filer},
    )
    found = faults(examine(down))
    assert found.keys() == {"mongodb", "objects", "ports"}
    assert all("make up" in finding.remedy for finding in found.values())


def test_a_taken_port_is_found_before_the_start(healthy: Parts) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        found = faults(examine(replace(healthy, ports={"API": taken}, running=False)))
    assert str(taken) in found["ports"].message


def test_buckets_that_protect_too_little_or_too_much_are_found(
    healthy: Parts, servers: LocalServers, store: Minio
) -> None:
    ends = servers.endpoints()
    store.make_bucket(bucket_name="open")
    store.put_object(bucket_name="open", object_name="o", data=io.BytesIO(b"o"), length=1)
    store.make_bucket(bucket_name="default", object_lock=True)
    store.set_object_lock_config(bucket_name="default", config=ObjectLockConfig(GOVERNANCE, 1, DAYS))
    told = {
        name: faults(examine(replace(healthy, objects=objects(ends, name))))["objects"]
        for name in ("open", "default", "none")
    }
    assert "Object Lock" in told["open"].message
    assert "default retention" in told["default"].message
    assert "anjuan init" in told["none"].remedy


def test_a_storage_format_and_a_keyring_that_are_not_the_datas_are_found(healthy: Parts) -> None:
    assert healthy.mongo is not None
    of_another = replace(healthy, mongo=replace(healthy.mongo, database="another"))
    with MongoClient[dict[str, Any]](healthy.mongo.url) as client:
        meta = client["another"]["meta"]
        meta.insert_many([{"_id": "format", "number": STORAGE_FORMAT}, {"_id": "keyring/root", "commitment": "aa"}])
        assert faults(examine(replace(of_another, commitments={"root": "aa"}))) == {}
        found = faults(examine(replace(of_another, commitments={"root": "bb"})))
        assert found.keys() == {"keyring"}
        assert "backup" in found["keyring"].remedy
        meta.update_one({"_id": "format"}, {"$set": {"number": STORAGE_FORMAT + 1}})
        found = faults(examine(replace(of_another, commitments={"root": "aa"})))
    assert found.keys() == {"storage"}
    assert "newer" in found["storage"].remedy


def test_a_check_that_breaks_is_a_finding(healthy: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    finding = faults(examine(healthy))["disk"]
    assert "RuntimeError" in finding.message
    assert "boom" not in finding.message
