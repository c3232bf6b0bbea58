"""All of the demo's content from one seed. Same seed, same data, on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from infra.demo.customers import make_customers
from infra.demo.dice import Dice
from infra.demo.lives import make_lives
from infra.demo.model import CaseLife, DemoCustomer, DemoDepartment, DemoPerson
from infra.demo.people import DEPARTMENTS, PEOPLE
from infra.demo.scans import Scan, attach_scans
from infra.demo.stories import CATEGORIES
from infra.demo.templates import CUSTOMER_TEMPLATE, case_template

SEED = 20261120
CUSTOMERS, CASES = 200, 600


@dataclass(frozen=True, slots=True)
class Content:
    """Plain values; customers and scans are referred to by index and key."""

    departments: tuple[DemoDepartment, ...]
    people: tuple[DemoPerson, ...]
    customer_template: Mapping[str, Any]
    case_template: Mapping[str, Any]
    customers: tuple[DemoCustomer, ...]
    case_lives: tuple[CaseLife, ...]
    scans: tuple[Scan, ...]

    def scan(self, key: str) -> Scan:
        """The scan with this key. Raises KeyError."""
        for scan in self.scans:
            if scan.key == key:
                return scan
        raise KeyError(key)


def make_content(seed: int = SEED, scale: float = 1.0) -> Content:
    """The demo's content; `scale` multiplies customers and cases, never people or scans."""
    customers = make_customers(seed, max(12, round(CUSTOMERS * scale)))
    lives, tour = make_lives(seed, max(60, round(CASES * scale)), customers)
    scans, lives = attach_scans(seed, lives, customers, tour)
    return Content(
        departments=DEPARTMENTS,
        people=PEOPLE,
        customer_template=CUSTOMER_TEMPLATE,
        case_template=case_template(CATEGORIES),
        customers=tuple(_opened(seed, customers, lives)),
        case_lives=tuple(lives),
        scans=tuple(scans),
    )


def _opened(seed: int, customers: list[DemoCustomer], lives: list[CaseLife]) -> list[DemoCustomer]:
    """Each file is opened before its first case."""
    first = {life.raised.customer: life.raised.at for life in reversed(lives)}
    opened = []
    for index, customer in enumerate(customers):
        earliest = first.get(index)
        if earliest is not None and earliest <= customer.opened_at:
            days = Dice(seed, "opened", index).whole(5, 200)
            customer = replace(customer, opened_at=earliest - timedelta(days=days))
        opened.append(customer)
    return opened
