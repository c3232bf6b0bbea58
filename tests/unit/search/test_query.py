"""What people type, read into phrases, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.query import (
    LONGEST_QUERY,
    MOST_WORDS,
    NO_WORDS,
    TOO_LONG,
    TOO_MANY_WORDS,
    UNCLOSED_QUOTE,
    Keywords,
    QueryError,
    parse,
)
from search.tokens import Phrase


@pytest.mark.parametrize("blank", ["", "   ", "\u3000", "、"])
def test_nothing_typed_matches_everything(blank: str) -> None:
    assert parse(blank) == Keywords()


@pytest.mark.parametrize("typed", ["late delivery", "late\u3000delivery", "late、delivery", "late\uff0cdelivery late"])
def test_words_between_any_spaces_are_separate_and_each_once(typed: str) -> None:
    assert parse(typed).phrases == (Phrase(("late",)), Phrase(("delivery",)))


@pytest.mark.parametrize("quotes", ['""', "“”", "「」", "『』", "\uff02\uff02", '“"'])
def test_quotes_of_every_kind_make_a_phrase(quotes: str) -> None:
    typed = f"x {quotes[0]}late 合同{quotes[1]} y"

    assert parse(typed).phrases == (Phrase(("x",)), Phrase(("late", "合同")), Phrase(("y",)))


def test_a_quote_inside_a_word_is_a_sign_like_others() -> None:
    assert parse('5" 屏幕').phrases == (Phrase(("5",)), Phrase(("屏幕",)))


@pytest.mark.parametrize(
    ("typed", "reason", "position"),
    [
        ("a" * (LONGEST_QUERY + 1), TOO_LONG, LONGEST_QUERY),
        ("a " * (MOST_WORDS + 1), TOO_MANY_WORDS, 2 * MOST_WORDS),
        ('late "delivery', UNCLOSED_QUOTE, 5),
        ("合同 「金额", UNCLOSED_QUOTE, 3),
        ("***", NO_WORDS, 0),
        ('""', NO_WORDS, 0),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place_and_without_its_words(
    typed: str, reason: str, position: int
) -> None:
    with pytest.raises(QueryError) as refused:
        parse(typed)

    assert (refused.value.reason, refused.value.position) == (reason, position)
    assert str(refused.value) == f"{reason} at {position}"


@given(st.text(max_size=LONGEST_QUERY))
def test_any_text_is_read_or_refused_and_only_blanks_match_everything(typed: str) -> None:
    try:
        keywords = parse(typed)
    except QueryError:
        return
    is_blank = all(letter.isspace() or letter in "\u3001\u3002\uff0c\uff1b" for letter in typed)
    assert bool(keywords.phrases) != is_blank
    assert all(phrase.tokens for phrase in keywords.phrases)
