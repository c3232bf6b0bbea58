"""Ids are TypeIDs: a prefix and a UUIDv7 that sorts by time; one type's id is never another's (P6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clock import ALPHABET, clock_set, first_id, is_id, new_id, now

AT = datetime(2026, 11, 24, 2, 4, 57, 123000, tzinfo=UTC)


def _uuid(identifier: str) -> UUID:
    value = 0
    for letter in identifier.partition("_")[2]:
        value = value * 32 + ALPHABET.index(letter)
    return UUID(int=value)


def test_an_id_is_a_version_7_uuid_of_its_moment() -> None:
    with clock_set(AT):
        found = _uuid(new_id("cus"))
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert found.int >> 80 == int(AT.timestamp() * 1000)


def test_ids_of_later_moments_sort_later() -> None:
    with clock_set(AT) as clock:
        ids = []
        for _ in range(200):
            ids.append(new_id("cas"))
            clock.advance(timedelta(milliseconds=1))
    assert ids == sorted(ids)


def test_a_moment_bounds_the_ids_that_are_made_from_then_on() -> None:
    for seed in range(50):
        with clock_set(AT, seed) as clock:
            clock.advance(timedelta(milliseconds=-1))
            before = new_id("jrn")
            clock.advance(timedelta(milliseconds=1))
            after = new_id("jrn")
        assert before < first_id("jrn", AT) < after
    assert len(first_id("jrn", AT)) == len(after)
    assert first_id("jrn", datetime.min.replace(tzinfo=UTC)) < before
    assert first_id("jrn", datetime.max.replace(tzinfo=UTC)) > after


def test_ids_are_never_the_same() -> None:
    assert len({new_id("cus") for _ in range(10_000)}) == 10_000


def test_the_same_seed_gives_the_same_ids() -> None:
    with clock_set(AT, seed=7):
        first = [new_id("cus") for _ in range(5)]
    with clock_set(AT, seed=7):
        assert [new_id("cus") for _ in range(5)] == first
    with clock_set(AT, seed=8):
        assert [new_id("cus") for _ in range(5)] != first


def test_a_set_clock_is_left_behind_with_its_context() -> None:
    with clock_set(AT):
        assert now() == AT
    assert now() != AT
    assert now().microsecond % 1000 == 0
    assert now().tzinfo is UTC


def test_an_id_is_one_of_its_own_type_only() -> None:
    made = new_id("cus")
    assert is_id(made, "cus")
    assert not is_id(made, "cas")
    assert not is_id(made, "cu")
    assert not is_id(made, "")


@pytest.mark.parametrize(
    "value",
    [
        None, 7, b"cus_01jd0000000000000000000000", "", "cus", "cus_",
        "cus_01JD0000000000000000000000",  # upper case
        "CUS_01jd0000000000000000000000",
        "cus_81jd0000000000000000000000",  # more than 128 bits
        "cus_01jd000000000000000000000",  # short
        "cus_01jd00000000000000000000000",  # long
        "cus_01jd000000000000000000000i", "cus_01jd000000000000000000000l",
        "cus_01jd000000000000000000000o", "cus_01jd000000000000000000000u",
        "cus_01jd000000000000000000000\n", "cus_01jd00000000000000000000０0", "cus_01jd0000000000000000000 0",
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused(value: object) -> None:
    assert not is_id(value, "cus")


@given(value=st.text(max_size=40))
def test_no_other_text_is_an_id_by_chance(value: str) -> None:
    assert not is_id(value, "cus") or value.startswith("cus_")
