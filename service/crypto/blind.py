"""Blind indexes: equality over sealed values, without the values."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

TOKEN_SIZE = 16


class BlindIndex:
    """Keyed tokens of normalised values, under a key of their own for each field.

    `secret_of(purpose)` gives 32 bytes for a purpose (`Keyring.secret`); the purpose of a field's key is
    `blind/<field>`, so that equal values in two fields have unrelated tokens.

    A token is the first 16 bytes of HMAC-SHA256; RFC 2104, section 5, allows truncation to half of the
    hash's output. Nobody can compute tokens without the key, so that two of a field's values share one only
    by chance: for 10^9 values the probability is below 2×10^-21. Half as long halves the index.
    """

    __slots__ = ("_secret_of", "_states")

    def __init__(self, secret_of: Callable[[str], bytes]) -> None:
        self._secret_of = secret_of
        self._states: dict[str, hmac.HMAC] = {}

    def token(self, field: str, normalised: str) -> bytes:
        """16 bytes, the same for the same normalised value of a field. Raises ValueError for an empty one."""
        if not normalised:
            raise ValueError("an empty value has no blind token")
        state = self._states.get(field)
        if state is None:
            state = hmac.new(self._secret_of(f"blind/{field}"), None, hashlib.sha256)
            self._states[field] = state
        copy = state.copy()
        copy.update(normalised.encode())
        return copy.digest()[:TOKEN_SIZE]
