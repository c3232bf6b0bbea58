"""What stands on the scanned paper: contracts, delivery notes, letters and statements as words and tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.demo.dice import Dice
from infra.demo.model import CaseLife, DemoCustomer
from infra.demo.people import COMPANY
from infra.demo.stories import COMMON, PRODUCTS
from infra.demo.texts import read_toml
from infra.demo.working_time import CHINA

WORDS = read_toml("scans.toml")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page. `table` begins with its headings; `seals` are the names on the red seals; `signatures` are
    written by hand.
    """

    title: str
    number: str
    opening: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    paragraphs: tuple[str, ...]
    closing: tuple[str, ...]
    signatures: tuple[str, ...]
    seals: tuple[str, ...]

    @property
    def text(self) -> str:
        """Everything printed on it, line by line."""
        cells = (cell for row in self.table for cell in row)
        return "\n".join((self.title, self.number, *self.opening, *cells, *self.paragraphs, *self.closing))


def _day(at: datetime) -> str:
    local = at.astimezone(CHINA)
    filled: str = WORDS["date"].format(year=local.year, month=local.month, day=local.day)
    return filled


def _slots(dice: Dice, life: CaseLife, customer: DemoCustomer, place: str) -> dict[str, str]:
    name, model = life.raised.product.split(" ")
    product = next(item for item in PRODUCTS if item.name == name)
    quantity = int(life.raised.attributes["quantity"])
    price = dice.whole(*product.price) // 10 * 10
    spare = dice.whole(12, 60) * 10
    return {
        "company": COMPANY,
        "customer": customer.name,
        "place": place,
        "order": life.raised.attributes["order_number"],
        "name": name,
        "model": model,
        "quantity": str(quantity),
        "price": f"{price:,}",
        "amount": f"{price * quantity:,}",
        "spare": f"{spare:,}",
        "total": f"{price * quantity + spare:,}",
    }


def _filled(lines: Iterable[str], slots: dict[str, str]) -> tuple[str, ...]:
    return tuple(line.format_map(slots) for line in lines)


def _goods(slots: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    return tuple(_filled(WORDS["goods"][row], slots) for row in ("heading", "machine", "spare", "sum"))


def contract(dice: Dice, life: CaseLife, customer: DemoCustomer, place: str) -> Sheet:
    """A sales contract on one page, signed a month or two before delivery was due."""
    words = WORDS["contract"]
    due = datetime.fromisoformat(life.raised.attributes["promised_on"]).replace(tzinfo=CHINA)
    signed = due - timedelta(days=dice.whole(28, 60))
    slots = _slots(dice, life, customer, place) | {"due": _day(due), "signed": _day(signed)}
    articles = sorted(dice.some(words["articles"], 6), key=words["articles"].index)
    numbered = [
        words["numbered"].format(numeral=numeral, article=article)
        for numeral, article in zip(words["numerals"], articles, strict=False)
    ]
    return Sheet(
        title=words["title"],
        number=words["number"].format_map(slots),
        opening=_filled(words["opening"], slots),
        table=_goods(slots),
        paragraphs=(*_filled(words["paragraphs"], slots), *numbered),
        closing=_filled(words["closing"], slots),
        signatures=(_writer(customer), "周文博"),
        seals=(customer.name, COMPANY) if customer.kind == "ORGANISATION" else (COMPANY,),
    )


def delivery_note(dice: Dice, life: CaseLife, customer: DemoCustomer, place: str) -> Sheet:
    """A delivery note with the receiver's signature."""
    words = WORDS["delivery"]
    first, second = dice.some(words["remarks"], 2)
    slots = _slots(dice, life, customer, place) | {
        "slip": str(dice.whole(100_000, 999_999)),
        "carrier": dice.one(COMMON["carriers"]),
        "driver": dice.one(words["drivers"]),
        "arrived": _day(life.raised.at - timedelta(days=dice.whole(1, 3))),
        "first": first,
        "second": second,
    }
    return Sheet(
        title=words["title"].format_map(slots),
        number=words["number"].format_map(slots),
        opening=_filled(words["opening"], slots),
        table=tuple(row[:3] for row in _goods(slots)[:3]),
        paragraphs=(words["remark"].format_map(slots),),
        closing=_filled(words["closing"], slots),
        signatures=(_writer(customer),),
        seals=(words["seal"].format_map(slots),),
    )


def letter(dice: Dice, life: CaseLife, customer: DemoCustomer, place: str) -> Sheet:
    """A letter of complaint: a company's is sealed, a person's signed."""
    words = WORDS["letter"][customer.kind]
    slots = _slots(dice, life, customer, place)
    body = (
        dice.one(words["beginnings"]),
        words["goods"],
        *dice.some(words["facts"], 2),
        *dice.some(words["middles"], 2),
        dice.one(words["endings"]),
        *words["greeting"],
    )
    company = customer.kind == "ORGANISATION"
    return Sheet(
        title=words["title"].format_map(slots),
        number="",
        opening=(words["opening"].format_map(slots),),
        table=(),
        paragraphs=_filled(body, slots),
        closing=(customer.name, _day(life.raised.at)),
        signatures=() if company else (customer.name,),
        seals=(customer.name,) if company else (),
    )


def statement(dice: Dice, life: CaseLife, customer: DemoCustomer, place: str) -> Sheet:
    """A statement of account over half a year."""
    words = WORDS["statement"]
    rows: list[tuple[str, ...]] = [tuple(words["heading"])]
    owed = paid = 0
    for month in range(6, 0, -1):
        day = life.raised.at - timedelta(days=30 * month)
        amount = dice.whole(20, 900) * 100
        receipt = amount if dice.chance(0.7) else amount // 2
        owed, paid = owed + amount, paid + receipt
        rows.append((day.astimezone(CHINA).date().isoformat(), words["row"], f"{amount:,}", f"{receipt:,}"))
    balance = words["balance"].format(balance=f"{owed - paid:,}")
    rows.append((words["sum"], balance, f"{owed:,}", f"{paid:,}"))
    slots = _slots(dice, life, customer, place) | {"day": _day(life.raised.at)}
    return Sheet(
        title=words["title"],
        number=words["number"].format_map(slots),
        opening=_filled(words["opening"], slots),
        table=tuple(rows),
        paragraphs=(dice.one(words["remarks"]),),
        closing=_filled(words["closing"], slots),
        signatures=(words["signature"],),
        seals=(words["seal"].format_map(slots),),
    )


def _writer(customer: DemoCustomer) -> str:
    return customer.contacts[0]["name"] if customer.contacts else customer.name


KINDS = {"CONTRACT": contract, "DELIVERY_NOTE": delivery_note, "COMPLAINT_LETTER": letter, "OTHER": statement}
