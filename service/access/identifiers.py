"""Identifiers that stand inside free text: found, so that they can be hidden like fields (B10, basic).

Finds mainland mobile numbers, resident ID numbers (checksum), unified social credit codes (checksum),
e-mail addresses and bank card numbers (Luhn), also in full-width digits and with spaces or dashes inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from stdnum.cn import ric, uscc

from service.access.declared import Kind
from service.errors import Code, Problems

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_GAPS = frozenset(" -\u00a0\u2010\u2011\u2012\u2013\u2014\u2015\u3000")
_GROUP = re.compile(r"\+?[0-9A-Za-z]+")
_OPENING = frozenset("+0123456789")
_SHORTEST, _LONGEST, _GROUPS_MOST = 11, 19, 11
"""Letters and digits of a number, and the groups that people write it in: a mobile number digit by digit at most."""
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,4}")
_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")
_RIC = re.compile(r"[1-9]\d{5}(?:18|19|20)\d{9}[0-9Xx]")
_USCC = re.compile(r"[0-9A-Za-z]{2}\d{6}[0-9A-Za-z]{10}")
_DOUBLED = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}
_LANDLINE = re.compile(r"(?<!\d)0\d{2,3}[\- ]?\d{7,8}(?!\d)")

_OPEN_FIELD = {
    "en": "holds a phone, identity, registration or card number or an e-mail address; whoever sees the record sees this",
    "zh-CN": "含有电话、证件、登记、银行卡号码或邮箱地址;此字段对所有可见该记录的人公开",
}


@dataclass(frozen=True, slots=True)
class Identifier:
    """Where an identifier stands in a text: `start` and `end` are offsets into it."""

    start: int
    end: int
    kind: Kind
    value: str


def _kind_of(compact: str) -> tuple[Kind, str] | None:
    mobile = _MOBILE.fullmatch(compact)
    if mobile:
        return Kind.PHONE, mobile.group(1)
    if len(compact) == 18 and (_RIC.fullmatch(compact) and ric.is_valid(compact)):
        return Kind.ID_NUMBER, compact.upper()
    if len(compact) == 18 and (_USCC.fullmatch(compact) and uscc.is_valid(compact)):
        return Kind.ID_NUMBER, compact.upper()
    if 15 <= len(compact) <= 19 and compact.isdigit() and _luhn(compact):
        return Kind.BANK_CARD, compact
    return None


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    return (sum(map(int, digits[-1::-2])) + sum(_DOUBLED[digit] for digit in digits[-2::-2])) % 10 == 0


def _numbers(folded: str) -> Iterator[Identifier]:
    """Numbers made of one group of digits and letters, or of several with one gap between them.

    Whatever could be one is covered: where two readings overlap (two numbers side by side may look like a third one)
    they make one span, of the first reading's kind.
    """
    groups = [(match.start(), match.end(), match.group().lstrip("+")) for match in _GROUP.finditer(folded)]
    continues = [
        start - end == 1 and folded[end] in _GAPS and folded[start] != "+"
        for (_, end, _), (start, _, _) in pairwise(groups)
    ]
    for first, (begin, end, compact) in enumerate(groups):
        if folded[begin] not in _OPENING:
            continue
        for at in range(first, min(first + _GROUPS_MOST, len(groups))):
            if at > first:
                if not continues[at - 1]:
                    break
                _, end, text = groups[at]
                compact += text
            if len(compact) > _LONGEST:
                break
            kind = _kind_of(compact) if len(compact) >= _SHORTEST else None
            if kind is not None:
                yield Identifier(begin, end, *kind)


def find(text: str) -> Iterator[Identifier]:
    """Identifiers in the order in which they stand, without overlaps. Offsets fit the given text."""
    folded = text.translate(_FULL_WIDTH)
    spans: list[Identifier] = [
        Identifier(m.start(), m.end(), Kind.EMAIL, m.group().lower()) for m in _EMAIL.finditer(folded)
    ]
    spans.extend(_numbers(folded))
    spans.extend(
        Identifier(m.start(), m.end(), Kind.PHONE, re.sub(r"\D", "", m.group())) for m in _LANDLINE.finditer(folded)
    )
    held: Identifier | None = None
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if held is not None and span.start < held.end:
            held = replace(held, end=max(held.end, span.end))
            continue
        if held is not None:
            yield held
        held = span
    if held is not None:
        yield held


def check_open(text: str, field: str, problems: Problems) -> None:
    """An open text is not sealed, is never masked and may be a keyword of the index: no identifier may stand in it."""
    if next(find(text), None) is not None:
        problems.add(Code.VALIDATION, field, reason=_OPEN_FIELD)


def replaced(text: str, replacement: Callable[[Identifier], str]) -> str:
    """The text with each identifier replaced."""
    parts: list[str] = []
    end = 0
    for span in find(text):
        parts += [text[end : span.start], replacement(span)]
        end = span.end
    if not parts:
        return text
    parts.append(text[end:])
    return "".join(parts)
