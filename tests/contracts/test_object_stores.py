"""SeaweedFS and MinIO keep one contract: that of `service.storage.objects` (P15, P17, P25).

Above all: a version under COMPLIANCE retention can be neither deleted, nor shortened, nor cleared, whoever asks.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig

from service.storage import ObjectTrouble, Retention, StoredObject, UnsafeBucket, open_objects
from service.storage.objects import PART, S3Objects


@pytest.fixture(params=["seaweedfs", "minio"])
async def objects(request: pytest.FixtureRequest) -> AsyncIterator[S3Objects]:
    """A bucket of the test's own in each store."""
    if request.param == "minio":
        minio = request.getfixturevalue("minio_server")
        if minio is None:
            pytest.skip("no MinIO here: it is built with go, and required by ANJUAN_REQUIRE_GENUINE=1 only")
        place = (minio.url, minio.access_key, minio.secret_key)
    else:
        server = request.getfixturevalue("s3_server")
        place = (server.s3_endpoint, server.s3_access_key, server.s3_secret_key)
    store = open_objects(*place, f"t-{secrets.token_hex(8)}")
    await store.prepare()
    yield store
    await store.close()


async def put(store: S3Objects, content: bytes, key: str = "evidence/a") -> StoredObject:
    """Stores the bytes."""
    return await store.put(key, io.BytesIO(content), len(content))


async def read(store: S3Objects, stored: StoredObject, offset: int = 0, length: int = 0) -> bytes:
    """Reads them again."""
    return b"".join([chunk async for chunk in store.get(stored, offset, length)])


async def test_preparing_again_changes_nothing(objects: S3Objects) -> None:
    stored = await put(objects, b"abc")
    await objects.prepare()
    assert await objects.healthy()
    assert await read(objects, stored) == b"abc"


@pytest.mark.parametrize("versioned", [False, True])
async def test_a_bucket_that_was_made_without_object_lock_is_refused(objects: S3Objects, versioned: bool) -> None:
    # Given a bucket that somebody made, with or without versions, but without locks
    client, name = objects._client, f"{objects._bucket}-open"
    client.make_bucket(name)
    if versioned:
        client.set_bucket_versioning(name, VersioningConfig(ENABLED))
    other = S3Objects(client, name, 1)
    # Then it is refused, with what to do, and stays as it was
    for attempt in (other.prepare, other.require_safe_bucket):
        with pytest.raises(UnsafeBucket, match=rf"{name} has no Object Lock.*ANJUAN_S3_BUCKET"):
            await attempt()
    assert (client.get_bucket_versioning(name).status == ENABLED) is versioned
    await other.close()


async def test_a_bucket_that_does_not_exist_is_refused_until_it_is_made(objects: S3Objects) -> None:
    other = S3Objects(objects._client, f"{objects._bucket}-new", 1)
    with pytest.raises(UnsafeBucket, match="anjuan init"):
        await other.require_safe_bucket()
    await other.prepare()
    await other.require_safe_bucket()
    await other.close()


@pytest.mark.parametrize("size", [1, 1_000, PART, PART + 1, 2 * PART + 7])
async def test_bytes_come_back_as_they_were_put(objects: S3Objects, size: int) -> None:
    content = os.urandom(size)
    stored = await put(objects, content)
    assert stored.version_id
    assert await read(objects, stored) == content


async def test_any_range_of_a_version_is_read(objects: S3Objects) -> None:
    content = os.urandom(PART + 1_000)
    stored = await put(objects, content)
    for offset, length in ((0, 1), (10, 100), (PART - 5, 10), (len(content) - 1, 1), (300_000, 700_000)):
        assert await read(objects, stored, offset, length) == content[offset : offset + length]


async def test_each_put_is_a_version_of_its_own(objects: S3Objects) -> None:
    first, second = await put(objects, b"first"), await put(objects, b"second")
    assert first.version_id != second.version_id
    assert (await read(objects, first), await read(objects, second)) == (b"first", b"second")


async def test_a_deleted_version_is_gone_and_the_others_stay(objects: S3Objects) -> None:
    first, second = await put(objects, b"first"), await put(objects, b"second")
    await objects.delete(second)
    with pytest.raises(ObjectTrouble):
        await read(objects, second)
    assert await read(objects, first) == b"first"


async def test_bytes_that_do_not_come_store_nothing(objects: S3Objects) -> None:
    with pytest.raises((ObjectTrouble, OSError, ValueError)):
        await objects.put("evidence/short", io.BytesIO(b"x" * 10), 1_000)
    found = objects._client.list_objects(objects._bucket, prefix="evidence/short", include_version=True)
    assert list(found) == []


async def test_nothing_is_locked_before_it_is(objects: S3Objects) -> None:
    """An upload that failed can be collected: the bucket has no default retention."""
    stored = await put(objects, b"abc")
    assert await objects.retention(stored) is None
    await objects.delete(stored)


async def test_a_lock_is_read_back_and_holds(objects: S3Objects) -> None:
    # Given a locked version
    stored = await put(objects, b"sealed")
    until = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    await objects.lock(stored, until)
    assert await objects.retention(stored) == Retention("COMPLIANCE", until)
    # Then deleting it, shortening its time, and clearing it are refused
    with pytest.raises(ObjectTrouble):
        await objects.delete(stored)
    with pytest.raises(ObjectTrouble):
        await objects.lock(stored, until - timedelta(days=1))
    with pytest.raises(ObjectTrouble):
        await objects.lock(stored, datetime.now(UTC) + timedelta(seconds=2))
    assert await objects.retention(stored) == Retention("COMPLIANCE", until)
    assert await read(objects, stored) == b"sealed"
    # And its time can be extended
    await objects.lock(stored, until + timedelta(days=1))
    assert await objects.retention(stored) == Retention("COMPLIANCE", until + timedelta(days=1))


async def test_a_lock_is_on_its_version_alone(objects: S3Objects) -> None:
    sealed, other = await put(objects, b"sealed"), await put(objects, b"other")
    await objects.lock(sealed, datetime.now(UTC) + timedelta(days=1))
    assert await objects.retention(other) is None
    await objects.delete(other)
    assert await read(objects, sealed) == b"sealed"


async def test_a_new_version_over_a_locked_one_leaves_it(objects: S3Objects) -> None:
    sealed = await put(objects, b"sealed")
    await objects.lock(sealed, datetime.now(UTC) + timedelta(days=1))
    await put(objects, b"forged")
    assert await read(objects, sealed) == b"sealed"


async def test_trouble_names_no_credentials(objects: S3Objects) -> None:
    with pytest.raises(ObjectTrouble) as trouble:
        await read(objects, StoredObject("evidence/none", secrets.token_hex(16)))
    credentials = objects._client._provider.retrieve()
    assert credentials.secret_key not in str(trouble.value) + str(trouble.value.__cause__)


async def test_an_unreachable_store_is_trouble_and_not_healthy() -> None:
    store = open_objects("http://127.0.0.1:1", "a", "b" * 20, "bucket")
    assert not await store.healthy()
    with pytest.raises(ObjectTrouble):
        await put(store, b"abc")
    await store.close()
