"""Masks show what R68 says and nothing of what they hide; a mask that is sent back is known as one (R68)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.declared import Kind, shape_of
from service.access.masks import MASKS, STAR, is_mask, mask, mask_pieces
from service.access.view import masked
from service.cases.model import Case, CaseEvent
from service.customers.model import Customer
from service.evidence.model import PAGE_SHAPE, Evidence, EvidencePage

EXAMPLES = [
    (Kind.NAME, "张小明", "张**"),
    (Kind.NAME, "张", "*"),
    (Kind.NAME, "欧阳若兰", "欧***"),
    (Kind.NAME, "Ada Lovelace", "A***"),
    (Kind.PHONE, "+8613812341234", "138****1234"),
    (Kind.PHONE, "+8651262881234", "512****1234"),
    (Kind.PHONE, "+442071838750", "****50"),
    (Kind.PHONE, "119", "****"),
    (Kind.EMAIL, "ming.zhang@example.com", "m***@example.com"),
    (Kind.EMAIL, "m@example.com", "***@example.com"),
    (Kind.EMAIL, "broken", "***"),
    (Kind.WECHAT, "wxid_abcdef", "w***"),
    (Kind.WECHAT, "abc", "***"),
    (Kind.ID_NUMBER, "110101199003070011", "1****************1"),
    (Kind.ID_NUMBER, "1234", "****"),
    (Kind.ADDRESS, "江苏省苏州市工业园区星湖街328号", "江苏省苏州***"),
    (Kind.ADDRESS, "星湖街", "星***"),
    (Kind.BANK_CARD, "6222021234567890", "**** **** **** 7890"),
    (Kind.BANK_CARD, "62220212345678901234", "**** **** **** 1234"),
    (Kind.BANK_CARD, "12345678", "****"),
    (Kind.AMOUNT, "12800.00", "***"),
    (Kind.AMOUNT, "1.00", "***"),
    (Kind.DATE_OF_BIRTH, "1990-03-07", "1990-**-**"),
    (Kind.CHOICE, "true", "***"),
    (Kind.CHOICE, "no", "***"),
    (Kind.FILE, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "***"),
    (Kind.PLAIN, "secret", "s***"),
    (Kind.PLAIN, "abc", "***"),
]
# Kinds whose mask hides characters: how many of the value's first and last ones may stay.
KEPT = {
    Kind.NAME: (1, 0),
    Kind.WECHAT: (1, 0),
    Kind.PLAIN: (1, 0),
    Kind.ID_NUMBER: (1, 1),
    Kind.ADDRESS: (6, 0),
    Kind.BANK_CARD: (0, 4),
    Kind.AMOUNT: (0, 0),
}
# Every character once: whatever of the hidden part is in the mask can only have come from there.
distinct = st.lists(
    st.characters(codec="utf-8", exclude_characters=STAR + " ", exclude_categories=["Cs", "Cc"]),
    min_size=1, max_size=30, unique=True,
).map("".join)  # fmt: skip
digits = st.text("0123456789", min_size=1, max_size=15)


@pytest.mark.parametrize(("kind", "value", "shown"), EXAMPLES)
def test_a_mask_looks_as_people_expect(kind: Kind, value: str, shown: str) -> None:
    assert mask(kind, value) == shown


@pytest.mark.parametrize("kind", sorted(KEPT))
@given(value=distinct)
def test_a_mask_holds_nothing_of_the_masked_middle(kind: Kind, value: str) -> None:
    first, last = KEPT[kind]
    hidden = value[first : len(value) - last]
    assert not set(hidden) & set(mask(kind, value))


@given(number=digits)
def test_the_mask_of_a_phone_shows_seven_digits_at_most(number: str) -> None:
    shown = mask(Kind.PHONE, f"+86{number}")
    if len(number) == 11:
        assert shown == f"{number[:3]}****{number[-4:]}"
    else:
        assert shown in ("****", f"****{number[-2:]}")


@given(local=distinct.filter(lambda text: "@" not in text))
def test_the_mask_of_an_email_hides_the_local_part(local: str) -> None:
    shown = mask(Kind.EMAIL, f"{local}@例")
    assert not set(local[1:]) & set(shown.removesuffix("@例"))


@given(day=st.dates())
def test_the_mask_of_a_date_of_birth_is_its_year(day: object) -> None:
    assert mask(Kind.DATE_OF_BIRTH, str(day)) == f"{str(day)[:4]}-**-**"


@pytest.mark.parametrize("kind", sorted(set(MASKS) - {Kind.TEXT, Kind.LABEL}))
@given(value=st.text(min_size=1, max_size=40))
def test_what_was_shown_is_known_when_it_comes_back(kind: Kind, value: str) -> None:
    assert is_mask(kind, mask(kind, value))


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, value, _ in EXAMPLES])
def test_a_value_is_not_taken_for_a_mask(kind: Kind, value: str) -> None:
    assert not is_mask(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.NAME, "A*STAR Research"),
        (Kind.NAME, "*AB"),
        (Kind.NAME, "五*集团"),
        (Kind.NAME, "Star ***** Hotel"),
        (Kind.NAME, "Hotel ***"),
        (Kind.EMAIL, "a*b@example.com"),
        (Kind.ADDRESS, "星湖街***号楼旁"),
        (Kind.ADDRESS, "江苏省苏州市星湖街328号*座"),
        (Kind.PLAIN, "2*3"),
        (Kind.PLAIN, "memo ***"),
        (Kind.LABEL, "***"),
    ],
)
def test_a_value_with_stars_in_it_is_no_mask(kind: Kind, value: str) -> None:
    assert not is_mask(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.NAME, "张**"), (Kind.NAME, "A***"), (Kind.NAME, "*"), (Kind.NAME, "李*"), (Kind.PHONE, "138****1234"),
        (Kind.ID_NUMBER, "1****************1"), (Kind.BANK_CARD, "**** **** **** 7890"), (Kind.AMOUNT, "***"),
        (Kind.EMAIL, "m***@example.com"), (Kind.DATE_OF_BIRTH, "1990-**-**"), (Kind.ADDRESS, "江苏省苏州***"),
    ],
)  # fmt: skip
def test_the_unmistakable_forms_are_masks_whatever_is_stored(kind: Kind, value: str) -> None:
    assert is_mask(kind, value)


def test_narrative_may_hold_stars_but_not_be_the_mask_of_what_is_stored() -> None:
    stored = "型号 A*B***,联系 13812341234"
    shown = mask(Kind.TEXT, stored)
    assert not is_mask(Kind.TEXT, "型号 A*B***")
    assert not is_mask(Kind.TEXT, stored, stored)
    assert not is_mask(Kind.TEXT, shown)
    assert is_mask(Kind.TEXT, shown, stored)


def test_free_text_keeps_what_stands_around_its_identifiers() -> None:
    text = "客户 13812341234 说身份证 11010519491231002X,邮箱 ming@example.com,卡 6200000000000000018。"
    shown = mask(Kind.TEXT, text)
    assert shown == "客户 138****1234 说身份证 1****************X,邮箱 m***@example.com,卡 **** **** **** 0018。"


@given(around=st.text("的了电话客户,。", max_size=20), number=st.integers(13_000_000_000, 19_999_999_999))
def test_no_mobile_number_stays_whole_in_masked_text(around: str, number: int) -> None:
    assert str(number) not in mask(Kind.TEXT, f"{around}{number}{around}")


def test_nothing_and_lists_are_masked_as_such() -> None:
    assert mask(Kind.NAME, None) is None
    assert mask(Kind.NAME, ["张小明", "李四"]) == ["张**", "李*"]


@pytest.mark.parametrize("model", [Customer, Case, CaseEvent, Evidence, EvidencePage])
def test_every_sealed_field_has_a_mask(model: type) -> None:
    """A kind without a mask would fail in the middle of an answer."""
    found = 0
    waiting = [shape_of(model)]
    while waiting:
        for field in waiting.pop().fields:
            if field.item is not None:
                waiting.append(shape_of(field.item))
            elif field.sensitivity.value != "OPEN":
                # A channel's kind stands beside its value.
                assert field.kind in MASKS or field.kind is Kind.CHANNEL, f"{model.__name__}.{field.name}"
                found += 1
    assert found


def test_a_number_that_is_broken_over_the_lines_of_a_scan_is_masked_in_all_of_them() -> None:
    """P12: half a number in each box would be a whole one."""
    lines = ["联系电话 138", "1234", "1234 钱小姐", "金额 12,800.00", "卡号 4111 1111", "1111 1111"]
    assert mask_pieces(lines) == [
        "联系电话 138****1234", "***", "*** 钱小姐", "金额 12,800.00", "卡号 **** **** **** 1111", "***",
    ]  # fmt: skip
    assert mask_pieces([]) == []
    assert mask_pieces(["", "13812341234", ""]) == ["", "138****1234", ""]


@given(cuts=st.lists(st.integers(0, 30), max_size=4))
def test_however_a_text_is_cut_into_pieces_no_number_is_left(cuts: list[int]) -> None:
    text = "钱小姐 13812341234 或 13912341234 收"
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [text[start:end] for start, end in pairwise(places)]
    left = "".join(letter for piece in mask_pieces(pieces) for letter in piece if letter.isdigit())
    assert left == "13812341391234", "what the masks themselves show, and nothing more"


def test_the_boxes_of_a_page_are_masked_as_its_text_is() -> None:
    box = {"x": 0.1, "y": 0.1, "w": 0.5, "h": 0.1, "confidence": 1.0}
    stored = [{**box, "text": "电话 1381234"}, {**box, "text": "1234"}]
    shown = masked(PAGE_SHAPE.by_name["boxes"], stored)
    assert [item["text"] for item in shown] == ["电话 138****1234", "***"]
    assert [item["x"] for item in shown] == [0.1, 0.1]
    assert stored[1]["text"] == "1234", "a mask changes nothing of what it was given"
