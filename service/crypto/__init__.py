"""Keys and ciphertexts: bytes in, bytes out, no word of the domain.

Every format, byte by byte. Numbers are big-endian; `len32(x)` is the length of x in 4 bytes and then x;
texts are UTF-8. A format byte never changes its meaning: a changed format gets a new number.

Sealed section (`seal`, `open_sealed`), plaintext + 51 bytes:

    0      1   format, 1
    1      4   data key version, 1 … 2^32-1
    5      2   layout: the number of the section's field list
    7     16   commitment: HKDF-SHA256(data key, info "anjuan/section-commitment/1/" + class)
    23    12   nonce, random
    35     n   AES-256-GCM ciphertext of the n plaintext bytes
    35+n  16   its tag

  key: HKDF-SHA256(data key, no salt, info "anjuan/section-key/1/" + class), 32 bytes
  associated data: bytes 0 … 22, len32(collection), len32(class), number of fields in 4 bytes,
  len32(field) for each, len32(record id)

Wrapped data key (`Keyring.wrap`, `unwrap`), 78 bytes + key id:

    0      1   format, 1
    1      1   k, the length of the key id, 1 … 64
    2      k   id of the key-encryption key, [a-z0-9._-]
    2+k   16   commitment: HKDF-SHA256(key-encryption key, info "anjuan/wrapping-commitment/1")
    18+k  12   nonce, random
    30+k  32   AES-256-GCM ciphertext of the data key
    62+k  16   its tag

  key: HKDF-SHA256(key-encryption key, no salt, info "anjuan/wrapping-key/1"), 32 bytes
  associated data: bytes 0 … 17+k, len32(context)

Data key wrapped by Vault's transit engine (`TransitEncryption`), 1 byte + Vault's own text:

    0      1   format, 2
    1      n   what Vault gave: "vault:v", the version of Vault's key, ":", base64 (its own format); at most 1 KiB

  Vault derives the key from its own and the context (`derived=true`), so that another context opens nothing

Both commitments have 16 bytes: a message that opens under two keys costs its maker about 2^64 derivations
and the choice of both keys. They are compared in constant time before anything is decrypted.

Object (`SegmentEncryptor`, `SegmentDecryptor`), Tink's AES256_GCM_HKDF_1MB, plaintext + 40 + 16 a segment:

    0      1   header size, 40
    1     32   salt, random
    33     7   nonce prefix, random
    40     …   segment 0, up to byte 2^20 - 1; then a segment every 2^20 bytes; the last one is shorter

  a segment: AES-256-GCM ciphertext and its 16-byte tag, no associated data
  its nonce: nonce prefix, index in 4 bytes, 1 for the last segment and 0 for any other in 1 byte
  key: HKDF-SHA256(object key, salt, info = the caller's associated data), 32 bytes
  Without a commitment of its own (Tink has none): the SHA-256 of the whole object, kept beside it, is one.

Blind token (`BlindIndex.token`): the first 16 bytes of HMAC-SHA256(secret "blind/" + field, value).

Secrets (`Keyring.secret`): HKDF-SHA256(root secret, no salt, info "anjuan/secret/1/" + purpose), 32 bytes.

The keyring's own form is in `service.crypto.keyring`.
"""

from service.crypto.blind import BlindIndex
from service.crypto.encryption import KeyEncryption, KeyringEncryption, WrappedItem
from service.crypto.envelope import Binding, DataKey, Place, open_sealed, open_section, peek_key_version, seal
from service.crypto.errors import CiphertextError, KeyringError, UnknownKeyError
from service.crypto.keyring import Keyring
from service.crypto.streaming import (
    HEADER_SIZE,
    SEGMENT_SIZE,
    RangeDecryptor,
    RangePlan,
    SegmentDecryptor,
    SegmentEncryptor,
    ciphertext_size,
    plan_range,
    plan_whole,
    segment_count,
)
from service.crypto.transit import TransitEncryption

__all__ = [
    "HEADER_SIZE",
    "SEGMENT_SIZE",
    "Binding",
    "BlindIndex",
    "CiphertextError",
    "DataKey",
    "KeyEncryption",
    "Keyring",
    "KeyringEncryption",
    "KeyringError",
    "Place",
    "RangeDecryptor",
    "RangePlan",
    "SegmentDecryptor",
    "SegmentEncryptor",
    "TransitEncryption",
    "UnknownKeyError",
    "WrappedItem",
    "ciphertext_size",
    "open_sealed",
    "open_section",
    "peek_key_version",
    "plan_range",
    "plan_whole",
    "seal",
    "segment_count",
]
