"""Objects: Tink's AES256_GCM_HKDF_1MB streaming format, so that any part can be read by range.

Source: "AES-GCM-HKDF Streaming AEAD", developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming,
after Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", 2015; security: Hoang, Shen, 2020. Layout in `service.crypto`.

An object is a 40-byte header and one or more segments. Header and first segment together, and each later
segment, fill 1 MiB; the last one may be shorter, and holds nothing only when the object is empty. A segment's
nonce holds its index and whether it is the last one, so that nothing can be cut off, repeated or moved.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.crypto.derivation import KEY_SIZE, TAG_SIZE
from service.crypto.errors import CiphertextError

SEGMENT_SIZE = 1 << 20
SALT_SIZE = KEY_SIZE
NONCE_PREFIX_SIZE = 7
HEADER_SIZE = 1 + SALT_SIZE + NONCE_PREFIX_SIZE

_FIRST_PLAINTEXT = SEGMENT_SIZE - HEADER_SIZE - TAG_SIZE
_LATER_PLAINTEXT = SEGMENT_SIZE - TAG_SIZE
_MOST_SEGMENTS = 1 << 32
_NONCE_END = struct.Struct(">IB")


def segment_count(plaintext_size: int) -> int:
    """How many segments an object has, at least one. Raises ValueError for a size the format can't hold."""
    if plaintext_size < 0:
        raise ValueError("a size is not negative")
    count = 1 + max(0, -(-(plaintext_size - _FIRST_PLAINTEXT) // _LATER_PLAINTEXT))
    if count > _MOST_SEGMENTS:
        raise ValueError("an object has at most 2^32 segments")
    return count


def ciphertext_size(plaintext_size: int) -> int:
    """The object's size in bytes, header included. Raises ValueError as `segment_count` does."""
    return HEADER_SIZE + plaintext_size + segment_count(plaintext_size) * TAG_SIZE


@dataclass(frozen=True, slots=True)
class RangePlan:
    """What to fetch for a part of the plaintext, and what to do with it. Ends are inclusive.

    Bytes `ciphertext_first` … `ciphertext_last` of the object are the segments `first_segment` …
    `last_segment`, whole; of their plaintext the first `skip` bytes are dropped and `length` passed on.
    The header (bytes 0 … 39) is never within the range: it is fetched apart, once per object.
    """

    first_segment: int
    last_segment: int
    ciphertext_first: int
    ciphertext_last: int
    skip: int
    length: int


def plan_range(first: int, last: int, plaintext_size: int) -> RangePlan:
    """The plan for plaintext bytes `first` … `last`, both included. Raises ValueError for any other."""
    if not 0 <= first <= last < plaintext_size:
        raise ValueError("a range lies within the object")
    return _plan(first, last, plaintext_size)


def plan_whole(plaintext_size: int) -> RangePlan:
    """The plan for the whole object, an empty one included. Raises ValueError for a negative size."""
    segment_count(plaintext_size)
    return _plan(0, max(0, plaintext_size - 1), plaintext_size)


def _plan(first: int, last: int, plaintext_size: int) -> RangePlan:
    first_segment, last_segment = _segment_of(first), _segment_of(last)
    return RangePlan(
        first_segment=first_segment,
        last_segment=last_segment,
        ciphertext_first=max(HEADER_SIZE, first_segment * SEGMENT_SIZE),
        ciphertext_last=min((last_segment + 1) * SEGMENT_SIZE, ciphertext_size(plaintext_size)) - 1,
        skip=first - _plaintext_start(first_segment),
        length=min(last + 1, plaintext_size) - first,
    )


def _segment_of(position: int) -> int:
    return (position + HEADER_SIZE) // _LATER_PLAINTEXT


def _plaintext_start(segment: int) -> int:
    return segment * _LATER_PLAINTEXT - HEADER_SIZE if segment else 0


def _object_cipher(key: bytes, salt: bytes, associated_data: bytes) -> AESGCM:
    if len(key) != KEY_SIZE:
        raise ValueError("an object's key has 32 bytes")
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=associated_data).derive(key))


class SegmentEncryptor:
    """Encrypts one object piece by piece; holds at most one segment back.

    The object is `header`, then what each `update` returned, then what `finalize` returned. A segment leaves
    only when a byte beyond it is known, because only the last one is marked as such.
    Raises ValueError for a key that isn't 32 bytes, and for use after `finalize`.
    """

    __slots__ = ("_buffer", "_cipher", "_index", "_is_finished", "_nonce_prefix", "header")

    def __init__(self, key: bytes, associated_data: bytes) -> None:
        salt = os.urandom(SALT_SIZE)
        self._nonce_prefix = os.urandom(NONCE_PREFIX_SIZE)
        self._cipher = _object_cipher(key, salt, associated_data)
        self.header = bytes([HEADER_SIZE]) + salt + self._nonce_prefix
        self._buffer = bytearray()
        self._index = 0
        self._is_finished = False

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """The whole segments that are complete with `data`; often empty."""
        if self._is_finished:
            raise ValueError("the object is finished")
        segments: list[bytes] = []
        with memoryview(data).cast("B") as view:
            position = 0
            while True:
                room = self._room()
                self._buffer += view[position : position + room]
                position += room
                if position >= len(view):
                    return b"".join(segments)
                segments.append(self._encrypt(is_last=False))

    def finalize(self) -> bytes:
        """The last segment."""
        if self._is_finished:
            raise ValueError("the object is finished")
        self._is_finished = True
        return self._encrypt(is_last=True)

    def _room(self) -> int:
        return (_LATER_PLAINTEXT if self._index else _FIRST_PLAINTEXT) - len(self._buffer)

    def _encrypt(self, *, is_last: bool) -> bytes:
        if self._index >= _MOST_SEGMENTS:
            raise ValueError("an object has at most 2^32 segments")
        nonce = self._nonce_prefix + _NONCE_END.pack(self._index, is_last)
        segment = self._cipher.encrypt(nonce, self._buffer, None)
        self._buffer.clear()
        self._index += 1
        return segment


class SegmentDecryptor:
    """Decrypts any segment of one object, given its index.

    `header` is the object's first 40 bytes, `plaintext_size` its size from the record. The size tells which
    segment is the last one, and that one's nonce says so too: an object cut off at a border, or longer than
    the record knows, is refused at its last segment. Raises CiphertextError for a header that isn't one,
    ValueError for a key that isn't 32 bytes.
    """

    __slots__ = ("_cipher", "_last", "_nonce_prefix", "plaintext_size")

    def __init__(self, key: bytes, associated_data: bytes, header: bytes, plaintext_size: int) -> None:
        if len(header) != HEADER_SIZE or header[0] != HEADER_SIZE:
            raise CiphertextError
        self._last = segment_count(plaintext_size) - 1
        self.plaintext_size = plaintext_size
        self._nonce_prefix = header[1 + SALT_SIZE :]
        self._cipher = _object_cipher(key, header[1 : 1 + SALT_SIZE], associated_data)

    def segment_size(self, index: int) -> int:
        """The size in bytes of a segment's ciphertext. Raises CiphertextError for an index out of range."""
        if not 0 <= index <= self._last:
            raise CiphertextError
        if index < self._last:
            return SEGMENT_SIZE if index else SEGMENT_SIZE - HEADER_SIZE
        return self.plaintext_size - _plaintext_start(index) + TAG_SIZE

    def decrypt(self, index: int, segment: bytes | bytearray | memoryview) -> bytes:
        """The whole plaintext of segment `index`. Raises CiphertextError."""
        if len(segment) != self.segment_size(index):
            raise CiphertextError
        nonce = self._nonce_prefix + _NONCE_END.pack(index, index == self._last)
        try:
            return self._cipher.decrypt(nonce, segment, None)
        except InvalidTag:
            raise CiphertextError from None


class RangeDecryptor:
    """Turns the fetched bytes of a plan, in pieces of any size, into the plaintext that was asked for.

    Holds at most one segment and the piece just given. Only bytes of authenticated segments come out.
    Whoever passes them on must call `finalize`, and may call the whole complete only after it returned.
    """

    __slots__ = ("_buffer", "_decryptor", "_left", "_next", "_plan", "_skip")

    def __init__(self, decryptor: SegmentDecryptor, plan: RangePlan) -> None:
        self._decryptor = decryptor
        self._plan = plan
        self._buffer = bytearray()
        self._next = plan.first_segment
        self._skip = plan.skip
        self._left = plan.length

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """The plaintext complete with `data`. Raises CiphertextError, for bytes beyond the plan too."""
        pieces: list[bytes] = []
        with memoryview(data).cast("B") as view:
            position = 0
            while position < len(view):
                if self._next > self._plan.last_segment:
                    raise CiphertextError
                size = self._decryptor.segment_size(self._next)
                room = size - len(self._buffer)
                self._buffer += view[position : position + room]
                position += room
                if len(self._buffer) == size:
                    pieces.append(self._wanted(self._decryptor.decrypt(self._next, self._buffer)))
                    self._buffer.clear()
                    self._next += 1
        return b"".join(pieces)

    def finalize(self) -> None:
        """Says that nothing is missing. Raises CiphertextError when the fetched bytes ended early."""
        if self._next <= self._plan.last_segment or self._buffer or self._left:
            raise CiphertextError

    def _wanted(self, plaintext: bytes) -> bytes:
        wanted = plaintext[self._skip : self._skip + self._left]
        self._skip = 0
        self._left -= len(wanted)
        return wanted
