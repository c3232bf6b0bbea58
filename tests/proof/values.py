"""Three values for every kind of field: the first, one that is alike behind the kind's mask, and another altogether.

The alike one has the same mask and, wherever the mask allows it, another length and the opposite order: a list that is
sorted by hidden values comes out reversed, and a mask that tells a length tells it here. A kind without a builder is an
error that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from stdnum.cn import ric, uscc

from service.access.declared import Kind
from service.access.masks import mask

SURNAMES = "欧赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜"
GIVEN = "安邦承德恩芳贵海嘉康兰明宁鹏清荣思涛文祥雅泽"
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


class NoBuilder(LookupError):
    """There is a kind, a type or an input that the proof can make no value for."""


@dataclass(frozen=True, slots=True)
class Told:
    """`first` in the one world; in the other `alike` where a mask is shown, `other` where nothing is."""

    first: Any
    alike: Any
    other: Any


def _name(dice: Random) -> tuple[str, str, str]:
    given = [dice.randrange(len(GIVEN)) for _ in range(3)]
    first = dice.choice(SURNAMES)
    name = "".join(GIVEN[at] for at in given)
    turned = "".join(GIVEN[len(GIVEN) - 1 - at] for at in given)
    other = dice.choice([surname for surname in SURNAMES if surname != first])
    return first + name, f"{first}{turned}{GIVEN[-1]}", other + turned[:2]


def _phone(dice: Random) -> tuple[str, str, str]:
    middle, end = f"{dice.randrange(10_000):04d}", f"{dice.randrange(10_000):04d}"
    turned = middle.translate(_COMPLEMENT)
    return f"138{middle}{end}", f"138{turned}{end}", f"159{turned}{end.translate(_COMPLEMENT)}"


def _word(dice: Random, length: int) -> str:
    return "".join(dice.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length))


def _email(dice: Random) -> tuple[str, str, str]:
    letter = dice.choice("abcdef")
    return (
        f"{letter}{_word(dice, 6)}@example.com",
        f"{letter}{_word(dice, 9)}@example.com",
        f"z{_word(dice, 4)}@example.org",
    )


def _wechat(dice: Random) -> tuple[str, str, str]:
    letter = dice.choice("abcdef")
    return f"{letter}{_word(dice, 7)}", f"{letter}{_word(dice, 11)}", f"z{_word(dice, 9)}"


def _id_card(dice: Random, first: str = "1", last: str | None = None) -> str:
    while True:
        number = f"{first}10105{dice.randrange(1950, 2000)}{dice.randrange(1, 13):02d}{dice.randrange(1, 29):02d}{dice.randrange(1000):03d}"
        number += ric.calc_check_digit(f"{number}0")
        if last is None or number[-1] == last:
            return number


def _uscc(dice: Random, first: str = "91", last: str | None = None) -> str:
    while True:
        number = f"{first}110105{dice.randrange(10**8):08d}"
        number += str(dice.randrange(10))
        number += uscc.calc_check_digit(number)
        if uscc.is_valid(number) and (last is None or number[-1] == last):
            return number


def _id_number(dice: Random) -> tuple[str, str, str]:
    first = _id_card(dice)
    return first, _id_card(dice, last=first[-1]), _id_card(dice, first="4")


def registration_number(dice: Random) -> Told:
    """A unified social credit code: of kind ID_NUMBER too, in another form."""
    first = _uscc(dice)
    return _checked(Kind.ID_NUMBER, (first, _uscc(dice, last=first[-1]), _uscc(dice, first="51")))


def _address(dice: Random) -> tuple[str, str, str]:
    street = "".join(dice.choice(GIVEN) for _ in range(4))
    number = dice.randrange(1, 500)
    return (
        f"江苏省苏州市工业园区{street}大街{number}号一幢",
        f"江苏省苏州市吴中区{street[::-1]}路{999 - number}号二单元三层",
        f"广东省深圳市{street}路{number}号",
    )


def _bank_card(dice: Random) -> tuple[str, str, str]:
    head, end = f"{dice.randrange(10**11):011d}", f"{dice.randrange(10**4):04d}"
    return f"6222{head}{end}", f"6229{head.translate(_COMPLEMENT)[:8]}{end}", f"4{head[:9]}{end.translate(_COMPLEMENT)}"


def _amount(dice: Random) -> tuple[str, str, str]:
    whole = dice.randrange(10_000, 90_000)
    return f"{whole}.50", f"{100_000 - whole}.5".rjust(9, "1"), str(dice.randrange(1, 9))


def _date_of_birth(dice: Random) -> tuple[str, str, str]:
    year, month, day = dice.randrange(1950, 2000), dice.randrange(1, 12), dice.randrange(1, 28)
    return f"{year}-{month:02d}-{day:02d}", f"{year}-{13 - month:02d}-{28 - day + 1:02d}", f"{year - 7}-01-02"


def _text(dice: Random) -> tuple[str, str, str]:
    """Text with identifiers inside; what stands around them is the same where a mask is shown."""
    word = dice.choice(GIVEN) + dice.choice(GIVEN)
    phone, email, number = _phone(dice), _email(dice), _id_number(dice)
    told = [f"{word}水泵异响 请电{p} 证{n} 邮{e} 说明" for p, e, n in zip(phone, email, number, strict=True)]
    return told[0], told[1], f"全然不同的{word[::-1]}叙述 {phone[2]}"


def _plain(dice: Random) -> tuple[str, str, str]:
    letter = dice.choice("ABCDEF")
    return f"{letter}{_word(dice, 6)}", f"{letter}{_word(dice, 11)}", f"Z{_word(dice, 5)}"


def _label(dice: Random) -> tuple[str, str, str]:
    """Shown wherever a mask is: alike is the same."""
    word = _word(dice, 5)
    return word, word, _word(dice, 8)


_BUILDERS: dict[Kind, Callable[[Random], tuple[str, str, str]]] = {
    Kind.PLAIN: _plain,
    Kind.NAME: _name,
    Kind.PHONE: _phone,
    Kind.EMAIL: _email,
    Kind.WECHAT: _wechat,
    Kind.ID_NUMBER: _id_number,
    Kind.ADDRESS: _address,
    Kind.BANK_CARD: _bank_card,
    Kind.AMOUNT: _amount,
    Kind.DATE_OF_BIRTH: _date_of_birth,
    Kind.TEXT: _text,
    Kind.LABEL: _label,
}
EQUAL_KINDS = frozenset({Kind.PHONE, Kind.EMAIL, Kind.ID_NUMBER, Kind.BANK_CARD, Kind.WECHAT})
"""What people find by the whole of it."""


def _checked(kind: Kind, values: tuple[Any, Any, Any]) -> Told:
    first, alike, other = values
    assert mask(kind, first) == mask(kind, alike), f"{kind.value}: the masks of a pair differ"
    assert first != other
    assert kind is Kind.LABEL or first != alike
    return Told(first, alike, other)


def told(kind: Kind, seed: object) -> Told:
    """The three values of a kind for this place, the same for the same seed. Raises NoBuilder."""
    builder = _BUILDERS.get(kind)
    if builder is None:
        raise NoBuilder(f"a value of kind {kind.value}")
    return _checked(kind, builder(Random(repr(seed))))


def one_of(kind: Kind, options: tuple[Any, Any], seed: object) -> Told:
    """Two of a few values (a choice, yes or no, somebody): the mask must not tell which."""
    first, second = options if Random(repr(seed)).random() < 0.5 else options[::-1]
    return _checked(kind, (first, second, second))
