"""Numbers in texts are keyed tokens in the index: found whole however they are spelled, in part never (B10)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.highlight import fragments
from search.keyed import KeyedTokens, numbers_in
from search.query import MOST_WORDS, QueryError, parse
from search.tokens import fold, index_tokens
from service.access.declared import Kind
from service.access.identifiers import find
from service.access.masks import mask_text
from service.crypto import BlindIndex

KEYED = KeyedTokens(BlindIndex(lambda purpose: purpose.encode().ljust(32)))
OTHER_KEY = KeyedTokens(BlindIndex(lambda purpose: purpose.encode().rjust(32)))
SPELLINGS = (
    "13812341234", "138 1234 1234", "138-1234-1234", "+86 138 1234 1234", "１３８１２３４１２３４", "一三八一二三四一二三四",
    "幺三八 幺二三四 幺二三四", "138一二三四1234", "1381234\n1234", "138.1234.1234", "(138)12341234", "𝟏𝟑𝟖𝟏𝟐𝟑𝟒𝟏𝟐𝟑𝟒",
)  # fmt: skip
PARTS = ("1381234123", "3812341234", "138", "1234", "12341234", "138 1234", "一三八", "138****1234", "1381234123*")


def found(text: str, typed: str) -> bool:
    """Whether an index of this text would find what is typed; each phrase somewhere in it."""
    tokens = f" {index_tokens(KEYED.hide(text))} "
    return all(f" {' '.join(phrase.tokens)} " in tokens for phrase in parse(typed, KEYED.hide).phrases)


@pytest.mark.parametrize("stored", SPELLINGS)
@pytest.mark.parametrize("typed", SPELLINGS)
def test_a_number_is_found_by_the_whole_number_however_either_is_spelled(stored: str, typed: str) -> None:
    assert found(f"客户来电 {stored},要求换货", typed)
    assert found(f"客户来电 {stored},要求换货", f"换货 {typed}")


@pytest.mark.parametrize("stored", SPELLINGS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_it_finds_nothing(stored: str, part: str) -> None:
    assert not found(f"客户来电 {stored},要求换货", part)


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_the_index_holds_no_digit_of_it(spelled: str) -> None:
    tokens = index_tokens(KEYED.hide(f"客户来电 {spelled},要求换货")).split()
    keyed = [token for token in tokens if token.startswith("id")]
    assert len(keyed) == 1
    assert not any(
        letter.isdigit() or letter in "一二三四八幺" for token in tokens if token not in keyed for letter in token
    )
    assert keyed != [token for token in index_tokens(OTHER_KEY.hide(spelled)).split() if token.startswith("id")]


def test_equal_digits_of_two_kinds_have_unrelated_tokens() -> None:
    """A token of a text is none of the customers' blind index either: neither can be looked up in the other."""
    blind = BlindIndex(lambda purpose: purpose.encode().ljust(32))
    token = KEYED.hide("13812341234").strip()
    assert blind.token("phone", "+8613812341234").hex() not in token
    assert blind.token("phone", "13812341234").hex() not in token


def test_a_phrase_may_hold_a_number() -> None:
    text = "电话 138-1234-1234 找他,另一个 15912341234"
    assert found(text, '"电话 13812341234 找他"')
    assert not found(text, '"电话 15912341234 找他"')


def test_a_question_of_many_groups_is_counted_as_it_was_typed() -> None:
    assert parse("1 3 8 1 2 3 4 1 2 3 4", KEYED.hide).phrases == parse("13812341234", KEYED.hide).phrases
    with pytest.raises(QueryError) as error:
        parse("水 " * (MOST_WORDS + 1), KEYED.hide)
    assert error.value.position == 2 * MOST_WORDS
    assert numbers_in("13812341234 水泵 ming@example.com") == 2
    assert numbers_in("水泵 QY202611-00001") == 0


def test_whoever_sees_the_number_sees_it_marked_and_nobody_else_does() -> None:
    text = "客户来电 138-1234-1234,要求换货"
    keywords = parse("13812341234", KEYED.hide)
    assert fragments(text, keywords, cut=KEYED.spans) == [
        [("客户来电 ", False), ("138-1234-1234", True), (",要求换货", False)]
    ]
    assert fragments(mask_text(text), keywords, cut=KEYED.spans) == []
    assert fragments(text, parse("换货", KEYED.hide), cut=KEYED.spans)[0][1] == ("换货", True)


TEXTS = st.lists(
    st.sampled_from([*SPELLINGS, "ming@example.com", "11010519491231002X", "水泵", "2026-11-24", " ", "\n", "；", "一", "8", "é", "\u200b", "x"]),
    max_size=8,
).map("".join)  # fmt: skip


@given(text=TEXTS)
def test_what_the_index_hides_the_mask_hides_too(text: str) -> None:
    """Both take out the same, and neither leaves a number behind: read again as the index reads it, none is there."""
    hidden = KEYED.hide(text)
    without = re.sub("id[0-9a-f]{32}", "#", hidden)
    assert list(find(fold(without))) == []
    # The mask of an address shows its domain, which may be read as part of another one beside it.
    assert [found for found in find(mask_text(text)) if found.kind is not Kind.EMAIL] == []


@given(text=TEXTS)
def test_the_tokens_of_a_shown_text_are_those_of_the_index(text: str) -> None:
    assert " ".join(token.text for token in KEYED.spans(text)) == index_tokens(KEYED.hide(text))
    assert all(0 <= token.start < token.end <= len(text) for token in KEYED.spans(text))
