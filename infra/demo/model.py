"""Shapes of the demo data: plain values, as the services take them. Nothing here has an id yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoDepartment:
    """A department; `name` by language."""

    key: str
    name: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Somebody who works here; `department` is a department's key."""

    email: str
    name: str
    roles: tuple[str, ...]
    department: str | None
    locale: str


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """A customer file as it is entered. `owner` is an e-mail address, `opened_at` is UTC.

    channels: {kind: PHONE|EMAIL|WECHAT, value, label}; identity_numbers: {kind: ID_CARD|USCC, value};
    addresses: {label, text}; bank_accounts: {bank, number, holder}; contacts: {name, title, phone, email}.
    `attributes` are the template's fields as text; `parent` is the index of the group's parent company.
    """

    kind: str
    relation: str
    name: str
    channels: tuple[Mapping[str, str], ...]
    identity_numbers: tuple[Mapping[str, str], ...]
    addresses: tuple[Mapping[str, str], ...]
    bank_accounts: tuple[Mapping[str, str], ...]
    contacts: tuple[Mapping[str, str], ...]
    tags: tuple[str, ...]
    date_of_birth: str | None
    owner: str
    department: str
    attributes: Mapping[str, str]
    parent: int | None
    opened_at: datetime

    def as_input(self) -> dict[str, Any]:
        """What a customer is created from, without owner and department (they have ids by then)."""
        return {
            "kind": self.kind,
            "relation": self.relation,
            "name": self.name,
            "channels": [dict(item) for item in self.channels],
            "identity_numbers": [dict(item) for item in self.identity_numbers],
            "addresses": [dict(item) for item in self.addresses],
            "bank_accounts": [dict(item) for item in self.bank_accounts],
            "contacts": [dict(item) for item in self.contacts],
            "tags": list(self.tags),
            "date_of_birth": self.date_of_birth,
            "attributes": [{"key": key, "value": value} for key, value in self.attributes.items()],
        }


@dataclass(frozen=True, slots=True)
class Raise:
    """The objection. `customer` is an index; `disputed_amount` is CNY as a decimal string or None."""

    at: datetime
    by: str
    customer: int
    title: str
    description: str
    category: str
    product: str
    disputed_amount: str | None
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Assign:
    """A supervisor gives the case to an agent."""

    at: datetime
    by: str
    assignee: str


@dataclass(frozen=True, slots=True)
class Measure:
    """What the assignee did."""

    at: datetime
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Communicate:
    """Words exchanged with the customer: TO_CUSTOMER or FROM_CUSTOMER."""

    at: datetime
    by: str
    direction: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """An internal note; the customer never sees it."""

    at: datetime
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class AttachScan:
    """The clerk files a scan, named by its key."""

    at: datetime
    by: str
    scan: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the customer says of the result; satisfaction from 1 (worst) to 5."""

    at: datetime
    by: str
    text: str
    satisfaction: int


@dataclass(frozen=True, slots=True)
class Close:
    """The owner closes the case; `attributes` are filled at this node."""

    at: datetime
    by: str
    resolution: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Review:
    """A supervisor who did not handle it approves it or returns it to be handled again."""

    at: datetime
    by: str
    approved: bool
    opinion: str


@dataclass(frozen=True, slots=True)
class Archive:
    """The case is sealed."""

    at: datetime
    by: str


Step = Raise | Assign | Measure | Communicate | Note | AttachScan | Feedback | Close | Review | Archive


@dataclass(frozen=True, slots=True)
class CaseLife:
    """A case from its raising to where it stands at REFERENCE: one of the keys of `lives.STANDINGS`."""

    story: str
    standing: str
    steps: tuple[Step, ...]

    @property
    def raised(self) -> Raise:
        """Its first step."""
        first = self.steps[0]
        assert isinstance(first, Raise)  # noqa: S101 - every life begins so; for the type checker
        return first
