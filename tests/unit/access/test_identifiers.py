"""Identifiers inside free text are found however people type them, and nothing else is (R68, basic B10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.declared import Kind
from service.access.identifiers import find, replaced

FOUND = [
    ("13812341234", Kind.PHONE, "13812341234"),
    ("138 1234 1234", Kind.PHONE, "13812341234"),
    ("138-1234-1234", Kind.PHONE, "13812341234"),
    ("+86 138 1234 1234", Kind.PHONE, "13812341234"),
    ("008613812341234", Kind.PHONE, "13812341234"),
    ("１３８１２３４１２３４", Kind.PHONE, "13812341234"),
    ("0512-62881234", Kind.PHONE, "051262881234"),
    ("010 62881234", Kind.PHONE, "01062881234"),
    ("11010519491231002X", Kind.ID_NUMBER, "11010519491231002X"),
    ("11010519491231002x", Kind.ID_NUMBER, "11010519491231002X"),
    ("110105 19491231 002X", Kind.ID_NUMBER, "11010519491231002X"),
    ("91110108551385082Q", Kind.ID_NUMBER, "91110108551385082Q"),
    ("6200000000000000018", Kind.BANK_CARD, "6200000000000000018"),
    ("4111 1111 1111 1111", Kind.BANK_CARD, "4111111111111111"),
    ("Ming.Zhang@Example.com", Kind.EMAIL, "ming.zhang@example.com"),
]
NOT_FOUND = [
    "12812341234",  # no mobile prefix
    "1381234123",  # a digit short
    "110105194912310021",  # wrong checksum
    "4111111111111112",  # fails Luhn
    "QY202611-00001",
    "2026-11-24",
    "12800.00",
    "ming@localhost",
]


@pytest.mark.parametrize(("typed", "kind", "value"), FOUND)
@pytest.mark.parametrize("around", [("", ""), ("请打", "找他"), ("电话:", "。"), ("(", ")")])
def test_an_identifier_is_found_where_it_stands(typed: str, kind: Kind, value: str, around: tuple[str, str]) -> None:
    if kind is Kind.EMAIL and around[0] == "(":
        around = ("<", ">")
    text = typed.join(around)
    (identifier,) = find(text)
    assert (identifier.kind, identifier.value) == (kind, value)
    assert text[identifier.start : identifier.end] == typed


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert list(find(text)) == []
    assert replaced(text, lambda _: "?") == text


@given(text=st.text(st.sampled_from("0123456789xX +-@.a年,1３８"), max_size=80))
def test_spans_come_in_order_without_overlaps_and_fit_the_text(text: str) -> None:
    end = 0
    for span in find(text):
        assert end <= span.start < span.end <= len(text)
        end = span.end


SIDE_BY_SIDE = ["13812341234", "11010519491231002X", "6200000000000000018", "+86 138 1234 1234", "91350100M000100Y43"]


@given(
    numbers=st.lists(st.sampled_from(SIDE_BY_SIDE), min_size=1, max_size=5),
    gap=st.sampled_from([" ", "-", "\u3000", ", ", "/", "和"]),
)
def test_numbers_side_by_side_are_found_one_by_one(numbers: list[str], gap: str) -> None:
    text = gap.join(numbers)
    hidden = replaced(text, lambda _: "#")
    assert not any(character.isdigit() for character in hidden), hidden
