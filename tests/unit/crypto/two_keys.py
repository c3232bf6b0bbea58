"""The attacker's tool for key commitment: one AES-GCM ciphertext that is authentic under two keys.

GCM's tag is E_K(J0) + GHASH_H(…), and GHASH is linear in each ciphertext block over GF(2^128). One free
block is therefore enough to make the tags of two keys meet (NIST SP 800-38D; Dodis et al., "Fast Message
Franking", 2018; Len, Grubbs, Ristenpart, "Partitioning Oracle Attacks", 2021).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

_REDUCTION = 0xE1 << 120


def colliding_ciphertext(keys: tuple[bytes, bytes], nonce: bytes, associated_data: tuple[bytes, bytes]) -> bytes:
    """48 bytes, two blocks and a tag, that AES-256-GCM opens under either key, each with its own data."""
    known = bytes(16)
    parts = []
    for key, data in zip(keys, associated_data, strict=True):
        lengths = (len(data) * 8).to_bytes(8, "big") + (32 * 8).to_bytes(8, "big")
        hash_key = int.from_bytes(_block(key, bytes(16)), "big")
        start = int.from_bytes(_block(key, nonce + b"\0\0\0\1"), "big")
        padded = data + bytes(-len(data) % 16)
        # The free block stands second, so the lengths' block follows it: its factor is H^2.
        constant = _ghash(hash_key, padded + known + bytes(16) + lengths) ^ start
        parts.append((constant, _multiply(hash_key, hash_key)))
    (constant_one, factor_one), (constant_other, factor_other) = parts
    free = _multiply(constant_one ^ constant_other, _inverse(factor_one ^ factor_other))
    tag = constant_one ^ _multiply(free, factor_one)
    return known + free.to_bytes(16, "big") + tag.to_bytes(16, "big")


def _block(key: bytes, block: bytes) -> bytes:
    return Cipher(AES(key), ECB()).encryptor().update(block)


def _ghash(hash_key: int, text: bytes) -> int:
    value = 0
    for position in range(0, len(text), 16):
        value = _multiply(value ^ int.from_bytes(text[position : position + 16], "big"), hash_key)
    return value


def _multiply(left: int, right: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (_REDUCTION if right & 1 else 0)
    return product


def _inverse(value: int) -> int:
    # Fermat: value^(2^128 - 2).
    result, power = 1 << 127, value
    for _ in range(127):
        power = _multiply(power, power)
        result = _multiply(result, power)
    return result
