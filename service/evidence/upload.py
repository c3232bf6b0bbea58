"""From asynchronous chunks into a blocking store, encrypted on the way, memory flat (P17, P19).

The loop puts pieces into a `Bridge`; in a thread of the object store's pool a `SealingSource` takes them out,
looks at the first bytes, counts, hashes and encrypts. The last segment is withheld until length and checksum
are right, so a store never holds a whole object of a file that was refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, Protocol, cast

from service.errors import Code, Invalid
from service.evidence.sniffing import HEAD_BYTES, agrees, extension, sniff
from service.storage import ObjectStore, ObjectTrouble, StoredObject

PIECE = 256 * 1024
PIECES_MOST = 4
STALL_SECONDS = 120.0


class UploadBroken(Exception):
    """The reading side learns that no more bytes will come."""


class ReaderGone(Exception):
    """The sending side learns that nobody takes bytes any more; why, the reader's own error tells."""


class Encryptor(Protocol):
    """A streaming encryption: the header first, then what `update` gives, then what `finalize` gives."""

    @property
    def header(self) -> bytes: ...
    def update(self, data: bytes) -> bytes: ...
    def finalize(self) -> bytes: ...


class Bridge:
    """At most `most` pieces between one coroutine and one thread. Made inside a running loop."""

    def __init__(self, *, most: int = PIECES_MOST, stall_seconds: float = STALL_SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._stall_seconds = stall_seconds
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._ended = self._broken = self._abandoned = False

    async def send(self, piece: bytes) -> None:
        """Waits for room. Raises ReaderGone."""
        while True:
            with self._changed:
                if self._abandoned:
                    raise ReaderGone
                if len(self._pieces) < self._most:
                    self._pieces.append(piece)
                    self._changed.notify()
                    return
                self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """Everything was sent."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def fail(self) -> None:
        """No more will be sent, and what was sent is worth nothing."""
        with self._changed:
            self._broken = True
            self._pieces.clear()
            self._changed.notify()

    def abandon(self) -> None:
        """Nobody will take any more; called in the loop."""
        with self._changed:
            self._abandoned = True
            self._pieces.clear()
        self._room.set()

    def take(self) -> bytes:
        """The next piece, empty at the end; blocks, so it is called in a thread. Raises UploadBroken."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._pieces or self._ended or self._broken, self._stall_seconds)
            if self._broken or not arrived:
                raise UploadBroken
            piece = self._pieces.popleft() if self._pieces else b""
        if piece:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece


class SealingSource:
    """A file-like source of ciphertext. `read` raises Invalid for wrong bytes, UploadBroken for missing ones."""

    def __init__(
        self,
        take: Callable[[], bytes],
        encryptor: Encryptor,
        *,
        size: int,
        media_type: str,
        file_name: str,
        sha256: str | None,
    ) -> None:
        self._take = take
        self._encryptor = encryptor
        self._size = size
        self._media_type = media_type
        self._extension = extension(file_name)
        self._announced = sha256
        self._head: bytearray | None = bytearray()
        self._ready = bytearray(encryptor.header)
        self._received = 0
        self._plain, self._sealed = hashlib.sha256(), hashlib.sha256()
        self._finished = False

    @property
    def plaintext_sha256(self) -> str:
        """Hexadecimal; of the whole file once everything was read."""
        return self._plain.hexdigest()

    @property
    def ciphertext_sha256(self) -> str:
        """Hexadecimal; of the whole object once everything was read."""
        return self._sealed.hexdigest()

    def read(self, size: int) -> bytes:
        """`size` bytes of ciphertext, fewer only at the end."""
        while len(self._ready) < size and not self._finished:
            self._fill()
        with memoryview(self._ready) as ready:
            piece = bytes(ready[:size])
        del self._ready[:size]
        self._sealed.update(piece)
        return piece

    def _fill(self) -> None:
        piece = self._take()
        if not piece:
            self._check_whole()
            self._ready += self._encryptor.finalize()
            self._finished = True
            return
        self._received += len(piece)
        if self._received > self._size:
            raise Invalid.because(Code.LENGTH_MISMATCH, "body")
        self._plain.update(piece)
        if self._head is not None:
            self._head += piece
            if len(self._head) < min(HEAD_BYTES, self._size):
                return
            piece, self._head = bytes(self._head), None
            if not agrees(self._media_type, self._extension, sniff(piece[:HEAD_BYTES])):
                raise Invalid.because(Code.FILE_TYPE_REFUSED, "mediaType")
        self._ready += self._encryptor.update(piece)

    def _check_whole(self) -> None:
        if not self._received:
            raise Invalid.because(Code.EMPTY_FILE, "body")
        if self._received != self._size:
            raise Invalid.because(Code.LENGTH_MISMATCH, "body")
        if self._announced is not None and self._announced != self.plaintext_sha256:
            raise Invalid.because(Code.CHECKSUM_MISMATCH, "sha256")


async def stream_into(
    objects: ObjectStore,
    key: str,
    chunks: AsyncIterator[bytes],
    bridge: Bridge,
    source: SealingSource,
    size: int,
) -> StoredObject:
    """Stores `size` bytes of ciphertext under `key`. Whatever goes wrong is raised, and nothing stays stored.

    Raises Invalid (wrong bytes), ObjectTrouble, and what `chunks` raises.
    """
    storing = asyncio.create_task(objects.put(key, cast("BinaryIO", source), size))
    storing.add_done_callback(lambda _: bridge.abandon())
    try:
        try:
            async for chunk in chunks:
                for start in range(0, len(chunk), PIECE):
                    await bridge.send(chunk[start : start + PIECE])
            bridge.end()
        except ReaderGone:
            pass
        return await asyncio.shield(storing)
    except UploadBroken:
        raise ObjectTrouble("the upload stalled") from None
    except BaseException:
        bridge.fail()
        await discard_outcome(objects, storing)
        raise


async def discard_outcome(objects: ObjectStore, storing: asyncio.Task[StoredObject]) -> None:
    """Waits until the store has ended, and removes what it stored after all."""
    await asyncio.wait({storing})
    if not storing.cancelled() and storing.exception() is None:
        await discard(objects, storing.result())


async def discard(objects: ObjectStore, stored: StoredObject) -> bool:
    """Removes a version that belongs to nothing; False when the store would not.

    Even then nobody can read it: the key of an upload that did not end well is never kept.
    """
    try:
        await objects.delete(stored)
    except ObjectTrouble:
        return False
    return True
