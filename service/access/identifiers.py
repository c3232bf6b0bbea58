"""Identifiers that stand inside free text: found, so that they can be hidden like fields (B10, basic).

Finds mainland mobile numbers, resident ID numbers (checksum), unified social credit codes (checksum),
e-mail addresses and bank card numbers (Luhn), also in full-width digits and with spaces or dashes inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stdnum import luhn
from stdnum.cn import ric, uscc

from service.access.declared import Kind

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_GAP = r"[ \-\u00a0\u2010-\u2015\u3000]?"
_DIGITS = re.compile(rf"(?<![0-9A-Za-z])\+?[0-9](?:{_GAP}[0-9A-Z]){{9,21}}(?![0-9A-Za-z])", re.IGNORECASE)
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,4}")
_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")
_LANDLINE = re.compile(r"(?<!\d)0\d{2,3}[\- ]?\d{7,8}(?!\d)")


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
    if len(compact) == 18 and ric.is_valid(compact):
        return Kind.ID_NUMBER, compact.upper()
    if len(compact) == 18 and uscc.is_valid(compact):
        return Kind.ID_NUMBER, compact.upper()
    if 15 <= len(compact) <= 19 and compact.isdigit() and luhn.is_valid(compact):
        return Kind.BANK_CARD, compact
    return None


def find(text: str) -> Iterator[Identifier]:
    """Identifiers in the order in which they stand, without overlaps. Offsets fit the given text."""
    folded = text.translate(_FULL_WIDTH)
    spans: list[Identifier] = [
        Identifier(m.start(), m.end(), Kind.EMAIL, m.group().lower()) for m in _EMAIL.finditer(folded)
    ]
    for match in _DIGITS.finditer(folded):
        found = _kind_of(re.sub(r"[^0-9A-Za-z]", "", match.group()))
        if found:
            spans.append(Identifier(match.start(), match.end(), *found))
    spans.extend(
        Identifier(m.start(), m.end(), Kind.PHONE, re.sub(r"\D", "", m.group())) for m in _LANDLINE.finditer(folded)
    )
    end = 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.start >= end:
            yield span
            end = span.end


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
