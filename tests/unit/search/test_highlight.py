"""Highlights made from the text that the actor may see."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from search.highlight import Fragment, fragments
from search.query import QueryError, parse


def hits(found: list[Fragment]) -> list[str]:
    return [part for fragment in found for part, is_hit in fragment if is_hit]


def marked(text: str, typed: str) -> list[str]:
    return hits(fragments(text, parse(typed)))


def test_a_short_text_is_one_fragment_with_its_hits() -> None:
    found = fragments("关于合同金额错误", parse("合同金额"))

    assert found == [[("关于", False), ("合同金额", True), ("错误", False)]]


def test_hits_are_shown_as_they_were_written() -> None:
    assert marked("买了\uff21\uff14纸张", "a4纸") == ["\uff21\uff14纸"]
    assert marked("Cafe\u0301 closed", "CAFÉ") == ["Cafe\u0301"]
    assert marked("合\u200b同", "合同") == ["合\u200b同"]
    assert marked("INV-7 and inv 8", "inv-7") == ["INV-7"]


def test_a_single_letter_is_marked_alone_wherever_it_stands() -> None:
    assert marked("同意合同", "同") == ["同", "同"]


def test_what_does_not_match_is_not_marked() -> None:
    assert fragments("合同 金额", parse("合同金额")) == []
    assert fragments("代价", parse("底价")) == []
    assert fragments("任何文字", parse("")) == []
    assert fragments("", parse("合同")) == []


def test_words_far_apart_come_in_separate_fragments_in_the_order_of_the_text() -> None:
    text = "发票" + "空" * 500 + "仓库" + "空" * 500 + "发票"

    found = fragments(text, parse("仓库 发票"), width=20)

    assert hits(found) == ["发票", "仓库", "发票"]
    assert all(len("".join(part for part, _ in fragment)) == 20 for fragment in found)


def test_fragments_with_more_of_the_words_are_preferred() -> None:
    text = ("发票" + "空" * 100) * 5 + "仓库的发票" + "空" * 100 + "仓库"

    found = fragments(text, parse("仓库 发票"), width=20, most=1)

    assert hits(found) == ["仓库", "发票"]


def test_a_hit_that_reaches_over_many_signs_does_not_blow_up_its_fragment() -> None:
    text = "late" + "." * 10_000 + "delivery"

    found = fragments(text, parse('"late delivery"'))

    assert hits(found) == ["late", "delivery"]
    assert all(len("".join(part for part, _ in fragment)) <= 60 for fragment in found)


def test_repeated_letters_do_not_make_it_slow() -> None:
    text = "啊" * 200_000
    started = time.process_time()

    found = fragments(text, parse("啊" * 199 + "吧"))
    many = fragments(text, parse("啊" * 100))

    assert found == []
    assert len(many) == 3
    assert time.process_time() - started < 5


words = st.text(st.sampled_from("合同金额aB4 é\u0301,。\uff21纸"), max_size=60)


@given(words, words, st.integers(1, 30), st.integers(1, 4))
def test_fragments_are_pieces_of_the_text_within_their_bounds(text: str, typed: str, width: int, most: int) -> None:
    try:
        keywords = parse(typed)
    except QueryError:
        return
    found = fragments(text, keywords, width=width, most=most)

    pieces = ["".join(part for part, _ in fragment) for fragment in found]
    at = 0
    for piece in pieces:  # in order, without overlap
        at = text.index(piece, at) + len(piece)
    assert len(found) <= most
    assert all(0 < len(piece) <= width for piece in pieces)
    assert all(any(is_hit for _, is_hit in fragment) for fragment in found)
