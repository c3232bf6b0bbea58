"""Our own tokens: what is indexed, what is asked, and where it stands in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.tokens import LONGEST_TOKEN, Phrase, index_tokens, query_phrase, spans


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("合同金额", "合同 同金 金额 额"),
        ("合", "合"),
        ("合同 金额", "合同 同 金额 额"),
        ("合同,金额。", "合同 同 金额 额"),
        ("购买A4纸张", "购买 买 a4 纸张 张"),
        ("\uff21\uff14纸", "a4 纸"),
        ("\uff11\uff12\uff13 Ⅳ ㎏", "123 iv kg"),
        ("Café İstanbul STRASSE straße", "cafe istanbul strasse strasse"),
        ("合\u200b同", "合同 同"),
        ("INV-2024_007", "inv 2024 007"),
        ("\U00020000\U00020001", "\U00020000\U00020001 \U00020001"),
        ("國国", "國国 国"),
        ("——!?", ""),
        ("", ""),
    ],
)
def test_texts_become_these_tokens(text: str, tokens: str) -> None:
    assert index_tokens(text) == tokens


def test_a_decomposed_accent_is_the_same_as_a_composed_one() -> None:
    assert index_tokens("cafe\u0301") == index_tokens("caf\u00e9") == "cafe"


def test_a_very_long_word_is_cut_and_still_found_as_a_phrase() -> None:
    word = "x" * (LONGEST_TOKEN + 1)

    assert index_tokens(word).split() == list(query_phrase(word).tokens) == ["x" * LONGEST_TOKEN, "x"]


@pytest.mark.parametrize(
    ("typed", "phrase"),
    [
        ("合同金额", Phrase(("合同", "同金", "金额"))),
        ("合同", Phrase(("合同",))),
        ("合", Phrase(("合",), prefix=True)),
        ("A4纸", Phrase(("a4", "纸"), prefix=True)),
        ("纸A4", Phrase(("纸", "a4"))),
        ("合同A4", Phrase(("合同", "同", "a4"))),
        ("!", Phrase(())),
    ],
)
def test_typed_words_become_these_phrases(typed: str, phrase: Phrase) -> None:
    assert query_phrase(typed) == phrase


texts = st.text(st.sampled_from("合同金额a4Bé\u0301\u200b ,纸ガ\uff9e\uff21ﷺ가ß㎏") | st.characters(), max_size=40)


@given(texts)
def test_places_tell_the_same_tokens_as_the_index_and_where_they_come_from(text: str) -> None:
    found = spans(text)

    assert " ".join(token.text for token in found) == index_tokens(text)
    assert all(0 <= token.start < token.end <= len(text) for token in found)
    assert [token.start for token in found] == sorted(token.start for token in found)


@given(texts, texts, texts)
def test_a_part_cut_at_spaces_is_always_found_in_the_whole(before: str, part: str, after: str) -> None:
    phrase = query_phrase(part)
    tokens = index_tokens(f"{before} {part} {after}").split()

    assert _contains(tokens, phrase)


@given(
    st.text("合同金额", max_size=5),
    st.text("合同金额", min_size=1, max_size=5),
    st.text("合同金额", max_size=5),
)
def test_chinese_is_found_exactly_where_the_letters_stand(before: str, part: str, after: str) -> None:
    assert _contains(index_tokens(before + part + after).split(), query_phrase(part))
    assert _contains(index_tokens(before).split(), query_phrase(part)) == (part in before)


def _contains(tokens: list[str], phrase: Phrase) -> bool:
    wanted = list(phrase.tokens)
    return not wanted or any(
        tokens[at : at + len(wanted) - 1] == wanted[:-1]
        and (
            tokens[at + len(wanted) - 1].startswith(wanted[-1])
            if phrase.prefix
            else tokens[at + len(wanted) - 1] == wanted[-1]
        )
        for at in range(len(tokens) - len(wanted) + 1)
    )
