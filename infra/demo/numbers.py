"""Numbers that pass every check and belong to nobody.

- Resident ID cards (GB 11643): order code 000, which is never issued (it starts at 001).
- Unified social credit codes (GB 32100): administrative division 990000, which does not exist.
- Mobile phones: a valid network prefix and the block 0000.
- Bank cards (ISO/IEC 7812): the test prefix 62000000, Luhn check digit.
"""

from __future__ import annotations

from datetime import date

from stdnum import luhn
from stdnum.cn import ric, uscc

from infra.demo.dice import Dice

_MOBILE_PREFIXES = (
    "133", "135", "136", "137", "138", "139", "150", "151", "152", "157", "158", "159", "177", "180", "181",
    "182", "186", "187", "188", "189",
)  # fmt: skip
_ORGANISATION_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
MOBILE_PHONES = len(_MOBILE_PREFIXES) * 10_000


def mobile_phone(index: int) -> str:
    """The index-th mobile number, 11 digits; different for indexes below MOBILE_PHONES."""
    prefix = _MOBILE_PREFIXES[index % len(_MOBILE_PREFIXES)]
    # 3,469 has no factor in common with 10,000: neighbours differ and none repeats.
    return f"{prefix}0000{index // len(_MOBILE_PREFIXES) * 3_469 % 10_000:04d}"


def id_card(county: str, born: date) -> str:
    """The resident ID number of somebody born then in the county with this six-digit code."""
    body = f"{county}{born:%Y%m%d}000"
    return body + str(ric.calc_check_digit(body + "0"))


def credit_code(index: int) -> str:
    """The index-th organisation's unified social credit code: 91 (company), 990000, organisation code."""
    letters = "ABCDEFGHJKLMNPQRTUWXY"
    rest, third = divmod(index * 7_919 % (len(letters) ** 2 * 10_000), len(letters))
    rest, fourth = divmod(rest, len(letters))
    organisation = f"MA{letters[third]}{letters[fourth]}{rest:04d}"
    total = sum(_ORGANISATION_ALPHABET.index(c) * w for c, w in zip(organisation, _ORGANISATION_WEIGHTS, strict=True))
    check = "0X"[remainder == 1] if (remainder := total % 11) < 2 else str(11 - remainder)
    body = f"91990000{organisation}{check}"
    return body + str(uscc.calc_check_digit(body))


def bank_card(dice: Dice) -> str:
    """A 19-digit card or account number."""
    body = f"62000000{dice.whole(0, 9_999_999_999):010d}"
    return body + str(luhn.calc_check_digit(body))
