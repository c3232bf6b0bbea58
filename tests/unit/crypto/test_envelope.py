"""Sealed sections open where they were sealed, and nowhere else (P16)."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.crypto import Binding, CiphertextError, DataKey, open_sealed, peek_key_version, seal

FIELDS = ("phones", "email", "addresses")
HEADER_AND_NONCE = 35


def of_key(key: DataKey) -> Callable[[int], DataKey]:
    """Answers for the one version that the key has."""
    return {key.version: key}.__getitem__


def of_binding(binding: Binding, layout: int = 1) -> Callable[[int], Binding]:
    """Answers for one layout."""
    return {layout: binding}.__getitem__


def refuses(key: Callable[[int], DataKey], binding: Callable[[int], Binding], sealed: bytes) -> bool:
    """Whether opening ends in the one error class with its one text."""
    try:
        open_sealed(key, binding, sealed)
    except CiphertextError as error:
        return str(error) == "the ciphertext cannot be opened" and type(error) is CiphertextError
    return False


@given(plaintext=st.binary(max_size=500), version=st.integers(1, 2**32 - 1), layout=st.integers(0, 2**16 - 1))
def test_a_sealed_section_opens_to_what_was_sealed(plaintext: bytes, version: int, layout: int) -> None:
    key = DataKey("own_1", version, os.urandom(32))
    binding = Binding("customers", "cus_1", "CONTACT", FIELDS)
    sealed = seal(key, binding, layout, plaintext)
    assert open_sealed(of_key(key), of_binding(binding, layout), sealed) == plaintext
    assert peek_key_version(sealed) == version
    assert len(sealed) == len(plaintext) + 51


def test_sealing_twice_never_repeats_a_nonce() -> None:
    key = DataKey("own_1", 1, os.urandom(32))
    binding = Binding("customers", "cus_1", "CONTACT", FIELDS)
    nonces = {seal(key, binding, 1, b"the same")[23:35] for _ in range(5_000)}
    assert len(nonces) == 5_000


def test_none_of_ten_thousand_swapped_ciphertexts_opens() -> None:
    # Given sections of two owners, two key versions, several collections, records, classes and layouts
    shared = os.urandom(32)
    keys = [DataKey("own_1", 1, shared), DataKey("own_1", 2, shared), DataKey("own_2", 1, os.urandom(32))]
    bindings = [
        Binding(collection, f"{collection}_{number}", section, fields)
        for collection in ("customers", "cases")
        for number in range(3)
        for section in ("CONTACT", "IDENTITY", "NARRATIVE")
        for fields in (FIELDS, (*FIELDS, "postal_code"))
    ]
    places = [(key, binding) for key in keys for binding in bindings]
    sealed = [seal(key, binding, 1, f"{number}".encode()) for number, (key, binding) in enumerate(places)]
    # When each ciphertext is put in the place of each other one
    swaps = 0
    for origin, text in enumerate(sealed):
        for target, (key, binding) in enumerate(places):
            if origin != target:
                # Then it is refused, even by whoever would take any version for the place's key
                assert refuses(of_key(key), of_binding(binding), text)
                assert refuses(lambda _version, key=key: key, of_binding(binding), text)  # type: ignore[misc]
                swaps += 1
    assert swaps > 10_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Binding("ab", "c", "X", ("f",)), Binding("a", "bc", "X", ("f",))),
        (Binding("a", "b", "X", ("fg",)), Binding("a", "b", "X", ("f", "g"))),
        (Binding("a", "b", "X", ("f", "g")), Binding("a", "b", "X", ("g", "f"))),
        (Binding("a", "b", "X", ()), Binding("a", "b", "X", ("",))),
        (Binding("a", "gb", "X", ("f",)), Binding("a", "b", "X", ("f", "g"))),
    ],
)
def test_bindings_that_read_alike_when_joined_are_told_apart(one: Binding, other: Binding) -> None:
    key = DataKey("own_1", 1, os.urandom(32))
    assert refuses(of_key(key), of_binding(other), seal(key, one, 1, b"text"))


def test_every_flipped_bit_is_refused() -> None:
    key = DataKey("own_1", 7, os.urandom(32))
    binding = Binding("customers", "cus_1", "CONTACT", FIELDS)
    sealed = seal(key, binding, 1, os.urandom(1_250))
    flips = 0
    for position in range(len(sealed)):
        for bit in range(8):
            flipped = bytearray(sealed)
            flipped[position] ^= 1 << bit
            assert refuses(lambda _version: key, lambda _layout: binding, bytes(flipped))
            flips += 1
    assert flips > 10_000


def test_every_truncation_and_every_appended_byte_is_refused() -> None:
    key = DataKey("own_1", 1, os.urandom(32))
    binding = Binding("customers", "cus_1", "CONTACT", FIELDS)
    sealed = seal(key, binding, 1, os.urandom(200))
    for size in range(len(sealed)):
        assert refuses(of_key(key), of_binding(binding), sealed[:size])
        assert refuses(of_key(key), of_binding(binding), sealed[size + 1 :])
    assert refuses(of_key(key), of_binding(binding), sealed + b"\0")


@given(st.binary(max_size=120))
def test_random_bytes_are_refused(noise: bytes) -> None:
    key = DataKey("own_1", 1, bytes(32))
    binding = Binding("customers", "cus_1", "CONTACT", FIELDS)
    assert refuses(lambda _version: key, lambda _layout: binding, noise)


def test_a_destroyed_key_and_an_unknown_layout_are_refused_like_anything_else() -> None:
    key = DataKey("own_1", 1, os.urandom(32))
    binding = Binding("customers", "cus_1", "CONTACT", FIELDS)
    sealed = seal(key, binding, 1, b"text")
    none: Mapping[int, DataKey] = {}
    assert refuses(none.__getitem__, of_binding(binding), sealed)
    assert refuses(of_key(key), of_binding(binding, layout=2), sealed)


def test_the_version_of_what_is_no_section_cannot_be_read() -> None:
    for text in (b"", b"\x01", bytes(51), b"\x02" + bytes(50)):
        with pytest.raises(CiphertextError):
            peek_key_version(text)


@pytest.mark.parametrize("version", [0, -1, 2**32])
def test_a_data_key_has_a_version_that_fits_its_header(version: int) -> None:
    with pytest.raises(ValueError, match="version"):
        DataKey("own_1", version, bytes(32))


def test_a_data_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DataKey("own_1", 1, bytes(16))


def test_a_layout_beyond_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="layout"):
        seal(DataKey("own_1", 1, bytes(32)), Binding("a", "b", "c", ()), 2**16, b"")


def test_a_data_key_never_shows_its_material() -> None:
    material = os.urandom(32)
    key = DataKey("own_1", 1, material)
    assert repr(key) == "DataKey('own_1', 1, …)"
    assert not hasattr(key, "__dict__")


def test_the_refusal_crosses_process_borders_unchanged() -> None:
    copy = pickle.loads(pickle.dumps(CiphertextError()))
    assert str(copy) == str(CiphertextError())
