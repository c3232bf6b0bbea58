"""Sealed sections: small ciphertexts, one per record and class, under an owner's data key.

The format is documented byte by byte in `service.crypto`. Opening is on the path of every read, so whatever
can be computed once is: the derived key and commitment per class, the encoded part of a binding that is
the same for all records of a collection.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from hmac import compare_digest
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.crypto.derivation import COMMITMENT_SIZE, KEY_SIZE, NONCE_SIZE, TAG_SIZE, derive
from service.crypto.errors import CiphertextError

SECTION_FORMAT = 1
MOST_VERSIONS = 0xFFFF_FFFF
MOST_LAYOUTS = 0xFFFF

_HEADER = struct.Struct(f">BIH{COMMITMENT_SIZE}s")
_HEADER_AND_NONCE = struct.Struct(f">BIH{COMMITMENT_SIZE}s{NONCE_SIZE}s")
_LENGTH = struct.Struct(">I")
_VERSION = struct.Struct(">BI")
_unpack_header = _HEADER_AND_NONCE.unpack_from
_pack_length = _LENGTH.pack
_HEADER_SIZE = _HEADER.size
_BODY = _HEADER_AND_NONCE.size
_SMALLEST = _BODY + TAG_SIZE


class Binding(NamedTuple):
    """Where a section belongs; a ciphertext opens there and nowhere else.

    `fields` is the section's field list under the layout it was sealed with, in a fixed order.
    """

    collection: str
    record_id: str
    section: str
    fields: tuple[str, ...]


class DataKey:
    """One version of an owner's data key: 32 bytes, from which each class gets its own AES-256 key.

    Safe limits: the random 96-bit nonces allow 2^32 seals a class and version (NIST SP 800-38D, 8.3).
    Raises ValueError for material that isn't 32 bytes and for a version outside 1 … 2^32-1.
    """

    __slots__ = ("_material", "known_classes", "owner_id", "version")

    def __init__(self, owner_id: str, version: int, material: bytes) -> None:
        if len(material) != KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        if not 1 <= version <= MOST_VERSIONS:
            raise ValueError("a data key's version is between 1 and 2^32-1")
        self.owner_id = owner_id
        self.version = version
        self._material = bytes(material)
        self.known_classes: dict[str, tuple[AESGCM, bytes]] = {}

    def __repr__(self) -> str:
        return f"DataKey({self.owner_id!r}, {self.version}, …)"

    def of_class(self, name: str) -> tuple[AESGCM, bytes]:
        """The cipher of a class and the 16-byte commitment to its key; made once and kept."""
        found = self.known_classes.get(name)
        if found is None:
            found = (
                AESGCM(derive(self._material, f"anjuan/section-key/1/{name}")),
                derive(self._material, f"anjuan/section-commitment/1/{name}", COMMITMENT_SIZE),
            )
            self.known_classes[name] = found
        return found


def seal(key: DataKey, binding: Binding, layout: int, plaintext: bytes) -> bytes:
    """The section's ciphertext, 51 bytes longer than the plaintext, under a fresh random nonce.

    `layout` is the number (0 … 65535) of the field list that `binding.fields` spells out.
    Raises ValueError for a layout outside its range.
    """
    if not 0 <= layout <= MOST_LAYOUTS:
        raise ValueError("a layout's number is between 0 and 65535")
    cipher, commitment = key.of_class(binding.section)
    header = _HEADER.pack(SECTION_FORMAT, key.version, layout, commitment)
    nonce = os.urandom(NONCE_SIZE)
    return header + nonce + cipher.encrypt(nonce, plaintext, _associated_data(header, binding))


class Place:
    """Where the sections of one class of one collection stand under one layout: a binding but for the record.

    It is the same for all records, so it is encoded once.
    """

    __slots__ = ("encoded", "section")

    def __init__(self, collection: str, section: str, fields: tuple[str, ...]) -> None:
        self.section = section
        self.encoded = _encoded_place(collection, section, fields)


def open_section(places: Mapping[int, Place], keys: Mapping[int, DataKey], record_id: str, sealed: bytes) -> bytes:
    """The plaintext of a record's section. `places` by layout and `keys` by version answer for the numbers in the
    header; one that they don't have is a refusal like any other. Raises CiphertextError.
    """
    try:
        form, version, layout, commitment, nonce = _unpack_header(sealed)
        place, key = places[layout], keys[version]
        # Looked up here and not through `of_class`: this line runs for every section of every list.
        cipher, expected = key.known_classes.get(place.section) or key.of_class(place.section)
        # Before decrypting: AES-GCM alone lets one ciphertext open under two keys
        # (Dodis, Grubbs, Ristenpart, Woodage 2018; Albertini et al. 2022).
        if compare_digest(commitment, expected) and key.version == version and form == SECTION_FORMAT:
            record = record_id.encode()
            bound = sealed[:_HEADER_SIZE] + place.encoded + _pack_length(len(record)) + record
            return cipher.decrypt(nonce, sealed[_BODY:], bound)
    except (InvalidTag, LookupError, struct.error):
        pass
    raise CiphertextError


def open_sealed(
    key_of_version: Callable[[int], DataKey], binding_of_layout: Callable[[int], Binding], sealed: bytes
) -> bytes:
    """The same for a single binding; a LookupError from either function is a refusal. Raises CiphertextError."""
    try:
        _, version, layout, _, _ = _unpack_header(sealed)
        collection, record_id, section, fields = binding_of_layout(layout)
        keys = {version: key_of_version(version)}
    except (LookupError, struct.error):
        raise CiphertextError from None
    return open_section({layout: Place(collection, section, fields)}, keys, record_id, sealed)


def peek_key_version(sealed: bytes) -> int:
    """The key version in the header, unauthenticated: fit for choosing keys to load, for nothing else.

    Raises CiphertextError for what isn't a sealed section.
    """
    if len(sealed) < _SMALLEST:
        raise CiphertextError
    form, version = _VERSION.unpack_from(sealed)
    if form != SECTION_FORMAT:
        raise CiphertextError
    return int(version)


def _associated_data(header: bytes, binding: Binding) -> bytes:
    collection, record_id, section, fields = binding
    record = record_id.encode()
    return header + _encoded_place(collection, section, fields) + _pack_length(len(record)) + record


@lru_cache(maxsize=4096)
def _encoded_place(collection: str, section: str, fields: tuple[str, ...]) -> bytes:
    """Everything of a binding but the record: the same for all records of a collection, so encoded once."""
    return b"".join(
        [
            _length_prefixed(collection),
            _length_prefixed(section),
            _pack_length(len(fields)),
            *map(_length_prefixed, fields),
        ]
    )


def _length_prefixed(text: str) -> bytes:
    encoded = text.encode()
    return _pack_length(len(encoded)) + encoded
