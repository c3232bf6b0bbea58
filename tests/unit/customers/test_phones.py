"""Mainland mobile numbers are told by the library's own pattern; the answer is the library's (R4)."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from service.customers.rules import phone


def by_library(typed: str) -> str | None:
    try:
        parsed = phonenumbers.parse(typed, "CN")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@given(some.from_regex(r"1[0-9]{10}", fullmatch=True))
@settings(max_examples=800, deadline=None)
def test_any_eleven_digits_are_what_the_library_says(typed: str) -> None:
    assert phone(typed) == by_library(typed)


@pytest.mark.parametrize("prefix", [f"1{middle:02d}" for middle in range(100)])
def test_every_prefix_is_what_the_library_says(prefix: str) -> None:
    assert phone(f"{prefix}12345678") == by_library(f"{prefix}12345678")
