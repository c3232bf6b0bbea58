"""200 invented customers: persons and companies, each with an owner in the department of their region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from infra.demo import numbers
from infra.demo.dice import Dice
from infra.demo.model import DemoCustomer
from infra.demo.people import having
from infra.demo.texts import read_toml

_NAMES = read_toml("names.toml")
_REGIONS = {region["department"]: region["places"] for region in _NAMES["region"]}
_DEPARTMENT_SHARES = {"east": 36, "south": 26, "north": 24, "key-accounts": 14}
_FORMS = ("有限公司", "有限公司", "有限公司", "股份有限公司", "有限责任公司", "集团有限公司")
_OPENED_FROM = datetime(2022, 3, 1, 1, tzinfo=UTC)
_OPENED_DAYS = 900
_YEAR = 365.25
_PARENTS = 10


def person_name(dice: Dice) -> tuple[str, bool]:
    """A full name, and whether it is a woman's."""
    female = dice.chance(0.48)
    return dice.one(_NAMES["surnames"]) + dice.one(_NAMES["female" if female else "male"]), female


class _Phones:
    """Hands out numbers; nobody gets the same one."""

    def __init__(self) -> None:
        self._next = 0

    def next(self) -> str:
        self._next += 1
        return numbers.mobile_phone(self._next % numbers.MOBILE_PHONES)


def make_customers(seed: int, count: int) -> list[DemoCustomer]:
    """So many customers; the same for the same seed, however many are asked for."""
    phones, taken = _Phones(), set[str]()
    found = [_customer(Dice(seed, "customer", index), index, phones, taken) for index in range(count)]
    return [_with_parent(customer, found[:_PARENTS]) for customer in found]


def _with_parent(customer: DemoCustomer, parents: Sequence[DemoCustomer]) -> DemoCustomer:
    """A subsidiary names a parent that its account manager looks after too: nobody refers to what they can't see."""
    if customer.parent is None:
        return customer
    owned = [index for index, parent in enumerate(parents) if parent.owner == customer.owner]
    return replace(customer, parent=owned[customer.parent % len(owned)] if owned else None)


def _customer(dice: Dice, index: int, phones: _Phones, taken: set[str]) -> DemoCustomer:
    department = dice.weighted(list(_DEPARTMENT_SHARES), list(_DEPARTMENT_SHARES.values()))
    city, district = dice.one(_REGIONS[department])
    # The first customers are companies, so that a group's parent stands before its subsidiaries.
    organisation = index < _PARENTS or department == "key-accounts" or dice.chance(0.62)
    owner = dice.one(having("ACCOUNT_MANAGER", department)).email
    opened = _OPENED_FROM + timedelta(days=dice.whole(0, _OPENED_DAYS), minutes=dice.whole(0, 480))
    make = _organisation if organisation else _person
    parts = make(dice, index, (city, district), phones, taken)
    relation = dice.weighted(("CUSTOMER", "PARTNER", "PROSPECT"), (86, 8, 6))
    return DemoCustomer(
        relation=relation,
        tags=tuple(dice.some(_NAMES["tags"], dice.weighted((0, 1, 2, 3), (25, 35, 28, 12)))),
        owner=owner,
        department=department,
        opened_at=opened,
        **parts,
    )


def _name_of_company(dice: Dice, city: str, taken: set[str]) -> tuple[str, str, str]:
    for attempt in range(1_000):
        industry = dice.one(_NAMES["industry"])
        word = dice.one(_NAMES["words"]) if attempt < 50 else "".join(dice.some(_NAMES["words"], 2))
        name = f"{city}{word}{dice.one(industry['names'])}{dice.one(_FORMS)}"
        if name not in taken:
            break
    taken.add(name)
    return name, word, industry["key"]


def _organisation(dice: Dice, index: int, place: tuple[str, str], phones: _Phones, taken: set[str]) -> dict[str, Any]:
    city, district = place
    name, _, industry = _name_of_company(dice, city, taken)
    mail = f"c{index + 1:04d}.example.com"
    contacts: list[dict[str, str]] = []
    for title in dice.some(_NAMES["titles"], dice.weighted((1, 2, 3), (35, 45, 20))):
        contact = {"name": person_name(dice)[0], "title": title, "phone": phones.next()}
        if dice.chance(0.7):
            contact["email"] = f"contact{len(contacts) + 1}@{mail}"
        contacts.append(contact)
    channels = [
        {"kind": "PHONE", "value": phones.next(), "label": "公司联络"},
        {"kind": "EMAIL", "value": f"office@{mail}", "label": "公司邮箱"},
    ]
    street = f"{district}{dice.one(_NAMES['towns'])}{dice.whole(1, 880)}号"
    addresses = [{"label": "注册地址", "text": street}]
    if dice.chance(0.55):
        addresses.append({"label": "收货地址", "text": f"{street}{dice.whole(1, 9)}号库房"})
    attributes = {"industry": industry, "tier": dice.weighted(("a", "b", "c"), (22, 60, 18))}
    if dice.chance(0.6):
        signed = dice.whole(2023, 2026)
        attributes["contract_number"] = f"QY-KJ-{signed}-{index + 1:05d}"
        attributes["contract_until"] = date(signed + dice.whole(1, 3), 12, 31).isoformat()
        attributes["wechat_group"] = f"{name[:8]}服务群"
    attributes["credit_limit"] = f"{dice.whole(5, 300) * 10_000}.00"
    attributes["payment_days"] = str(dice.one((15, 30, 45, 60, 90)))
    attributes["on_site_service"] = "true" if dice.chance(0.4) else "false"
    if dice.chance(0.45):
        attributes["memo"] = dice.one(_NAMES["memos"])
    bank = f"{dice.one(_NAMES['banks'])}{city}分行"
    return {
        "kind": "ORGANISATION",
        "name": name,
        "channels": tuple(channels),
        "identity_numbers": ({"kind": "USCC", "value": numbers.credit_code(index)},),
        "addresses": tuple(addresses),
        "bank_accounts": ({"bank": bank, "number": numbers.bank_card(dice), "holder": name},),
        "contacts": tuple(contacts),
        "date_of_birth": None,
        "attributes": attributes,
        "parent": dice.whole(0, _PARENTS - 1) if index >= _PARENTS and dice.chance(0.12) else None,
    }


def _person(dice: Dice, index: int, place: tuple[str, str], phones: _Phones, taken: set[str]) -> dict[str, Any]:
    _, district = place
    name, _ = person_name(dice)
    phone = phones.next()
    channels = [{"kind": "PHONE", "value": phone, "label": "本人手机"}]
    if dice.chance(0.55):
        channels.append({"kind": "EMAIL", "value": f"user{index + 1:04d}@example.com", "label": "个人邮箱"})
    if dice.chance(0.5):
        channels.append({"kind": "WECHAT", "value": f"wx_demo{index + 1:05d}", "label": "微信"})
    identity: tuple[dict[str, str], ...] = ()
    born, county = _born(dice), dice.one(_NAMES["birthplaces"])
    if dice.chance(0.8):
        number = numbers.id_card(county, born)
        while number in taken:
            born += timedelta(days=1)
            number = numbers.id_card(county, born)
        taken.add(number)
        identity = ({"kind": "ID_CARD", "value": number},)
    accounts: Sequence[dict[str, str]] = ()
    if dice.chance(0.5):
        accounts = [{"bank": dice.one(_NAMES["banks"]), "number": numbers.bank_card(dice), "holder": name}]
    home = f"{dice.one(_NAMES['villages'])}{dice.whole(1, 30)}栋{dice.whole(1, 18)}0{dice.whole(1, 4)}室"
    attributes = {"industry": dice.weighted(("household", "farming", "catering"), (60, 22, 18))}
    attributes["tier"] = dice.weighted(("b", "c"), (30, 70))
    if dice.chance(0.25):
        attributes["memo"] = dice.one(_NAMES["memos"][:2] + _NAMES["memos"][4:5])
    return {
        "kind": "PERSON",
        "name": name,
        "channels": tuple(channels),
        "identity_numbers": identity,
        "addresses": ({"label": "住址", "text": f"{district}{dice.one(_NAMES['towns'])}{dice.whole(1, 300)}号{home}"},),
        "bank_accounts": tuple(accounts),
        "contacts": (),
        "date_of_birth": born.isoformat() if identity or dice.chance(0.3) else None,
        "attributes": attributes,
        "parent": None,
    }


def _born(dice: Dice) -> date:
    return date(1958, 1, 1) + timedelta(days=int(dice.share() * 44 * _YEAR))
