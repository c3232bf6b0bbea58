"""Bytes on their way into the store: order, bounds, and what happens when either side fails."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from typing import BinaryIO

import pytest

from service.errors import Code, Invalid
from service.evidence.upload import PIECE, Bridge, SealingSource, UploadBroken, stream_into
from service.storage import ObjectTrouble, Retention, StoredObject

pytestmark = pytest.mark.asyncio

PDF_HEAD = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


class MarkedEncryptor:
    """Not encryption: a header, the bytes inverted, and a tail, so that order and completeness show."""

    header = b"HEAD"

    def update(self, data: bytes) -> bytes:
        return bytes(255 - byte for byte in data)

    def finalize(self) -> bytes:
        return b"TAIL"


class MemoryStore:
    """Reads in a thread in parts, as the S3 client does; can fail at a point or be slow."""

    def __init__(self, *, part: int = 8192, fail_after: int | None = None) -> None:
        self.stored: dict[StoredObject, bytes] = {}
        self.deleted: list[StoredObject] = []
        self.threads: set[int] = set()
        self._part, self._fail_after = part, fail_after

    async def put(self, key: str, source: BinaryIO, size: int) -> StoredObject:
        body = await asyncio.to_thread(self._read, source, size)
        stored = StoredObject(key, "v1")
        self.stored[stored] = body
        return stored

    def _read(self, source: BinaryIO, size: int) -> bytes:
        self.threads.add(threading.get_ident())
        body = b""
        while len(body) < size:
            if self._fail_after is not None and len(body) >= self._fail_after:
                raise ObjectTrouble("out of space")
            part = source.read(min(self._part, size - len(body)))
            if not part:
                raise ObjectTrouble("short")
            body += part
        return body

    async def delete(self, stored: StoredObject) -> None:
        self.deleted.append(stored)
        del self.stored[stored]

    def get(self, stored: StoredObject, offset: int, length: int) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def lock(self, stored: StoredObject, until: datetime) -> None:
        raise NotImplementedError

    async def retention(self, stored: StoredObject) -> Retention | None:
        raise NotImplementedError

    async def prepare(self) -> None: ...

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None: ...


def a_pdf(size: int) -> bytes:
    return (PDF_HEAD + b"x" * size)[:size]


async def in_chunks(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(0)


def a_source(bridge: Bridge, size: int, *, sha256: str | None = None, media_type: str = "application/pdf",
             file_name: str = "合同.pdf") -> SealingSource:  # fmt: skip
    return SealingSource(
        bridge.take, MarkedEncryptor(), size=size, media_type=media_type, file_name=file_name, sha256=sha256
    )


async def upload(
    store: MemoryStore,
    chunks: AsyncIterator[bytes],
    size: int,
    *,
    sha256: str | None = None,
    file_name: str = "合同.pdf",
) -> tuple[StoredObject, SealingSource]:
    bridge = Bridge()
    source = a_source(bridge, size, sha256=sha256, file_name=file_name)
    return await stream_into(store, "key", chunks, bridge, source, size + 8), source


async def test_a_file_arrives_whole_in_order_and_hashed_before_and_after_encryption() -> None:
    body, store = a_pdf(PIECE * 3 + 17), MemoryStore()
    announced = hashlib.sha256(body).hexdigest()
    stored, source = await upload(store, in_chunks(body, 70_000), len(body), sha256=announced)
    sealed = b"HEAD" + bytes(255 - byte for byte in body) + b"TAIL"
    assert store.stored[stored] == sealed
    assert source.plaintext_sha256 == announced
    assert source.ciphertext_sha256 == hashlib.sha256(sealed).hexdigest()
    assert threading.get_ident() not in store.threads


@pytest.mark.parametrize("size", [len(PDF_HEAD), 4095, 4096, 4097, PIECE, PIECE + 1])
async def test_files_around_the_sizes_that_matter_arrive_whole(size: int) -> None:
    body, store = a_pdf(size), MemoryStore(part=7) if size < 5000 else MemoryStore()
    stored, _ = await upload(store, in_chunks(body, 999), size)
    assert len(store.stored[stored]) == size + 8


@pytest.mark.parametrize(
    ("body", "announced", "name", "sha256", "code"),
    [
        (b"PK\x03\x04" + b"z" * 9000, 9004, "合同.pdf", None, Code.FILE_TYPE_REFUSED),
        (b"PK\x03\x04", 4, "合同.pdf", None, Code.FILE_TYPE_REFUSED),
        (a_pdf(5000), 5000, "合同.png", None, Code.FILE_TYPE_REFUSED),
        (b"", 100, "合同.pdf", None, Code.EMPTY_FILE),
        (a_pdf(4000), 5000, "合同.pdf", None, Code.LENGTH_MISMATCH),
        (a_pdf(5001), 5000, "合同.pdf", None, Code.LENGTH_MISMATCH),
        (a_pdf(PIECE * 20), 5000, "合同.pdf", None, Code.LENGTH_MISMATCH),
        (a_pdf(5000), 5000, "合同.pdf", "0" * 64, Code.CHECKSUM_MISMATCH),
    ],
)
async def test_wrong_bytes_are_refused_with_their_code_and_nothing_is_ever_stored(
    body: bytes, announced: int, name: str, sha256: str | None, code: Code
) -> None:
    store = MemoryStore()
    with pytest.raises(Invalid) as refused:
        await upload(store, in_chunks(body), announced, sha256=sha256, file_name=name)
    assert [problem.code for problem in refused.value.problems] == [code]
    assert store.stored == {}
    assert store.deleted == []


async def test_a_client_that_goes_away_leaves_nothing_and_its_error_is_told() -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield a_pdf(3000)
        raise ConnectionResetError

    store = MemoryStore()
    with pytest.raises(ConnectionResetError):
        await upload(store, cut_off(), 5000)
    assert store.stored == {}


async def test_a_store_that_fails_midway_stops_the_client_and_tells_why() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield PDF_HEAD
        while True:
            taken += 1
            yield b"x" * PIECE

    store = MemoryStore(fail_after=PIECE)
    with pytest.raises(ObjectTrouble, match="out of space"):
        await upload(store, endless(), PIECE * 1000)
    assert taken < 20


async def test_a_cancelled_upload_ends_its_thread_and_leaves_nothing() -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield a_pdf(5000)
        await asyncio.Event().wait()

    store = MemoryStore()
    task = asyncio.create_task(upload(store, stuck(), 9000))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.stored == {}
    assert len(store.threads) == 1


async def test_an_object_stored_in_spite_of_a_cancellation_is_removed() -> None:
    release = threading.Event()

    class LateStore(MemoryStore):
        def _read(self, source: BinaryIO, size: int) -> bytes:
            body = super()._read(source, size)
            release.wait(5)
            return body

    body, store = a_pdf(5000), LateStore()
    task = asyncio.create_task(upload(store, in_chunks(body), 5000))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.deleted == [StoredObject("key", "v1")]
    assert store.stored == {}


async def test_a_fast_client_waits_for_a_slow_store_so_memory_stays_flat() -> None:
    bridge, sent = Bridge(most=2), 0

    async def send_many() -> None:
        nonlocal sent
        for _ in range(10):
            await bridge.send(b"piece")
            sent += 1
        bridge.end()

    sending = asyncio.create_task(send_many())
    await asyncio.sleep(0.05)
    assert sent == 2
    taken = [await asyncio.to_thread(bridge.take) for _ in range(11)]
    await sending
    assert taken == [b"piece"] * 10 + [b""]


async def test_a_reader_does_not_wait_for_ever_for_a_sender_that_died() -> None:
    bridge = Bridge(stall_seconds=0.05)
    with pytest.raises(UploadBroken):
        await asyncio.to_thread(bridge.take)
