"""What can go wrong with ciphertexts and keyrings."""

from __future__ import annotations


class CiphertextError(Exception):
    """The one refusal of every ciphertext, whatever was wrong with it.

    It takes no argument and always reads the same, so that nobody learns from it which check failed
    (padding and decryption oracles: Bleichenbacher 1998, Vaudenay 2002; OWASP Cryptographic Storage).
    """

    def __init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        return "the ciphertext cannot be opened"


class KeyringError(Exception):
    """The keyring is missing, unsafe or incomplete; the text names the remedy and never a secret."""


class UnknownKeyError(KeyringError, CiphertextError):
    """A wrapped key names a key-encryption key that this keyring does not have.

    The id stands in the clear in every wrapped key, so naming it tells an attacker nothing; it is a
    CiphertextError too, so that whoever handles unreadable ciphertexts handles this one.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__()
        self.key_id = key_id

    def __str__(self) -> str:
        return f"key-encryption key {self.key_id!r} is not in the keyring; add it from the keyring's backup"

    def __reduce__(self) -> tuple[type[UnknownKeyError], tuple[str]]:
        return type(self), (self.key_id,)
