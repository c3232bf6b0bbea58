"""Builds the genuine engines that the tests and the benchmarks run against: Elasticsearch and MinIO.

Run as a script (`python3 infra/genuine.py`) it builds both, or names what is missing; it needs nothing but
the standard library, so it works before the virtual environment exists. What was built stays in
`.cache/genuine/` (or the directory that `ANJUAN_TEST_CACHE` names), in a folder named after versions and
sources, so that a second run only looks. Packages come through the machine's own `mvn` and `go` clients
with whatever settings these have.

- Elasticsearch comes from its public Maven artifacts; `infra/elasticsearch/` holds the list and a small
  launcher. Not there, compared with a distribution: `GET /`, scripts, reindex, ingest, the language
  analysers. The product uses none of them.
- MinIO comes by `go install` at a pinned version.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""Pinned; a newer one is found by `go list -m github.com/minio/minio@latest`."""

ELASTICSEARCH_TOOLS = ("java", "javac", "mvn")
MINIO_TOOLS = ("go",)

_REPOSITORY = Path(__file__).resolve().parent.parent
_SOURCES = _REPOSITORY / "infra" / "elasticsearch"
_NETTY_MODULE = "transport-netty4"
_LONGEST_BUILD_SECONDS = 1200

Say = Callable[[str], object]


class EngineMissingError(Exception):
    """A genuine engine can't be had on this machine; the message names what is missing or failed."""


@dataclass(frozen=True)
class ElasticsearchBuild:
    """A built node: `home` has `config/`, `plugins/`, `modules/`; `jars` is the module path."""

    version: str
    home: Path
    jars: Path
    classes: Path

    def command(self, *, data: Path, ready_file: Path, heap: str = "512m", http_port: int = 0) -> list[str]:
        """The command line of a single node on 127.0.0.1.

        `data` is a directory of its own for this node. `http_port` 0 lets the system choose; the port that is
        listened on is written to `ready_file` once the node answers.
        """
        return [
            "java",
            f"-Xms{heap}",
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "-Dfile.encoding=UTF-8",
            "-Djava.awt.headless=true",
            "-Dlog4j2.disable.jmx=true",
            f"-Djava.io.tmpdir={data}",
            "--module-path",
            str(self.jars),
            "--add-modules",
            "ALL-MODULE-PATH",
            "-cp",
            str(self.classes),
            "GenuineNode",
            str(self.home / "config"),
            str(ready_file),
            f"path.home={self.home}",
            f"path.data={data / 'data'}",
            f"path.logs={data / 'logs'}",
            "cluster.name=anjuan-test",
            "node.name=genuine",
            "discovery.type=single-node",
            "network.host=127.0.0.1",
            f"http.port={http_port}",
            "transport.port=0",
            # A test machine's disk is often nearly full; the node must not turn indices read-only for that.
            "cluster.routing.allocation.disk.threshold_enabled=false",
            "action.destructive_requires_name=false",
        ]


@dataclass(frozen=True)
class MinioBuild:
    """A built MinIO server program."""

    version: str
    program: Path

    def command(self, *, data: Path, port: int) -> list[str]:
        """The command line of one server on 127.0.0.1; `MINIO_ROOT_USER`, `…_PASSWORD` give its keys."""
        return [
            str(self.program),
            "server",
            "--quiet",
            "--address",
            f"127.0.0.1:{port}",
            "--console-address",
            "127.0.0.1:0",
            str(data),
        ]


def elasticsearch_version() -> str:
    """The version that `infra/elasticsearch/pom.xml` names."""
    text = (_SOURCES / "pom.xml").read_text(encoding="utf-8")
    found = re.search(r"<elasticsearch\.version>([0-9.]+)</elasticsearch\.version>", text)
    if found is None:
        raise EngineMissingError("infra/elasticsearch/pom.xml names no elasticsearch.version")
    return found[1]


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where built engines are kept: `ANJUAN_TEST_CACHE`, else `.cache/genuine/` in the repository."""
    chosen = environment.get("ANJUAN_TEST_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else _REPOSITORY / ".cache" / "genuine"


def missing_tools(names: tuple[str, ...] = ELASTICSEARCH_TOOLS + MINIO_TOOLS) -> list[str]:
    """Those of the named programs that are not on PATH, in the order given."""
    return [name for name in names if shutil.which(name) is None]


def build_elasticsearch(cache: Path | None = None, say: Say = print) -> ElasticsearchBuild:
    """The built node, made first if the cache has none for these sources.

    Raises EngineMissingError when java, javac or mvn is not there or the build fails.
    """
    _require(ELASTICSEARCH_TOOLS, "Elasticsearch")
    version = elasticsearch_version()
    cache = cache or cache_directory()
    target = cache / f"elasticsearch-{version}-{_sources_digest()}"
    build = ElasticsearchBuild(version, target / "home", target / "jars", target / "classes")
    with _built_once(target, f"Elasticsearch {version}", say) as place:
        if place is not None:
            _assemble_elasticsearch(place)
    return build


def build_minio(cache: Path | None = None, say: Say = print) -> MinioBuild:
    """The built server, made first if the cache has none of this version (about two minutes on two cores).

    Raises EngineMissingError when go is not there or the build fails.
    """
    _require(MINIO_TOOLS, "MinIO")
    cache = cache or cache_directory()
    target = cache / f"minio-{MINIO_VERSION}"
    with _built_once(target, f"MinIO {MINIO_VERSION}", say) as place:
        if place is not None:
            # Without cgo no C compiler is needed; without symbols the program is a third smaller.
            _run(
                ["go", "install", "-ldflags=-s -w", f"github.com/minio/minio@{MINIO_VERSION}"],
                directory=place,
                environment={"GOBIN": str(place), "CGO_ENABLED": "0"},
            )
    return MinioBuild(MINIO_VERSION, target / "minio")


def _assemble_elasticsearch(place: Path) -> None:
    """Lays out a node's home and module path in `place`, which is empty."""
    jars, classes, home = place / "jars", place / "classes", place / "home"
    for folder in (jars, classes, home / "config", home / "plugins", home / "modules" / _NETTY_MODULE):
        folder.mkdir(parents=True)
    # Maven runs on a copy: nothing of its work may appear beside the sources.
    shutil.copy(_SOURCES / "pom.xml", place / "pom.xml")
    _run(
        [
            "mvn",
            "--batch-mode",
            "--no-transfer-progress",
            "-Dstyle.color=never",
            "--file",
            str(place / "pom.xml"),
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={jars}",
        ],
        directory=place,
    )
    module = home / "modules" / _NETTY_MODULE
    for pattern in ("netty-*.jar", f"{_NETTY_MODULE}-*.jar"):
        for jar in sorted(jars.glob(pattern)):
            shutil.move(jar, module / jar.name)
    plugin_jars = list(module.glob(f"{_NETTY_MODULE}-*.jar"))
    if len(plugin_jars) != 1:
        raise EngineMissingError(f"expected one {_NETTY_MODULE} jar, found {len(plugin_jars)}")
    with zipfile.ZipFile(plugin_jars[0]) as archive:
        for name in archive.namelist():
            if name.startswith(f"META-INF/es-plugins/{_NETTY_MODULE}/") and not name.endswith("/"):
                (module / Path(name).name).write_bytes(archive.read(name))
    shutil.copy(_SOURCES / "log4j2.properties", home / "config" / "log4j2.properties")
    (home / "config" / "elasticsearch.yml").touch()
    _run(
        [
            "javac",
            "--module-path",
            str(jars),
            "--add-modules",
            "ALL-MODULE-PATH",
            "-d",
            str(classes),
            str(_SOURCES / "GenuineNode.java"),
        ],
        directory=place,
    )


def _sources_digest() -> str:
    """Twelve hex digits that change with any file in `infra/elasticsearch/`, or with this one."""
    digest = hashlib.sha256()
    for source in (*sorted(_SOURCES.iterdir()), Path(__file__)):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@contextmanager
def _built_once(target: Path, title: str, say: Say) -> Iterator[Path | None]:
    """Gives an empty directory to build in and renames it to `target`; None where `target` is there.

    A lock makes concurrent runs wait for the first; a build that was killed leaves no half-made target.
    """
    if target.is_dir():
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            yield None
            return
        say(f"building {title} (first time only) …")
        started = time.monotonic()
        place = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
        try:
            yield place
            place.rename(target)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        megabytes = sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) / 1e6
        say(f"built {title} in {time.monotonic() - started:.0f} s, {megabytes:.0f} MB")


def _require(tools: tuple[str, ...], engine: str) -> None:
    missing = missing_tools(tools)
    if missing:
        raise EngineMissingError(f"{engine} needs {', '.join(missing)} on PATH")


def _run(command: list[str], *, directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Runs a build step in `directory`; raises EngineMissingError with the end of its output if it fails."""
    try:
        finished = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_LONGEST_BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as trouble:
        raise EngineMissingError(f"{command[0]} took longer than {_LONGEST_BUILD_SECONDS} s") from trouble
    if finished.returncode != 0:
        end = "\n".join(finished.stdout.splitlines()[-30:])
        raise EngineMissingError(f"{' '.join(command[:2])} failed ({finished.returncode}):\n{end}")


def main() -> int:
    """Builds both engines; 0 when both are there, 1 when something is missing (said on standard error)."""
    trouble = 0

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    for build in (build_elasticsearch, build_minio):
        try:
            built = build(None, say)
        except EngineMissingError as missing:
            sys.stderr.write(f"{missing}\n")
            trouble = 1
        else:
            say(f"ready: {type(built).__name__.removesuffix('Build')} {built.version}")
    return trouble


if __name__ == "__main__":
    sys.exit(main())
