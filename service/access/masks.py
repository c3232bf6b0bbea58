"""Masks: what is shown of a value at level PARTIAL (R68). Pure, and the only place where values are masked.

Every mask has at least one `*`, and a value that is one is refused on the way in (`is_mask`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from service.access.declared import Kind
from service.access.identifiers import Identifier, find, replaced

STAR = "*"


def mask_name(value: str) -> str:
    """张小明 → 张**; Ada Lovelace → A***."""
    if not value:
        return STAR
    rest = max(1, min(len(value) - 1, 3))
    return value[0] + STAR * rest if len(value) > 1 else STAR


def mask_phone(value: str) -> str:
    """+8613812341234 → 138****1234; shorter numbers keep their last two digits."""
    digits = value.removeprefix("+86")
    if len(digits) == 11 and digits.isdigit():
        return f"{digits[:3]}****{digits[-4:]}"
    return f"****{digits[-2:]}" if len(digits) > 4 else "****"


def mask_email(value: str) -> str:
    """ming.zhang@example.com → m***@example.com."""
    local, at, domain = value.partition("@")
    return f"{local[:1]}***@{domain}" if at and len(local) > 1 else f"***@{domain}" if at else "***"


def mask_id_number(value: str) -> str:
    """110101199003070011 → 1****************1: length kept, nothing of birth date or place."""
    return value[:1] + STAR * (len(value) - 2) + value[-1:] if len(value) > 4 else STAR * 4


def mask_address(value: str) -> str:
    """江苏省苏州市工业园区星湖街328号 → 江苏省苏州***: the first third, six characters at most."""
    return value[: min(6, len(value) // 3)] + "***"


def mask_bank_card(value: str) -> str:
    """6222021234567890 → **** **** **** 7890, whatever the length."""
    return f"**** **** **** {value[-4:]}" if len(value) > 8 else "****"


def mask_amount(value: str) -> str:
    """Nothing of an amount but that there is one."""
    return "***" if value else STAR


def mask_whole(value: str) -> str:  # noqa: ARG001 - that is the point
    """What is one of a few values, or fits one value alone (a digest): any part of it would tell it."""
    return "***"


def mask_date_of_birth(value: str) -> str:
    """1990-03-07 → 1990-**-**."""
    return f"{value[:4]}-**-**"


def mask_text(value: str) -> str:
    """Free text: only the identifiers inside are masked; what stands around them counts as visible."""
    return replaced(value, mask_identifier)


def mask_pieces(values: Sequence[str]) -> list[str]:
    """Free text that lies in pieces one after another, such as the lines of a scan: an identifier that is broken over
    several is masked in the first and gone from the others, as it would be in the whole text.
    """
    found: list[list[tuple[int, int, str]]] = [[] for _ in values]
    whole = " ".join(values)
    starts = list(accumulate((len(value) + 1 for value in values), initial=0))
    for identifier in find(whole):
        text = mask_identifier(identifier)
        for number in range(bisect_right(starts, identifier.start) - 1, len(values)):
            start, end = identifier.start - starts[number], identifier.end - starts[number]
            if end <= 0:
                break
            found[number].append((max(0, start), min(end, len(values[number])), text))
            text = STAR * 3
    return [_cut(value, cuts) for value, cuts in zip(values, found, strict=True)]


def _cut(value: str, cuts: Sequence[tuple[int, int, str]]) -> str:
    parts, end = [], 0
    for start, stop, text in cuts:
        parts += [value[end:start], text]
        end = stop
    return "".join([*parts, value[end:]])


def mask_identifier(found: Identifier) -> str:
    """The mask of an identifier found in free text."""
    return MASKS[found.kind](found.value)


def mask_plain(value: str) -> str:
    """A value of no special kind: its first character at most."""
    return value[0] + "***" if len(value) > 3 else "***"


MASKS: dict[Kind, Callable[[str], str]] = {
    Kind.PLAIN: mask_plain,
    Kind.NAME: mask_name,
    Kind.PHONE: mask_phone,
    Kind.EMAIL: mask_email,
    Kind.WECHAT: mask_plain,
    Kind.ID_NUMBER: mask_id_number,
    Kind.ADDRESS: mask_address,
    Kind.BANK_CARD: mask_bank_card,
    Kind.AMOUNT: mask_amount,
    Kind.DATE_OF_BIRTH: mask_date_of_birth,
    Kind.CHOICE: mask_whole,
    Kind.FILE: mask_whole,
    Kind.TEXT: mask_text,
    Kind.LABEL: str,
}


def mask(kind: Kind, value: Any) -> Any:
    """The mask of a value that a field of this kind holds; None stays None, a list is masked item by item."""
    if value is None:
        return None
    if isinstance(value, list):
        return [mask(kind, item) for item in value]
    return MASKS[kind](str(value))


# What each kind's masks look like as a whole. A star inside a value is nobody's mask: `A*STAR Research` is a name.
_MASKED: Mapping[Kind, re.Pattern[str]] = {
    kind: re.compile(form, re.DOTALL)
    for kind, form in {
        Kind.PLAIN: r".?\*{3}",
        Kind.NAME: r".?\*{1,3}",
        Kind.PHONE: r".{3}\*{4}.{4}|\*{4}.{0,2}",
        Kind.EMAIL: r".?\*{3}(?:@.*)?",
        Kind.WECHAT: r".?\*{3}",
        Kind.ID_NUMBER: r".\*{3,}.|\*{4}",
        Kind.ADDRESS: r".{0,6}\*{3}",
        Kind.BANK_CARD: r"\*{4} \*{4} \*{4} .{4}|\*{4}",
        Kind.AMOUNT: r"\*{1,3}",
        Kind.CHOICE: r"\*{3}",
        Kind.FILE: r"\*{3}",
        Kind.DATE_OF_BIRTH: r".{0,4}-\*{2}-\*{2}",
    }.items()
}


def is_mask(kind: Kind, value: str, stored: str | None = None) -> bool:
    """Whether somebody sent back what they were shown: a mask is never stored as a value.

    That is what has the form of this kind's masks, and, of a text that is edited, the mask of what is stored.
    """
    if stored is not None and value != stored and value == mask(kind, stored):
        return True
    form = _MASKED.get(kind)
    return form is not None and form.fullmatch(value) is not None
