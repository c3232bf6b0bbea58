"""What people type, in one normal form (R4): nothing invisible in it, no text made of nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.normal import clean, half_width, tidy


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000", "\u0000", "\u200b\u200d\ufeff", "\u2060", "\u202e", "\u00ad", "\u3164", "\u2800",
                                  "\u034f", "\ud800", "\x1b"])  # fmt: skip
def test_a_text_in_which_nothing_is_to_be_seen_is_empty(text: str) -> None:
    assert clean(text) == ""
    assert tidy(text) == ""


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("水\u0000泵\u200b漏\u202e水", "水泵漏水"),
        ("  一行\r\n二行\r三行 ", "一行\n二行\n三行"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),
        ("𠮷\U0002ebf0\ue000", "𠮷\U0002ebf0\ue000"),
    ],
)
def test_a_text_keeps_what_is_to_be_seen(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_short_text_has_single_spaces() -> None:
    assert tidy(" 张 \u3000\t 三 ") == "张 三"


@given(text=st.text(st.characters(), max_size=50))
def test_cleaning_once_is_enough(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "\x00" not in once
    assert tidy(tidy(text)) == tidy(text)


def test_only_full_width_forms_become_narrow() -> None:
    assert half_width("１２．５-²①") == "12.5-²①"


@given(st.text(max_size=60) | st.text("ab 水泵\u3000\u200b\u0301\n\t\u3164é", max_size=20))
@settings(max_examples=500, deadline=None)
def test_the_short_way_cleans_as_the_long_one_does(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    seen = "".join(c for c in lines if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    visible = any(
        unicodedata.category(c)[0] in "LNPSC" and c not in "\u115f\u1160\u3164\uffa0\u2800"
        for c in seen
        if c not in "\n\t"
    )
    assert clean(text) == (unicodedata.normalize("NFC", seen).strip() if visible else "")
