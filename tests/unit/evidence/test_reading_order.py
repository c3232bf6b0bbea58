"""The order of recognised lines, and when a PDF's own text is believed (R49a)."""

from __future__ import annotations

import math

import pytest

from service.evidence.reading.pdf import clean, is_believable
from service.evidence.reading.recognition import Piece, in_reading_order


def piece(text: str, x: float, y: float, w: float, h: float = 20, slant: float = 0.0) -> Piece:
    """A box whose line rises or falls by `slant` radians around the origin."""
    corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    cosine, sine = math.cos(slant), math.sin(slant)
    return Piece(tuple((a * cosine - b * sine, a * sine + b * cosine) for a, b in corners), text, 0.9)


@pytest.mark.parametrize("slant", [0.0, 0.06, -0.06])
def test_rows_run_from_the_top_and_from_the_left_even_on_a_slanted_photograph(slant: float) -> None:
    pieces = [
        piece("噪音", 100, 200, 600, slant=slant),
        piece("编号 7", 800, 103, 300, slant=slant),
        piece("客户", 100, 100, 300, slant=slant),
    ]
    assert in_reading_order(pieces, 1200, 800).text == "客户 编号 7\n噪音"


def test_a_chinese_word_that_fell_into_two_pieces_is_one_word_again() -> None:
    pieces = [piece("轴", 100, 100, 20), piece("承", 124, 100, 20), piece("No", 300, 100, 40)]
    assert in_reading_order(pieces, 1200, 800).text == "轴承 No"


def test_boxes_stand_in_the_texts_order_and_inside_the_page() -> None:
    read = in_reading_order([piece("b", -5, 50, 2000), piece("a", 0, 0, 600)], 1200, 800)
    assert [(box.text, box.x, box.w) for box in read.boxes] == [("a", 0, 0.5), ("b", 0, 1)]


def test_an_empty_page_is_read_with_certainty() -> None:
    read = in_reading_order([], 10, 10)
    assert (read.text, read.boxes, read.confidence) == ("", [], 1.0)


@pytest.mark.parametrize(
    ("text", "shows_more", "is_scan", "expected"),
    [
        ("", False, False, True),
        ("", True, False, False),
        ("第一页", False, False, True),
        ("第一页", True, False, False),
        ("设备运行三个月后轴承出现异常噪音要求更换", True, False, True),
        ("Scanned by device 0098 on 2026-03-12", True, True, False),
        ("设备运行三个月后轴承出现异常噪音要求更换" * 12, True, True, True),
        ("\ufffd\ufffd\ufffd设备运行" * 10, False, False, False),
        ("\ue012\ue013\ue014\ue015" * 10, False, False, False),
        ("!\"#$%&'()*+,-./" * 10, False, False, False),
    ],
)
def test_a_text_layer_is_believed_only_when_it_can_be_what_the_page_shows(
    text: str, shows_more: bool, is_scan: bool, expected: bool
) -> None:
    assert is_believable(text, shows_more, is_scan) is expected


def test_text_is_cleaned_of_what_nobody_sees() -> None:
    assert clean("\u2f42件\r\nA\u200bB\x07\u202e \ud800") == "文件\nAB"
