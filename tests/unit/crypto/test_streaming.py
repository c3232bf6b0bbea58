"""Objects: Google's Tink reads ours and we read Tink's; nothing cut, moved or mixed gets through (P17)."""

from __future__ import annotations

import io
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import (  # type: ignore[import-untyped]  # it ships no types
    proto_keyset_format,
    secret_key_access,
    streaming_aead,
)
from tink.proto import (  # type: ignore[import-untyped]  # it ships no types
    aes_gcm_hkdf_streaming_pb2,
    common_pb2,
    tink_pb2,
)

from service.crypto import (
    HEADER_SIZE,
    SEGMENT_SIZE,
    CiphertextError,
    RangeDecryptor,
    RangePlan,
    SegmentDecryptor,
    SegmentEncryptor,
    ciphertext_size,
    plan_range,
    plan_whole,
    segment_count,
)

KEY = bytes(range(32))
CONTEXT = b"evidence/evd_1"
FIRST = SEGMENT_SIZE - 56
LATER = SEGMENT_SIZE - 16
THREE_SEGMENTS = FIRST + 2 * LATER
BORDER_SIZES = [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + LATER, FIRST + LATER + 1, THREE_SEGMENTS]


class Kept(io.BytesIO):
    """Keeps what was written, although Tink closes the stream."""

    kept = b""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


@pytest.fixture(scope="module")
def google() -> streaming_aead.StreamingAead:
    """Tink's own AES256_GCM_HKDF_1MB under KEY."""
    streaming_aead.register()
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=KEY)
    key.params.ciphertext_segment_size = SEGMENT_SIZE
    key.params.derived_key_size = 32
    key.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = key.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def encrypted(plaintext: bytes, piece: int = 300_000, key: bytes = KEY, context: bytes = CONTEXT) -> bytes:
    """The whole object, written in pieces."""
    encryptor = SegmentEncryptor(key, context)
    parts = [encryptor.header]
    parts += [encryptor.update(plaintext[at : at + piece]) for at in range(0, len(plaintext), piece)]
    return b"".join([*parts, encryptor.finalize()])


def read(stored: bytes, size: int, plan: RangePlan | None = None, piece: int = 700_000) -> bytes:
    """What a download passes on as complete: only the planned bytes are fetched, then it is finalised."""
    plan = plan or plan_whole(size)
    ranged = RangeDecryptor(SegmentDecryptor(KEY, CONTEXT, stored[:HEADER_SIZE], size), plan)
    fetched = stored[plan.ciphertext_first : plan.ciphertext_last + 1]
    passed = b"".join(ranged.update(fetched[at : at + piece]) for at in range(0, len(fetched), piece))
    ranged.finalize()
    return passed


def refuses(stored: bytes, size: int) -> bool:
    """Whether everything that is there, read to its end, is refused."""
    try:
        ranged = RangeDecryptor(SegmentDecryptor(KEY, CONTEXT, stored[:HEADER_SIZE], size), plan_whole(size))
        ranged.update(stored[HEADER_SIZE:])
        ranged.finalize()
    except CiphertextError:
        return True
    return False


def segments_of(stored: bytes) -> list[bytes]:
    """Header with first segment, then each further one."""
    return [stored[at : at + SEGMENT_SIZE] for at in range(0, len(stored), SEGMENT_SIZE)]


@pytest.fixture(scope="module")
def plaintext() -> bytes:
    return os.urandom(THREE_SEGMENTS)


@pytest.fixture(scope="module")
def stored(plaintext: bytes) -> bytes:
    return encrypted(plaintext)


@pytest.mark.parametrize("size", BORDER_SIZES)
def test_tink_reads_ours(google: streaming_aead.StreamingAead, plaintext: bytes, size: int) -> None:
    ours = encrypted(plaintext[:size])
    assert len(ours) == ciphertext_size(size)
    with google.new_decrypting_stream(io.BytesIO(ours), CONTEXT) as stream:
        assert stream.read() == plaintext[:size]


@pytest.mark.parametrize("size", BORDER_SIZES)
def test_we_read_tinks(google: streaming_aead.StreamingAead, plaintext: bytes, size: int) -> None:
    sink = Kept()
    with google.new_encrypting_stream(sink, CONTEXT) as stream:
        stream.write(plaintext[:size])
    assert len(sink.kept) == ciphertext_size(size)
    assert read(sink.kept, size) == plaintext[:size]


@settings(max_examples=15, deadline=None)
@given(size=st.integers(0, THREE_SEGMENTS), write=st.integers(1, 3_000_000), fetch=st.integers(50_000, 3_000_000))
def test_pieces_of_any_size_make_the_same_object(size: int, write: int, fetch: int) -> None:
    text = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    piece = max(write, 1 + size // 50)
    assert read(encrypted(text, piece), size, piece=fetch) == text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_range_gives_its_bytes_from_its_segments_alone(plaintext: bytes, stored: bytes, data: st.DataObject) -> None:
    near = st.sampled_from([0, FIRST, FIRST + LATER, THREE_SEGMENTS]).flatmap(
        lambda border: st.integers(max(0, border - 3), min(THREE_SEGMENTS - 1, border + 3))
    )
    first, last = sorted([data.draw(near), data.draw(near)])
    plan = plan_range(first, last, THREE_SEGMENTS)
    # Given that everything outside the planned bytes is destroyed
    kept = stored[plan.ciphertext_first : plan.ciphertext_last + 1]
    left = bytearray(len(stored))
    left[:HEADER_SIZE] = stored[:HEADER_SIZE]
    left[plan.ciphertext_first : plan.ciphertext_last + 1] = kept
    # Then the range is complete, and its plan spans only the segments it touches
    assert read(bytes(left), THREE_SEGMENTS, plan) == plaintext[first : last + 1]
    borders = [0, FIRST, FIRST + LATER]
    touched = [sum(1 for start in borders if start <= position) - 1 for position in (first, last)]
    assert [plan.first_segment, plan.last_segment] == touched


@pytest.mark.parametrize(("first", "last"), [(-1, 0), (5, 4), (0, 10), (10, 10)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="range"):
        plan_range(first, last, 10)


def test_every_truncation_at_and_around_a_border_is_refused(stored: bytes) -> None:
    borders = [0, HEADER_SIZE, SEGMENT_SIZE, 2 * SEGMENT_SIZE, len(stored)]
    cuts = {border + by for border in borders for by in (-17, -16, -1, 0, 1, 16) if 0 <= border + by < len(stored)}
    for cut in cuts:
        assert refuses(stored[:cut], THREE_SEGMENTS), cut


def test_an_object_cut_at_a_border_is_refused_even_if_its_recorded_size_was_cut_too(stored: bytes) -> None:
    assert refuses(stored[:SEGMENT_SIZE], FIRST)
    assert refuses(stored[: 2 * SEGMENT_SIZE], FIRST + LATER)
    assert refuses(stored[:HEADER_SIZE], 0)


def test_no_byte_of_a_segment_comes_out_before_all_of_it_is_there(stored: bytes) -> None:
    decryptor = SegmentDecryptor(KEY, CONTEXT, stored[:HEADER_SIZE], THREE_SEGMENTS)
    ranged = RangeDecryptor(decryptor, plan_whole(THREE_SEGMENTS))
    assert ranged.update(stored[HEADER_SIZE : SEGMENT_SIZE - 1]) == b""
    assert len(ranged.update(stored[SEGMENT_SIZE - 1 : SEGMENT_SIZE])) == FIRST
    with pytest.raises(CiphertextError):
        ranged.finalize()


def test_swapped_repeated_dropped_and_appended_segments_are_refused(stored: bytes) -> None:
    head, middle, end = segments_of(stored)
    for order in (
        (head, end, middle),
        (head, middle, middle),
        (head, end, end),
        (head, end),
        (head, middle, middle, end),
        (head, middle, end, end),
        (middle, head, end),
    ):
        text = b"".join(order)
        assert refuses(text, THREE_SEGMENTS)
        assert refuses(text, len(text) - HEADER_SIZE - 16 * len(order))


def test_segments_spliced_from_another_object_are_refused(plaintext: bytes, stored: bytes) -> None:
    # Given a second object of the same text, key and associated data
    other = encrypted(plaintext)
    for number in range(3):
        mixed = segments_of(stored)
        mixed[number] = segments_of(other)[number]
        assert refuses(b"".join(mixed), THREE_SEGMENTS)
    assert refuses(other[:HEADER_SIZE] + stored[HEADER_SIZE:], THREE_SEGMENTS)


def test_every_changed_header_byte_and_a_changed_byte_of_each_segment_are_refused(stored: bytes) -> None:
    positions = [
        *range(HEADER_SIZE),
        HEADER_SIZE,
        SEGMENT_SIZE - 1,
        SEGMENT_SIZE,
        2 * SEGMENT_SIZE,
        len(stored) - 1,
    ]
    for position in positions:
        changed = bytearray(stored)
        changed[position] ^= 0x40
        assert refuses(bytes(changed), THREE_SEGMENTS), position


def test_another_key_or_other_associated_data_opens_nothing(plaintext: bytes) -> None:
    assert refuses(encrypted(plaintext[:10], key=bytes(32)), 10)
    assert refuses(encrypted(plaintext[:10], context=b"evidence/evd_2"), 10)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_segment_that_the_object_does_not_have_is_refused(stored: bytes, index: int) -> None:
    decryptor = SegmentDecryptor(KEY, CONTEXT, stored[:HEADER_SIZE], THREE_SEGMENTS)
    with pytest.raises(CiphertextError):
        decryptor.decrypt(index, stored[SEGMENT_SIZE : 2 * SEGMENT_SIZE])


def test_a_finished_object_takes_no_more() -> None:
    encryptor = SegmentEncryptor(KEY, CONTEXT)
    encryptor.finalize()
    with pytest.raises(ValueError, match="finished"):
        encryptor.update(b"more")
    with pytest.raises(ValueError, match="finished"):
        encryptor.finalize()


def test_a_key_of_another_size_and_an_impossible_size_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SegmentEncryptor(bytes(16), CONTEXT)
    with pytest.raises(ValueError, match="negative"):
        ciphertext_size(-1)
    with pytest.raises(ValueError, match="segments"):
        segment_count(1 << 52)


def test_memory_stays_flat_however_large_the_object() -> None:
    encryptor = SegmentEncryptor(KEY, CONTEXT)
    size = 96 * 1024 * 1024
    ranged = RangeDecryptor(SegmentDecryptor(KEY, CONTEXT, encryptor.header, size), plan_whole(size))
    piece = bytes(1024 * 1024)
    passed = 0
    tracemalloc.start()
    try:
        for _ in range(size // len(piece)):
            passed += len(ranged.update(encryptor.update(piece)))
        passed += len(ranged.update(encryptor.finalize()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    ranged.finalize()
    assert passed == size
    assert peak < 12 * 1024 * 1024
