"""What `anjuan doctor` looks at: one check per part, each answered in words, none of them changing anything.

The two exceptions write and remove again: a document in a collection of their own, a file in the data
directory. No finding holds a secret or anything that somebody stored.
"""

from __future__ import annotations

import importlib
import secrets
import shutil
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minio import Minio
from minio.error import MinioException, S3Error
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from infra.local.directory import FORMAT
from infra.local.errors import LocalServersError
from infra.local.ports import is_free
from infra.local.programs import find_mongod, find_weed, weed_version
from service.installation.model import META, Recorded
from service.installation.repository import recorded_of
from service.installation.rules import format_fault, keyring_fault

OLDEST_PYTHON = (3, 11)
OLDEST_MONGODB = (6, 0)
ENOUGH_BYTES = 5 * 1024**3
PROBE_COLLECTION = "doctor_probe"
OCR_MODULES = ("rapidocr", "onnxruntime", "cv2", "pypdfium2", "pikepdf")
SECONDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one part. `remedy` is empty when all is well."""

    part: str
    ok: bool
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class MongoPart:
    """Where MongoDB is. `url` holds the password."""

    url: str = field(repr=False)
    database: str


@dataclass(frozen=True, slots=True)
class ObjectsPart:
    """Where the object store is, as `http(s)://host:port`, and the bucket for evidence."""

    endpoint: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    bucket: str
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is to look at; a part left out (None, empty) is not looked at.

    `commitments` are the keyring's, None where it can't be loaded. `ports` are those that have to be free (nothing runs yet) or have to answer (`running`), by name.
    """

    data_dir: Path
    keyring: Path | None = None
    commitments: Mapping[str, str] | None = field(default=None, repr=False)
    index: Path | None = None
    mongo: MongoPart | None = None
    objects: ObjectsPart | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    running: bool = True
    embedded: bool = True


def examine(parts: Parts) -> list[Finding]:
    """All findings, in the order in which a start needs the parts. A check that breaks is a finding too."""
    checks: list[Callable[[Parts], Iterator[Finding]]] = [
        check_python,
        check_libraries,
        check_data_directory,
        check_keyring,
        check_disk,
        check_ports,
        check_mongodb,
        check_storage,
        check_objects,
        check_index,
        check_reading,
    ]
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.extend(check(parts))
        except Exception as error:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            findings.append(Finding(name, False, f"The check itself failed with {type(error).__name__}.", ""))
    return findings


def check_python(_: Parts) -> Iterator[Finding]:
    """Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= OLDEST_PYTHON:
        yield Finding("python", True, f"Python {version}, {ssl.OPENSSL_VERSION}.")
    else:
        yield Finding("python", False, f"Python {version} is too old.", "Install Python 3.11 or newer.")


def check_libraries(parts: Parts) -> Iterator[Finding]:
    """The programs of the embedded servers are there and run."""
    if not parts.embedded:
        return
    try:
        yield Finding("libraries", True, f"mongod {find_mongod(parts.data_dir)[1]} runs here.")
        yield Finding("libraries", True, f"SeaweedFS {weed_version(find_weed(parts.data_dir))} runs here.")
    except LocalServersError as error:
        yield Finding("libraries", False, str(error), str(getattr(error, "remedy", "")))


def check_data_directory(parts: Parts) -> Iterator[Finding]:
    """The data directory is there, of this format, and nobody else's to read."""
    path, part = parts.data_dir, "data directory"
    if not path.is_dir():
        yield Finding(part, False, f"There is no {path}.", "Run `make up`, or set ANJUAN_DATA_DIR.")
        return
    yield from _private(part, path, 0o700)
    for name in ("secrets.json", "demo.json"):
        if (path / name).exists():
            yield from _private(part, path / name, 0o600)
    found = (path / "format").read_text(encoding="ascii").strip() if (path / "format").exists() else "none"
    if found != str(FORMAT):
        yield Finding(part, False, f"Its format is {found}, not {FORMAT}.", "Run `make up`; it says what to do.")
    probe = path / f".doctor-{secrets.token_hex(4)}"
    try:
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        yield Finding(part, False, f"{path} can't be written: {error.strerror}.", f"Run `chown -R $USER {path}`.")


def check_keyring(parts: Parts) -> Iterator[Finding]:
    """The keyring is a file that only its owner can read."""
    if parts.keyring is None:
        return
    if parts.keyring.is_file():
        yield from _private("keyring", parts.keyring, 0o600)
    else:
        remedy = "Run `anjuan init` for a new installation; restore it from its backup for an old one."
        yield Finding("keyring", False, f"There is no {parts.keyring}; sealed data can't be read.", remedy)


def check_disk(parts: Parts) -> Iterator[Finding]:
    """Free bytes where the data directory is."""
    place = parts.data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free at {place}."
    if free >= ENOUGH_BYTES:
        yield Finding("disk space", True, text)
    else:
        yield Finding("disk space", False, text, f"Free {ENOUGH_BYTES // 1024**3} GiB, or move ANJUAN_DATA_DIR.")


def check_ports(parts: Parts) -> Iterator[Finding]:
    """Running: each port answers. Not running: each is free."""
    for name, port in parts.ports.items():
        if parts.running:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.settimeout(SECONDS)
                ok = probe.connect_ex(("127.0.0.1", port)) == 0
            message = f"{name} {'answers' if ok else 'does not answer'} on 127.0.0.1:{port}."
            yield Finding("ports", ok, message, "" if ok else "Start it: `make up`.")
        else:
            ok = is_free(port)
            message = f"127.0.0.1:{port}, for {name}, is {'free' if ok else 'in use by another program'}."
            yield Finding("ports", ok, message, "" if ok else "Stop that program or choose another port.")


def check_mongodb(parts: Parts) -> Iterator[Finding]:
    """MongoDB answers, is a replica set, is new enough, and keeps what a majority acknowledged."""
    if parts.mongo is None:
        return
    part = "mongodb"
    try:
        with MongoClient[dict[str, Any]](parts.mongo.url, serverSelectionTimeoutMS=SECONDS * 1000) as client:
            hello = client.admin.command("hello")
            if not hello.get("setName"):
                remedy = "Start it with --replSet and initiate the set; transactions need it."
                yield Finding(part, False, "MongoDB answers but is no replica set.", remedy)
                return
            info = client.server_info()
            ok = tuple(info["versionArray"][:2]) >= OLDEST_MONGODB
            message = f"MongoDB {info['version']}, replica set {hello['setName']}."
            yield Finding(part, ok, message, "" if ok else "Install MongoDB 6.0 or newer.")
            probe = client[parts.mongo.database].get_collection(
                PROBE_COLLECTION,
                write_concern=WriteConcern("majority", 10_000),
                read_concern=ReadConcern("majority"),
            )
            mark = secrets.token_hex(8)
            probe.insert_one({"_id": mark})
            found = probe.find_one({"_id": mark}) is not None
            probe.delete_one({"_id": mark})
            message = "A majority write was read back." if found else "A majority write was not found again."
            yield Finding(part, found, message, "" if found else "Look into MongoDB's log.")
    except OperationFailure as error:
        remedy = "Check user, password and authSource in ANJUAN_MONGO_URL, and the user's roles."
        yield Finding(part, False, f"MongoDB refuses: {(error.details or {}).get('codeName', error.code)}.", remedy)
    except (ConfigurationError, ValueError):
        yield Finding(part, False, "The MongoDB URL can't be read.", "Correct ANJUAN_MONGO_URL.")
    except PyMongoError as error:
        refused = "AuthenticationFailed" in str(error)
        message = "MongoDB refuses the password." if refused else "MongoDB can't be reached."
        remedy = "Correct ANJUAN_MONGO_URL." if refused else "Start it (`make up`), or correct ANJUAN_MONGO_URL."
        yield Finding(part, False, message, remedy)


def check_storage(parts: Parts) -> Iterator[Finding]:
    """The database has this program's storage format, and the keyring is the one that its data needs."""
    if parts.mongo is None:
        return
    part = "storage"
    try:
        with MongoClient[dict[str, Any]](parts.mongo.url, serverSelectionTimeoutMS=SECONDS * 1000) as client:
            recorded: Recorded = recorded_of(list(client[parts.mongo.database][META].find({})))
    except (PyMongoError, ValueError):
        return  # `check_mongodb` has said so
    if recorded.format is None:
        yield Finding(part, True, "No storage format is recorded yet; the first start records it.")
        return
    fault = format_fault(recorded.format)
    yield Finding(part, not fault, fault.message if fault else f"Storage format {recorded.format}.",
                  fault.remedy if fault else "")  # fmt: skip
    if parts.commitments is not None:
        fault = keyring_fault(recorded.commitments, parts.commitments)
        yield Finding("keyring", not fault, fault.message if fault else "It is the one that the stored data needs.",
                      fault.remedy if fault else "")  # fmt: skip


def check_objects(parts: Parts) -> Iterator[Finding]:
    """The object store answers; the bucket keeps versions and locks them, without a default retention."""
    if parts.objects is None:
        return
    part, where = "objects", parts.objects
    address = urlsplit(where.endpoint)
    client = Minio(
        endpoint=address.netloc,
        access_key=where.access_key,
        secret_key=where.secret_key,
        secure=address.scheme == "https",
        region=where.region,
        http_client=PoolManager(retries=False, timeout=Timeout(SECONDS), cert_reqs="CERT_REQUIRED"),
    )
    try:
        if not client.bucket_exists(bucket_name=where.bucket):
            yield Finding(part, False, f"There is no bucket {where.bucket}.", "Run `anjuan init`.")
            return
        kept = client.get_bucket_versioning(bucket_name=where.bucket).status == "Enabled"
        remedy = "" if kept else f"Turn versioning on for the bucket {where.bucket}."
        yield Finding(part, kept, f"The bucket {where.bucket} keeps {'all' if kept else 'no former'} versions.", remedy)
        default = client.get_object_lock_config(bucket_name=where.bucket).mode
        message = "Object Lock is on" + (f", with a default retention ({default})." if default else ".")
        remedy = "Remove the default retention; failed uploads could never be collected." if default else ""
        yield Finding(part, not default, message, remedy)
    except S3Error as error:
        if error.code == "ObjectLockConfigurationNotFoundError":
            remedy = "Object Lock can only be chosen when a bucket is made: set ANJUAN_S3_BUCKET to a new one."
            yield Finding(part, False, f"The bucket {where.bucket} has no Object Lock.", remedy)
        else:
            yield Finding(part, False, f"The object store refuses: {error.code}.", "Check the S3 keys' rights.")
    except (MinioException, HTTPError, OSError):
        remedy = "Start it (`make up`), or correct ANJUAN_S3_ENDPOINT."
        yield Finding(part, False, f"The object store at {address.netloc} can't be reached.", remedy)


def check_index(parts: Parts) -> Iterator[Finding]:
    """The embedded index has its directory."""
    if parts.index is None:
        return
    if parts.index.is_dir():
        yield from _private("index", parts.index, 0o700)
    else:
        yield Finding("index", False, f"There is no {parts.index}.", "Run `anjuan reindex`.")


def check_reading(_: Parts) -> Iterator[Finding]:
    """What reads scans and PDFs can be loaded."""
    missing = []
    for name in OCR_MODULES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            missing.append(f"{name} ({error})")
    if missing:
        yield Finding("reading", False, f"Can't be loaded: {', '.join(missing)}.", "Remove .venv and run `make up`.")
    else:
        yield Finding("reading", True, "PDF reader and text recognition load.")


def _private(part: str, path: Path, widest: int) -> Iterator[Finding]:
    """One finding: may group and others do no more with `path` than `widest` says?"""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~widest & 0o077:
        remedy = f"Run `chmod {widest:o} {path}`."
        yield Finding(part, False, f"Others on this machine can read {path} (mode {mode:04o}).", remedy)
    else:
        yield Finding(part, True, f"{path} is for its owner alone (mode {mode:04o}).")
