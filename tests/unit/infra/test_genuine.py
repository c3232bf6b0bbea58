"""The genuine engines do what the product relies on, and a missing one is never hidden."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import BadRequestError, Elasticsearch
from minio import Minio
from minio.commonconfig import COMPLIANCE, ENABLED
from minio.error import S3Error
from minio.retention import Retention
from minio.versioningconfig import VersioningConfig

from infra import genuine
from tests.fixtures import engines
from tests.fixtures.engines import ElasticsearchServer, MinioServer

pytest_plugins = ("tests.fixtures.engines",)

INDEX = "genuine-cases"
MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "title": {"type": "text", "analyzer": "whitespace"},
        "state": {"type": "keyword"},
        "raised": {"type": "date"},
    },
}


@pytest.fixture
def index(elasticsearch_url: ElasticsearchServer) -> Iterator[Elasticsearch]:
    """A client of the genuine server with an empty, strictly mapped index of one shard."""
    if elasticsearch_url.kind == "emulator":
        pytest.skip("says what the genuine Elasticsearch does; java, javac or mvn is missing")
    client = Elasticsearch(elasticsearch_url.url)
    client.options(ignore_status=404).indices.delete(index=INDEX)
    client.indices.create(index=INDEX, mappings=MAPPING, settings={"number_of_shards": 1, "number_of_replicas": 0})
    yield client
    client.indices.delete(index=INDEX)
    client.close()


@pytest.fixture
def locked_store(minio_server: MinioServer | None) -> Minio:
    """A client of the genuine MinIO with a bucket under Object Lock."""
    if minio_server is None:
        pytest.skip("says what the genuine MinIO does; go is missing")
    client = Minio(
        endpoint=minio_server.endpoint,
        access_key=minio_server.access_key,
        secret_key=minio_server.secret_key,
        secure=minio_server.secure,
    )
    if not client.bucket_exists("genuine-locked"):
        client.make_bucket("genuine-locked", object_lock=True)
    return client


def put_cases(client: Elasticsearch, *cases: tuple[str, int, str, str]) -> list[dict[str, Any]]:
    """Bulk-indexes (id, external version, title, state) and gives each item's answer."""
    operations: list[dict[str, Any]] = []
    for number, (case_id, version, title, state) in enumerate(cases):
        operations.append({"index": {"_id": case_id, "version": version, "version_type": "external"}})
        operations.append({"title": title, "state": state, "raised": f"2025-01-{number + 1:02}"})
    answer = client.bulk(index=INDEX, operations=operations, refresh=True)
    return [item["index"] for item in answer["items"]]


class TestElasticsearch:
    def test_it_is_the_version_that_the_build_names(
        self, index: Elasticsearch, elasticsearch_url: ElasticsearchServer
    ) -> None:
        if elasticsearch_url.kind != "genuine":
            pytest.skip("a given server may be of any version")
        nodes = index.nodes.info(filter_path="nodes.*.version")["nodes"]
        assert [node["version"] for node in nodes.values()] == [genuine.elasticsearch_version()]

    def test_a_field_that_the_mapping_does_not_name_is_refused(self, index: Elasticsearch) -> None:
        with pytest.raises(BadRequestError) as refused:
            index.index(index=INDEX, id="cas_1", document={"title": "a", "phone": "13800138000"})
        assert refused.value.error == "strict_dynamic_mapping_exception"
        assert not index.exists(index=INDEX, id="cas_1")

    def test_an_older_or_equal_external_version_is_a_conflict_and_changes_nothing(self, index: Elasticsearch) -> None:
        assert [item["status"] for item in put_cases(index, ("cas_1", 7, "new", "OPEN"))] == [201]

        older, equal, other = put_cases(
            index, ("cas_1", 6, "old", "OPEN"), ("cas_1", 7, "same", "OPEN"), ("cas_2", 1, "fresh", "OPEN")
        )

        assert [older["status"], equal["status"], other["status"]] == [409, 409, 201]
        assert older["error"]["type"] == "version_conflict_engine_exception"
        kept = index.get(index=INDEX, id="cas_1")
        assert (kept["_version"], kept["_source"]["title"]) == (7, "new")

    def test_tokens_cut_by_us_match_as_a_phrase_only_in_their_order(self, index: Elasticsearch) -> None:
        put_cases(
            index,
            ("cas_1", 1, "交货 货延 延迟 contract", "OPEN"),
            ("cas_2", 1, "延迟 交货 货延 contract", "OPEN"),
        )
        found = index.search(index=INDEX, query={"match_phrase": {"title": "货延 延迟"}})
        assert [hit["_id"] for hit in found["hits"]["hits"]] == ["cas_1"]

    def test_the_whitespace_analyzer_keeps_our_tokens_as_they_are(self, index: Elasticsearch) -> None:
        cut = index.indices.analyze(index=INDEX, field="title", text="Ab 合同 x-1/2 tok_3f")
        assert [token["token"] for token in cut["tokens"]] == ["Ab", "合同", "x-1/2", "tok_3f"]

    def test_pages_after_a_point_in_time_do_not_see_later_writes(self, index: Elasticsearch) -> None:
        put_cases(index, *((f"cas_{number}", 1, "合同", "OPEN") for number in range(5)))
        moment = index.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
        put_cases(index, ("cas_9", 1, "合同", "OPEN"))

        seen: list[str] = []
        after: list[Any] | None = None
        while True:
            page = index.search(
                pit={"id": moment, "keep_alive": "1m"},
                query={"match": {"title": "合同"}},
                sort=[{"raised": "desc"}, {"_shard_doc": "asc"}],
                size=2,
                search_after=after,
            )["hits"]["hits"]
            if not page:
                break
            seen += [hit["_id"] for hit in page]
            after = page[-1]["sort"]

        assert seen == ["cas_4", "cas_3", "cas_2", "cas_1", "cas_0"]
        assert index.close_point_in_time(id=moment)["num_freed"] == 1

    def test_terms_aggregations_count_the_filtered_cases(self, index: Elasticsearch) -> None:
        put_cases(
            index,
            ("cas_1", 1, "合同", "OPEN"),
            ("cas_2", 1, "合同", "ARCHIVED"),
            ("cas_3", 1, "合同", "OPEN"),
            ("cas_4", 1, "发票", "CLOSED"),
        )
        answer = index.search(
            index=INDEX,
            size=0,
            query={"bool": {"filter": [{"match_phrase": {"title": "合同"}}]}},
            aggregations={"state": {"terms": {"field": "state"}}},
        )
        buckets = answer["aggregations"]["state"]["buckets"]
        assert {bucket["key"]: bucket["doc_count"] for bucket in buckets} == {"OPEN": 2, "ARCHIVED": 1}


class TestMinio:
    def test_a_version_under_compliance_can_be_neither_deleted_nor_shortened(self, locked_store: Minio) -> None:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        written = locked_store.put_object(
            "genuine-locked", "evidence", io.BytesIO(b"sealed"), 6, retention=Retention(COMPLIANCE, until)
        )
        version = written.version_id

        with pytest.raises(S3Error) as deletion:
            locked_store.remove_object("genuine-locked", "evidence", version_id=version)
        with pytest.raises(S3Error) as shortening:
            locked_store.set_object_retention(
                "genuine-locked",
                "evidence",
                Retention(COMPLIANCE, until - timedelta(days=1)),
                version_id=version,
            )

        assert deletion.value.code == "ObjectLocked" or "WORM" in str(deletion.value)
        assert shortening.value.code in ("ObjectLocked", "AccessDenied", "InvalidRequest")
        kept = locked_store.get_object_retention("genuine-locked", "evidence", version_id=version)
        assert kept is not None
        assert (kept.mode, kept.retain_until_date) == (COMPLIANCE, until)
        assert read_bytes(locked_store, "evidence", version) == b"sealed"

    def test_a_retention_can_be_lengthened(self, locked_store: Minio) -> None:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        longer = until + timedelta(days=1)
        written = locked_store.put_object(
            "genuine-locked", "longer", io.BytesIO(b"x"), 1, retention=Retention(COMPLIANCE, until)
        )
        locked_store.set_object_retention(
            "genuine-locked", "longer", Retention(COMPLIANCE, longer), version_id=written.version_id
        )
        kept = locked_store.get_object_retention("genuine-locked", "longer", version_id=written.version_id)
        assert kept is not None
        assert kept.retain_until_date == longer

    def test_a_delete_without_a_version_only_hides_and_the_version_stays_readable(self, locked_store: Minio) -> None:
        until = datetime.now(UTC) + timedelta(days=1)
        written = locked_store.put_object(
            "genuine-locked", "hidden", io.BytesIO(b"still here"), 10, retention=Retention(COMPLIANCE, until)
        )
        locked_store.remove_object("genuine-locked", "hidden")
        with pytest.raises(S3Error, match="NoSuchKey"):
            locked_store.stat_object("genuine-locked", "hidden")
        assert read_bytes(locked_store, "hidden", written.version_id) == b"still here"

    def test_versioning_of_a_locked_bucket_cannot_be_suspended(self, locked_store: Minio) -> None:
        with pytest.raises(S3Error):
            locked_store.set_bucket_versioning("genuine-locked", VersioningConfig("Suspended"))
        assert locked_store.get_bucket_versioning("genuine-locked").status == ENABLED


def read_bytes(client: Minio, name: str, version: str | None) -> bytes:
    """The bytes of one version in the locked bucket."""
    answer = client.get_object("genuine-locked", name, version_id=version)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


class TestWhichEngine:
    @pytest.fixture(autouse=True)
    def _bare_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("ELASTICSEARCH_URL", "S3_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
            monkeypatch.delenv(f"ANJUAN_TEST_{name}", raising=False)
        monkeypatch.delenv("ANJUAN_REQUIRE_GENUINE", raising=False)

    def test_required_but_missing_is_an_error_and_never_a_stand_in(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("ANJUAN_REQUIRE_GENUINE", "1")
        with (
            pytest.raises(genuine.EngineMissingError, match="java, javac, mvn"),
            engines.running_elasticsearch(),
        ):
            pytest.fail("a stand-in was started")
        with pytest.raises(genuine.EngineMissingError, match="go"), engines.running_minio():
            pytest.fail("a stand-in was started")
        assert all("MISSING" in line for line in engines.engines_report_header())

    def test_missing_and_not_required_is_the_emulator_and_the_header_says_so(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with engines.running_elasticsearch() as server, engines.running_minio() as store:
            assert (server.kind, store) == ("emulator", None)
            with Elasticsearch(server.url) as client:
                client.indices.create(index=INDEX, mappings=MAPPING)
                assert [item["status"] for item in put_cases(client, ("cas_1", 2, "货延 延迟", "OPEN"))] == [201]
                assert [item["status"] for item in put_cases(client, ("cas_1", 1, "延迟", "OPEN"))] == [409]
                found = client.search(index=INDEX, query={"match_phrase": {"title": "货延 延迟"}})
                assert [hit["_id"] for hit in found["hits"]["hits"]] == ["cas_1"]
        header = engines.engines_report_header()
        assert header[0].startswith("elasticsearch: emulator, osmem-server ")
        assert header[1] == "minio: none (no go)"

    def test_a_given_server_is_used_as_it_is_and_its_password_stays_out_of_the_header(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANJUAN_TEST_ELASTICSEARCH_URL", "https://elastic:hush@search.example:9200/")
        monkeypatch.setenv("ANJUAN_TEST_S3_URL", "https://s3.example:9000")
        monkeypatch.setenv("ANJUAN_TEST_S3_ACCESS_KEY", "key")
        monkeypatch.setenv("ANJUAN_TEST_S3_SECRET_KEY", "hush")
        with engines.running_elasticsearch() as server, engines.running_minio() as store:
            assert (server.url, server.kind) == ("https://elastic:hush@search.example:9200", "given")
            assert store == MinioServer("s3.example:9000", "key", "hush", secure=True, kind="given")
        header = "\n".join(engines.engines_report_header())
        assert "given, https://search.example:9200" in header
        assert "hush" not in header + repr(store)

    def test_a_given_object_store_without_keys_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANJUAN_TEST_S3_URL", "https://s3.example:9000")
        with pytest.raises(ValueError, match="ANJUAN_TEST_S3_SECRET_KEY"), engines.running_minio():
            pytest.fail("a store without keys was accepted")

    def test_a_server_that_fails_to_start_says_why(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "import sys; sys.exit('port taken')"]
        with (
            pytest.raises(engines.ServerStartError, match=r"(?s)ended with 1.*port taken"),
            engines.running_server(command, directory=tmp_path, is_ready=lambda: False),
        ):
            pytest.fail("a dead server was taken for a running one")

    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the children")
    def test_a_server_does_not_outlive_a_killed_test_run(self, tmp_path: Path) -> None:
        run = textwrap.dedent(
            """
            import os, pathlib, signal, sys
            from tests.fixtures.engines import running_server
            directory = pathlib.Path(sys.argv[1])
            pid_file = directory / "pid"
            server = [
                sys.executable,
                "-c",
                "import os, pathlib, time; pathlib.Path('part').write_text(str(os.getpid()));"
                "os.rename('part', 'pid'); time.sleep(60)",
            ]
            with running_server(server, directory=directory, is_ready=pid_file.exists):
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        finished = subprocess.run([sys.executable, "-c", run, str(tmp_path)], check=False, timeout=30)
        assert finished.returncode == -9
        server = int((tmp_path / "pid").read_text(encoding="ascii"))
        deadline = time.monotonic() + 5
        while is_alive(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(server)


class TestBuild:
    def test_a_failed_build_leaves_nothing_that_could_be_taken_for_a_finished_one(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        go = tools / "go"
        go.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n", encoding="ascii")
        go.chmod(0o755)
        monkeypatch.setenv("PATH", str(tools), prepend=":")
        with pytest.raises(genuine.EngineMissingError, match=r"(?s)go install failed \(3\).*no such module"):
            genuine.build_minio(tmp_path / "cache", say=str)
        assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]

    def test_the_cache_moves_with_its_variable(self, tmp_path: Path) -> None:
        assert genuine.cache_directory({"ANJUAN_TEST_CACHE": str(tmp_path)}) == tmp_path
        assert genuine.cache_directory({}).parts[-2:] == (".cache", "genuine")


def is_alive(pid: int) -> bool:
    """Whether the process runs: one that has ended and waits to be collected doesn't."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
