"""A customer, each field with its sensitivity class. No driver types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from service.access.declared import Attributes, Kind, Open, Sensitive, Sensitivity, shape_of
from service.access.questions import Questions
from service.keys.rules import RecordForm

CUSTOMERS = "customers"
DUPLICATES = "duplicates"
PREFIX = "cus"

NAME, CONTACT, IDENTITY, FINANCIAL = (
    Sensitivity.NAME,
    Sensitivity.CONTACT,
    Sensitivity.IDENTITY,
    Sensitivity.FINANCIAL,
)


class CustomerKind(str, Enum):
    """A natural or a legal person."""

    PERSON = "PERSON"
    ORGANISATION = "ORGANISATION"


class CustomerRelation(str, Enum):
    """How the company stands to them (R1)."""

    PROSPECT = "PROSPECT"
    CUSTOMER = "CUSTOMER"
    PARTNER = "PARTNER"


class ChannelKind(str, Enum):
    """Ways to reach somebody."""

    PHONE = "PHONE"
    EMAIL = "EMAIL"
    WECHAT = "WECHAT"


class IdentityKind(str, Enum):
    """Official numbers: the resident identity card's, and the unified social credit code."""

    ID_CARD = "ID_CARD"
    USCC = "USCC"


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach the customer."""

    kind: Annotated[ChannelKind, Sensitive(CONTACT, Kind.LABEL, "Phone, e-mail or WeChat.")]
    value: Annotated[str, Sensitive(CONTACT, Kind.CHANNEL, "The number (E.164), address or WeChat id.")]
    label: Annotated[str | None, Sensitive(CONTACT, Kind.LABEL, "What it is used for.")]


@dataclass(frozen=True, slots=True)
class IdentityNumber:
    """One official number, and whether its checksum was verified (R6)."""

    kind: Annotated[IdentityKind, Sensitive(IDENTITY, Kind.LABEL, "Which number it is.")]
    value: Annotated[str, Sensitive(IDENTITY, Kind.ID_NUMBER, "The number.")]
    verified: Annotated[bool, Sensitive(IDENTITY, Kind.LABEL, "Whether its checksum is right.")]
    verified_by: Annotated[str | None, Sensitive(IDENTITY, Kind.LABEL, "Id of the user who entered it.")]
    verified_at: Annotated[datetime | None, Sensitive(IDENTITY, Kind.LABEL, "When it was verified.")]


@dataclass(frozen=True, slots=True)
class Address:
    """One postal address."""

    label: Annotated[str | None, Sensitive(CONTACT, Kind.LABEL, "What it is used for.")]
    text: Annotated[str, Sensitive(CONTACT, Kind.ADDRESS, "The address.")]


@dataclass(frozen=True, slots=True)
class BankAccount:
    """One bank account."""

    bank: Annotated[str, Sensitive(FINANCIAL, Kind.LABEL, "The bank's name.")]
    number: Annotated[str, Sensitive(FINANCIAL, Kind.BANK_CARD, "Account or card number.")]
    holder: Annotated[str | None, Sensitive(FINANCIAL, Kind.NAME, "The holder's name.")]


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody at the customer's who may be spoken to (R12)."""

    title: Annotated[str | None, Sensitive(NAME, Kind.TEXT, "Their function.")]
    name: Annotated[str | None, Sensitive(NAME, Kind.NAME, "Their name.")]
    phone: Annotated[str | None, Sensitive(CONTACT, Kind.PHONE, "Their phone number (E.164).")]
    email: Annotated[str | None, Sensitive(CONTACT, Kind.EMAIL, "Their e-mail address.")]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer's stored fields."""

    id: Annotated[str, Open("The customer's id.")]
    owner: Annotated[str, Open("Id of the account manager whose file it is.")]
    kind: Annotated[CustomerKind, Open("Person or organisation.")]
    relation: Annotated[CustomerRelation, Open("Prospect, customer or partner.")]
    name: Annotated[str | None, Sensitive(NAME, Kind.NAME, "Full name.")]
    channels: Annotated[list[Channel] | None, Sensitive(CONTACT, Kind.CHANNEL, "Ways to reach them.")]
    addresses: Annotated[list[Address] | None, Sensitive(CONTACT, Kind.ADDRESS, "Postal addresses.")]
    identity_numbers: Annotated[list[IdentityNumber] | None, Sensitive(IDENTITY, Kind.ID_NUMBER, "Official numbers.")]
    date_of_birth: Annotated[str | None, Sensitive(IDENTITY, Kind.DATE_OF_BIRTH, "RFC 3339 date, or its mask.")]
    bank_accounts: Annotated[list[BankAccount] | None, Sensitive(FINANCIAL, Kind.BANK_CARD, "Bank accounts.")]
    contacts: Annotated[list[Contact], Open("People at the customer's.")]
    tags: Annotated[list[str], Open("Free labels.")]
    department: Annotated[str, Open("Id of the department that keeps the file.")]
    version: Annotated[int, Open("Moves with every edit; send it back when you change something.")]
    created_at: Annotated[datetime, Open("When the file was opened.")]
    created_by: Annotated[str, Open("Id of the user who opened it.")]
    updated_at: Annotated[datetime, Open("When it was last changed.")]
    updated_by: Annotated[str, Open("Id of the user who last changed it.")]
    attributes: Annotated[list[Any], Attributes("The template's fields.")]


SHAPE = shape_of(Customer)
FORM = RecordForm(CUSTOMERS, SHAPE)
QUESTIONS = Questions(
    SHAPE,
    also={"tag": "tags", "customer_kind": "kind"},
    blind={
        "phone": ("channels.value", "contacts.phone"),
        "email": ("channels.value", "contacts.email"),
        "id_number": ("identity_numbers.value",),
        "registration_number": ("identity_numbers.value",),
    },
    words={"query": ("name",)},
)
