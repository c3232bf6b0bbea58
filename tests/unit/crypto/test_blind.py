"""Blind tokens: equal values meet, and nothing else shows."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.crypto import BlindIndex


def secret_of(purpose: str) -> bytes:
    """A secret per purpose, recomputable by the test."""
    return hashlib.sha256(purpose.encode()).digest()


@given(value=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_a_token_is_the_truncated_hmac_under_the_fields_own_key(value: str) -> None:
    expected = hmac.new(secret_of("blind/phone"), value.encode(), hashlib.sha256).digest()[:16]
    index = BlindIndex(secret_of)
    assert index.token("phone", value) == index.token("phone", value) == expected


def test_equal_values_of_two_fields_or_two_installations_are_unrelated() -> None:
    one, other = BlindIndex(secret_of), BlindIndex(lambda purpose: secret_of(purpose)[::-1])
    tokens = {index.token(field, "13800138000") for index in (one, other) for field in ("phone", "fax")}
    assert len(tokens) == 4


def test_an_empty_value_has_no_token() -> None:
    with pytest.raises(ValueError, match="empty"):
        BlindIndex(secret_of).token("phone", "")
