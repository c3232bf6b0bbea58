"""The ObjectStore port and its S3 adapter (MinIO, SeaweedFS, any S3 with versioning and Object Lock).

What every adapter guarantees (held to it by `tests/contracts/test_object_stores.py`):
- `put` stores exactly the announced bytes or raises, and names the version it made;
- `get` reads any byte range of one version;
- `lock` sets COMPLIANCE retention on one version; `retention` reads it back; afterwards that version can't
  be deleted and its date can't be shortened (S3 Object Lock, Amazon S3 User Guide);
- `prepare` leaves a bucket that keeps versions and locks them, or raises UnsafeBucket.

The minio client blocks, so it runs in a bounded thread pool of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE, ENABLED
from minio.error import MinioException, S3Error
from minio.retention import Retention as MinioRetention

CHUNK = 256 * 1024
PART = 8 * 1024 * 1024
T = TypeVar("T")


class ObjectTrouble(Exception):
    """The object store refused or did not answer; a sentence without credentials, the cause chained."""


class UnsafeBucket(ObjectTrouble):
    """The bucket can't keep what is sealed in it; the text is a sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of one object."""

    key: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Retention:
    """A version's lock as the store tells it."""

    mode: str
    until: datetime


class ObjectStore(Protocol):
    """See the module's docstring for what is guaranteed."""

    async def put(self, key: str, source: BinaryIO, size: int) -> StoredObject: ...
    def get(self, stored: StoredObject, offset: int, length: int) -> AsyncIterator[bytes]: ...
    async def delete(self, stored: StoredObject) -> None: ...
    async def lock(self, stored: StoredObject, until: datetime) -> None: ...
    async def retention(self, stored: StoredObject) -> Retention | None: ...
    async def prepare(self) -> None: ...
    async def healthy(self) -> bool: ...
    async def close(self) -> None: ...


class S3Objects:
    """S3 through the minio client."""

    def __init__(self, client: Minio, bucket: str, threads: int, where: str = "the given address") -> None:
        """`where` (host and port) is for sentences only."""
        self._client = client
        self._where = where
        self._bucket = bucket
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="objects")

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except S3Error as error:
            raise ObjectTrouble(
                f"The object store at {self._where} refuses: {error.code}. "
                "Check ANJUAN_S3_ACCESS_KEY, ANJUAN_S3_SECRET_KEY and their rights."
            ) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise ObjectTrouble(
                f"The object store at {self._where} can't be reached ({type(error).__name__}). "
                "Start it, or correct ANJUAN_S3_ENDPOINT."
            ) from error

    async def put(self, key: str, source: BinaryIO, size: int) -> StoredObject:
        """Stores `size` bytes read from `source` (read in a thread, so it may block). Raises ObjectTrouble."""
        result = await self._run(
            lambda: self._client.put_object(
                self._bucket,
                key,
                source,
                size,
                content_type="application/octet-stream",
                part_size=PART,
                num_parallel_uploads=2,
            )
        )
        if not result.version_id:
            raise ObjectTrouble("the bucket is not versioned")
        return StoredObject(key, str(result.version_id))

    async def get(self, stored: StoredObject, offset: int, length: int) -> AsyncIterator[bytes]:
        """The bytes from `offset`, at most `length` of them, in chunks. Raises ObjectTrouble."""
        response: Any = await self._run(
            lambda: self._client.get_object(
                self._bucket, stored.key, offset=offset, length=length, version_id=stored.version_id
            )
        )
        try:
            while chunk := await self._run(lambda: response.read(CHUNK)):
                yield chunk
        finally:
            response.close()
            response.release_conn()

    async def delete(self, stored: StoredObject) -> None:
        """Removes this version. Raises ObjectTrouble when it is locked."""
        await self._run(lambda: self._client.remove_object(self._bucket, stored.key, version_id=stored.version_id))

    async def lock(self, stored: StoredObject, until: datetime) -> None:
        """Sets COMPLIANCE retention until then; it can be extended, never shortened. Raises ObjectTrouble."""
        retention = MinioRetention(COMPLIANCE, until.astimezone(UTC).replace(microsecond=0))
        await self._run(
            lambda: self._client.set_object_retention(self._bucket, stored.key, retention, version_id=stored.version_id)
        )

    async def retention(self, stored: StoredObject) -> Retention | None:
        """The lock as it is now, or None."""

        def ask() -> MinioRetention | None:
            try:
                return self._client.get_object_retention(self._bucket, stored.key, version_id=stored.version_id)
            except S3Error as error:
                if error.code == "ObjectLockConfigurationNotFoundError":  # SeaweedFS, for a version without a lock
                    return None
                raise

        found = await self._run(ask)
        if found is None or found.retain_until_date is None:
            return None
        return Retention(str(found.mode), found.retain_until_date.astimezone(UTC))

    async def prepare(self) -> None:
        """Makes the bucket, versioned and with Object Lock, when it is missing. Raises UnsafeBucket for one that
        was made without, ObjectTrouble.
        """

        def make() -> None:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket, object_lock=True)

        await self._run(make)
        await self.require_safe_bucket()

    async def require_safe_bucket(self) -> None:
        """Asks the store whether the bucket locks and keeps versions (P25). Raises UnsafeBucket, ObjectTrouble."""

        def ask() -> str:
            try:
                self._client.get_object_lock_config(self._bucket)
            except S3Error as error:
                if error.code == "ObjectLockConfigurationNotFoundError":
                    return "has no Object Lock, which can only be chosen when a bucket is made"
                if error.code == "NoSuchBucket":
                    return "does not exist; `anjuan init` makes it"
                raise
            if self._client.get_bucket_versioning(self._bucket).status != ENABLED:
                return "keeps no former versions"
            return ""

        if fault := await self._run(ask):
            raise UnsafeBucket(
                f"The bucket {self._bucket} {fault}, so nothing could be sealed in it. "
                "Set ANJUAN_S3_BUCKET to a new name and run `anjuan init`, which makes it as it must be."
            )

    async def healthy(self) -> bool:
        """Whether the bucket can be reached."""
        try:
            return bool(await self._run(lambda: self._client.bucket_exists(self._bucket)))
        except (ObjectTrouble, OSError, ValueError):
            return False

    async def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def open_objects(
    endpoint: str, access_key: str, secret_key: str, bucket: str, *, region: str = "us-east-1", threads: int = 8
) -> S3Objects:
    """Opens the store lazily. `endpoint` is `http(s)://host:port`; https means TLS (R67)."""
    parts = urlsplit(endpoint)
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=5, read=60),
        maxsize=threads,
        retries=urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=[502, 503, 504]),
    )
    client = Minio(
        endpoint=parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=http,
    )
    return S3Objects(client, bucket, threads, parts.netloc)
