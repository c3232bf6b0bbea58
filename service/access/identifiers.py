"""Identifiers that stand inside free text: found, so that they are protected like fields (B10). Pure.

Finds phone numbers (mainland mobile and landline, and foreign ones that begin with +), resident ID numbers and unified
social credit codes (by checksum), bank card numbers (by their issuer's digit and Luhn) and e-mail addresses: in
digits of any width, with spaces, dashes and brackets inside, across one line break (as scans break them), glued to a
word such as `tel`, and numbers also in Chinese numerals (〇零, 一 or 幺), alone or mixed with digits.

It reads the text as the index does (`service.normal.fold`), letter by letter: what an index would hold as a number is
found here, and masks and index take out exactly the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, pairwise

from stdnum.cn import ric, uscc

from service.access.declared import Kind
from service.errors import Code, Problems
from service.normal import fold, folded_with_places

_NUMERALS = str.maketrans("〇零○一壹幺二贰貳三叁參四肆五伍六陆陸七柒八捌九玖", "0001112223334455666778899")
_SPOKEN_LETTERS = "".join(map(chr, _NUMERALS))
_DASHES = "\\-\u2010-\u2015\u2212"
_GAP = re.compile(f"[ \t{_DASHES}()]{{1,3}}")
_LINE = re.compile(r"[ \t]{0,3}\n[ \t]{0,3}")
_DOT = re.compile(r"[./_,\u00b7]")
_GROUP = re.compile(r"\+?[0-9a-z]+")
_OPENING = frozenset("+0123456789")
_SHORTEST, _LONGEST, _GROUPS_MOST, _LINES_MOST = 8, 19, 11, 1
"""Letters and digits of a number, the groups that people write it in (a mobile number digit by digit at most), and
the line breaks in it.
"""
_EMAIL = re.compile(
    r"[a-z0-9][a-z0-9._%+\-]{0,63}[ \n]?@[ \n]?(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.){1,4}[a-z]{2,24}(?![a-z0-9])"
)
_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")
_ABROAD = re.compile(r"\+(?!86)[1-9]\d{7,14}")
_AREA = r"(?:10|2\d|[3-9]\d{2})"
_LANDLINE = re.compile(
    rf"(?<![\d+])(?:\(0{_AREA}\)|0{_AREA})[ {_DASHES}]{{0,3}}[2-8]\d{{2,3}}[ {_DASHES}]?\d{{4}}(?!\d)"
    rf"|\+86[ {_DASHES}]?\(?0?{_AREA}\)?[ {_DASHES}]?[2-8]\d{{2,3}}[ {_DASHES}]?\d{{4}}(?!\d)",
    re.ASCII,
)
_RIC = re.compile(r"[1-8]\d{5}(?:18|19|20)\d{9}[0-9X]")
_USCC = re.compile(r"[0-9a-z]{2}[1-8]\d{5}[0-9a-z]{10}")
# Amex has 15 digits; the others (ISO/IEC 7812: 2 and 3 in part, 4, 5, 6, and China's older 9) have 16 to 19.
_CARD = re.compile(r"3[47]\d{13}|(?:2[2-7]|3[0568]|4\d|5\d|6\d|9\d)\d{14,17}")
# Digits that letters are glued to: an ID number's checksum speaks for itself, the others need a word that says so.
_GLUED = re.compile(r"(?<![0-9])(?:[1-8]\d{16}[0-9x]|\d{11}|\d{16,19})(?![0-9])")
_WORD = re.compile(
    r"(?:tel|phone|mobile|mob|cell|call|sms|fax|wechat|weixin|wx|vx|qq|card|acct|account|id|no|t|m|p|v)?"
)
_GLUED_MOST = 40
_SPOKEN_GAP = f"[ \t{_DASHES}()\u3001,]{{0,2}}\n?"
# Digits and Chinese numerals mixed, and a run of numerals alone inside such a one.
_SPOKEN = tuple(
    re.compile(f"[{letters}](?:{_SPOKEN_GAP}[{letters}]){{10,30}}")
    for letters in (f"0-9{_SPOKEN_LETTERS}", _SPOKEN_LETTERS)
)
_SPOKEN_MOST = 14
_MISREAD, _SURE_LEAST = str.maketrans("oli", "011"), 7
_ANYTHING = re.compile(f"[0-9@{_SPOKEN_LETTERS}]")
_TAKEN = "\ufffe"
_DOUBLED = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}

_OPEN_FIELD = {
    "en": "holds a phone, identity, registration or card number or an e-mail address; whoever sees the record sees this",
    "zh-CN": "含有电话、证件、登记、银行卡号码或邮箱地址;此字段对所有可见该记录的人公开",
}

Reading = tuple[Kind, str]
"""What an identifier is, and its value in normal form."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """Where an identifier stands in a text: `start` and `end` are offsets into it. Where two readings overlap (two
    numbers side by side may look like a third one) they make one span; `others` are those beside the first.
    """

    start: int
    end: int
    kind: Kind
    value: str
    others: tuple[Reading, ...] = ()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Everything that it may be."""
        return ((self.kind, self.value), *self.others)

    def joined(self, other: Identifier) -> Identifier:
        """This and one that overlaps it."""
        more = tuple(reading for reading in other.readings if reading not in self.readings)
        return replace(self, end=max(self.end, other.end), others=self.others + more)


def _kind_of(compact: str) -> Reading | None:
    mobile = _MOBILE.fullmatch(compact)
    if mobile:
        return Kind.PHONE, mobile.group(1)
    if _ABROAD.fullmatch(compact):
        return Kind.PHONE, compact
    compact = compact.removeprefix("+")
    if len(compact) == 11 and not compact.isdigit():  # scans take 0 for O and 1 for l
        mobile = _MOBILE.fullmatch(compact.translate(_MISREAD))
        if mobile and sum(map(str.isdigit, compact)) >= _SURE_LEAST:
            return Kind.PHONE, mobile.group(1)
    if len(compact) == 18:
        if is_resident_id(compact.upper()):
            return Kind.ID_NUMBER, compact.upper()
        if _USCC.fullmatch(compact) and uscc.is_valid(compact):
            return Kind.ID_NUMBER, compact.upper()
    if _CARD.fullmatch(compact) and _luhn(compact):
        return Kind.BANK_CARD, compact
    return None


def is_resident_id(compact: str) -> bool:
    """Whether this is a resident ID number (GB 11643): a day of birth that there was, and the right check digit. The
    first six digits are not looked up: districts come, go and are renamed, people keep their numbers.
    """
    if not _RIC.fullmatch(compact):
        return False
    try:
        date(int(compact[6:10]), int(compact[10:12]), int(compact[12:14]))
    except ValueError:
        return False
    return bool(ric.calc_check_digit(compact) == compact[-1])


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    return (sum(map(int, digits[-1::-2])) + sum(_DOUBLED[digit] for digit in digits[-2::-2])) % 10 == 0


_APART, _CLOSE, _DOTTED, _BROKEN = range(4)


def _between(folded: str, end: int, start: int) -> int:
    """How two groups of digits and letters stand to each other."""
    if start - end > 7 or folded[start] == "+":
        return _APART
    if _GAP.fullmatch(folded, end, start):
        return _CLOSE
    if _DOT.fullmatch(folded, end, start):
        return _DOTTED
    return _BROKEN if _LINE.fullmatch(folded, end, start) else _APART


def _numbers(folded: str) -> Iterator[Identifier]:
    """Numbers made of one group of digits and letters, or of several that stand close together. Whatever could be one
    is covered.
    """
    groups = [(match.start(), match.end(), match.group()) for match in _GROUP.finditer(folded)]
    gaps = [_between(folded, end, start) for (_, end, _), (start, _, _) in pairwise(groups)]
    for first, (begin, _, opening) in enumerate(groups):
        if not opening.isdigit():
            yield from _glued(begin, opening)
        if folded[begin] not in _OPENING:
            continue
        compact, lines, dots = "", 0, 0
        for at in range(first, min(first + _GROUPS_MOST, len(groups))):
            if at > first:
                gap = gaps[at - 1]
                lines, dots = lines + (gap == _BROKEN), dots + (gap == _DOTTED)
                if gap == _APART or lines > _LINES_MOST:
                    break
            _, end, text = groups[at]
            compact += text
            if len(compact) > _LONGEST + 1:
                break
            if dots and not _is_dotted_phone([group for _, _, group in groups[first : at + 1]], dots):
                continue
            reading = _kind_of(compact) if len(compact) >= _SHORTEST else None
            if reading is not None:
                yield Identifier(begin, end, *reading)


def _is_dotted_phone(groups: list[str], dots: int) -> bool:
    """138.1234.1234: full stops, commas and strokes part a mobile number in one form alone, as amounts, versions and
    fractions have them too.
    """
    return dots == 2 and [len(group) for group in groups] == [3, 4, 4]


def _glued(begin: int, group: str) -> Iterator[Identifier]:
    """Digits with letters around them: `tel13812341234`."""
    if len(group) > _GLUED_MOST:
        return
    if group[0].isalpha() and (code := _kind_of(group)) is not None:  # a social credit code may begin with a letter
        yield Identifier(begin, begin + len(group), *code)
    for match in _GLUED.finditer(group):
        reading = _kind_of(match.group())
        if reading is None:
            continue
        before = group[: match.start()].lstrip("+")
        if reading[0] is Kind.ID_NUMBER or _WORD.fullmatch(before):
            yield Identifier(begin + match.start(), begin + match.end(), *reading)


def _spoken(folded: str) -> Iterator[Identifier]:
    """Numbers with at least one Chinese numeral in them."""
    for match in chain.from_iterable(pattern.finditer(folded) for pattern in _SPOKEN):
        text = match.group()
        if text.isascii() or text.count("\n") > _LINES_MOST:
            continue
        places = [at for at, letter in enumerate(text) if letter in _SPOKEN_LETTERS or letter.isdigit()]
        digits = "".join(text[at] for at in places).translate(_NUMERALS)
        reading = _kind_of(digits)
        if reading is not None:
            yield Identifier(match.start(), match.end(), *reading)
        elif len(digits) <= _SPOKEN_MOST:  # `第一一三八…`: a numeral before or after that is none of the number's
            for window in re.finditer(r"(?=(1[3-9]\d{9}))", digits):
                start, end = places[window.start()], places[window.start() + 10] + 1
                yield Identifier(match.start() + start, match.start() + end, Kind.PHONE, window.group(1))


def _landline(match: re.Match[str]) -> Identifier:
    digits = re.sub(r"\D", "", match.group())
    if match.group().startswith("+"):
        digits = "0" + digits.removeprefix("86").removeprefix("0")
    return Identifier(match.start(), match.end(), Kind.PHONE, digits)


def _candidates(folded: str) -> list[Identifier]:
    spans = [
        Identifier(m.start(), m.end(), Kind.EMAIL, re.sub(r"[ \n]", "", m.group())) for m in _EMAIL.finditer(folded)
    ]
    spans += _numbers(folded)
    spans += _spoken(folded)
    spans += map(_landline, _LANDLINE.finditer(folded))
    return sorted(spans, key=lambda span: (span.start, -span.end))


def _apart(spans: list[Identifier]) -> Iterator[Identifier]:
    """In order, those that overlap as one."""
    held: Identifier | None = None
    for span in spans:
        if held is not None and span.start < held.end:
            held = held.joined(span)
            continue
        if held is not None:
            yield held
        held = span
    if held is not None:
        yield held


def _without(folded: str, spans: list[Identifier]) -> str:
    parts, end = [], 0
    for span in spans:
        parts += [folded[end : span.start], _TAKEN * (span.end - span.start)]
        end = span.end
    return "".join([*parts, folded[end:]])


def find(text: str) -> list[Identifier]:
    """Identifiers in the order in which they stand, without overlaps; what is left of the text holds none. Offsets fit
    the given text.
    """
    folded = fold(text)
    found: list[Identifier] = []
    rest = folded
    while _ANYTHING.search(rest):
        more = list(_apart(_candidates(rest)))
        if not more:
            break
        found += more
        rest = _without(rest, more)  # what stood beside one may be read as another once it is gone
    found.sort(key=lambda span: span.start)
    if found and any(len(fold(letter)) != 1 for letter in set(text)):
        _, places, ends = folded_with_places(text)
        return [replace(span, start=places[span.start], end=ends[span.end - 1]) for span in found]
    return found


def check_open(text: str, field: str, problems: Problems) -> None:
    """An open text is not sealed, is never masked and may be a keyword of the index: no identifier may stand in it."""
    if find(text):
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
