"""Entries are canonical (RFC 8785), so that anybody can check a hash over them with another implementation (P22)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as some

from service.journal.canonical import canonical

KEYS = some.text(some.characters(max_codepoint=127), max_size=12)
LEAVES = some.none() | some.booleans() | some.integers(-(2**53) + 1, 2**53 - 1) | some.text(max_size=40)
ENTRIES = some.dictionaries(
    KEYS,
    some.recursive(LEAVES, lambda inner: some.lists(inner, max_size=4) | some.dictionaries(KEYS, inner, max_size=4)),
)


@given(ENTRIES)
@settings(max_examples=300, deadline=None)
def test_an_entry_has_the_bytes_that_another_implementation_gives_it(entry: dict[str, Any]) -> None:
    assert canonical(entry) == rfc8785.dumps(entry)


def test_every_character_is_written_as_the_rfc_says() -> None:
    for start in range(0, 0x20000, 0x800):
        if 0xD800 <= start < 0xE000:
            continue
        text = "".join(map(chr, range(start, start + 0x800)))
        assert canonical({"text": text}) == rfc8785.dumps({"text": text})


@pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), 2**53, -(2**53), b"bytes", {1, 2}, object()])
def test_what_is_no_entry_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical({"value": value})
