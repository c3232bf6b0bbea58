"""What a customer file may hold: normal forms, checks, required fields. Pure.

Normal forms (R4): phones E.164 (ITU-T) with mainland China as default, e-mail addresses in lower case, names
and texts in NFC with single spaces, ID card and registration numbers in upper case and checked by checksum
(GB 11643, GB 32100).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import phonenumbers
from stdnum.cn import uscc

from service.access.declared import Kind
from service.access.identifiers import check_open, is_resident_id
from service.access.masks import is_mask
from service.customers.model import ChannelKind, CustomerKind, CustomerRelation, IdentityKind
from service.errors import Code, Problems
from service.normal import narrow, tidy
from service.templates.rules import day

NAME_MOST, TEXT_MOST, TAG_MOST = 200, 500, 40
LIST_MOST = 50
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_WECHAT = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{5,19}|wxid_[A-Za-z0-9]{6,30}")
_PHONE = re.compile(r"\+?[0-9()\s./\-\u2010-\u2015]{3,40}")
# The library's own pattern of mainland mobile numbers: the same answer as below, in a twentieth of the time.
_CHINA: Any = phonenumbers.PhoneMetadata.metadata_for_region("CN")
_MOBILE = re.compile(_CHINA.mobile.national_number_pattern)
_BANK = re.compile(r"[0-9]{8,30}")


def phone(value: str) -> str | None:
    """E.164, or None when it is no possible number. One with an extension is none: E.164 has no place for it."""
    typed = narrow(value)
    if _MOBILE.fullmatch(typed):
        return f"+86{typed}"
    if not _PHONE.fullmatch(typed):
        return None
    try:
        parsed = phonenumbers.parse(typed, "CN")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def email(value: str) -> str | None:
    """Lower case, or None when it is none (the form of RFC 5321's Mailbox, without quoting)."""
    text = narrow(value).lower()
    return text if len(text) <= 254 and _EMAIL.fullmatch(text) else None


def wechat(value: str) -> str | None:
    """A WeChat id, a wxid, or a phone number that serves as one."""
    text = narrow(value)
    return text if _WECHAT.fullmatch(text) else phone(text)


CHANNELS: dict[ChannelKind, Callable[[str], str | None]] = {
    ChannelKind.PHONE: phone,
    ChannelKind.EMAIL: email,
    ChannelKind.WECHAT: wechat,
}
_CHANNEL_MASK = {ChannelKind.PHONE: Kind.PHONE, ChannelKind.EMAIL: Kind.EMAIL, ChannelKind.WECHAT: Kind.WECHAT}


def identity_number(kind: IdentityKind, value: str) -> tuple[str, bool]:
    """The compact number and whether its checksum is right."""
    compact = re.sub(r"[\s\-]", "", narrow(value)).upper()
    valid = is_resident_id(compact) if kind is IdentityKind.ID_CARD else uscc.is_valid(compact)
    return compact, bool(valid)


class Reader:
    """Reads one input field after another, collecting problems; what it returns is in normal form."""

    def __init__(self, problems: Problems, actor: str, at: datetime, former: Mapping[str, Any] | None = None) -> None:
        """`former`: the record's values before an edit. A number that stays keeps what is known of it."""
        self._problems = problems
        self._actor = actor
        self._at = at
        self._numbers = {(item["kind"], item["value"]): item for item in (former or {}).get("identity_numbers") or ()}

    def text(self, value: str | None, path: str, kind: Kind, *, most: int, required: bool = False) -> str | None:
        """A short text."""
        text = tidy(value or "")
        if not text:
            if required:
                self._problems.add(Code.REQUIRED, path)
            return None
        if len(text) > most:
            self._problems.add(Code.TOO_LONG, path, limit=most)
            return None
        if is_mask(kind, text):
            self._problems.add(Code.MASKED_VALUE, path)
            return None
        return text

    def _formed(
        self,
        value: str | None,
        path: str,
        kind: Kind,
        form: Callable[[str], str | None],
        what: str,
        *,
        required: bool = False,
    ) -> str | None:
        text = self.text(value, path, kind, most=TEXT_MOST, required=required)
        if text is None:
            return None
        found = form(text)
        if found is None:
            self._problems.add(Code.INVALID_FORMAT, path, reason=what)
        return found

    def items(self, value: Sequence[Mapping[str, Any]] | None, path: str) -> Sequence[Mapping[str, Any]]:
        """A bounded list."""
        if value is not None and len(value) > LIST_MOST:
            self._problems.add(Code.TOO_MANY, path, limit=LIST_MOST)
            return ()
        return value or ()

    def channels(self, value: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """At least one (R1)."""
        found = []
        for position, item in enumerate(self.items(value, "channels")):
            kind = ChannelKind(item["kind"])
            path = f"channels.{position}.value"
            formed = self._formed(item["value"], path, _CHANNEL_MASK[kind], CHANNELS[kind], kind.value, required=True)
            label = self.text(item.get("label"), f"channels.{position}.label", Kind.LABEL, most=TAG_MOST)
            found.append({"kind": kind.value, "value": formed, "label": label})
        if not value:
            self._problems.add(Code.REQUIRED, "channels")
        return found

    def identity_numbers(self, value: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """Stored also when the checksum is wrong, but then marked as not verified (R6)."""
        found = []
        for position, item in enumerate(self.items(value, "identityNumbers")):
            path = f"identityNumbers.{position}.value"
            text = self.text(item["value"], path, Kind.ID_NUMBER, most=40, required=True)
            if text is None:
                continue
            kind = IdentityKind(item["kind"])
            compact, verified = identity_number(kind, text)
            if not re.fullmatch(r"[0-9A-Z]{6,40}", compact):
                self._problems.add(Code.INVALID_FORMAT, path, reason=kind.value)
            found.append(
                self._numbers.get((kind.value, compact))
                or {
                    "kind": kind.value,
                    "value": compact,
                    "verified": verified,
                    "verified_by": self._actor if verified else None,
                    "verified_at": self._at.isoformat() if verified else None,
                }
            )
        return found

    def addresses(self, value: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """Postal addresses, tidied."""
        return [
            {
                "label": self.text(item.get("label"), f"addresses.{n}.label", Kind.LABEL, most=TAG_MOST),
                "text": self.text(item["text"], f"addresses.{n}.text", Kind.ADDRESS, most=TEXT_MOST, required=True),
            }
            for n, item in enumerate(self.items(value, "addresses"))
        ]

    def bank_accounts(self, value: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """Digits only."""

        def digits(text: str) -> str | None:
            compact = re.sub(r"[\s\-]", "", narrow(text))
            return compact if _BANK.fullmatch(compact) else None

        return [
            {
                "bank": self.text(item["bank"], f"bankAccounts.{n}.bank", Kind.LABEL, most=NAME_MOST, required=True),
                "number": self._formed(
                    item["number"], f"bankAccounts.{n}.number", Kind.BANK_CARD, digits, "8–30 digits", required=True
                ),
                "holder": self.text(item.get("holder"), f"bankAccounts.{n}.holder", Kind.NAME, most=NAME_MOST),
            }
            for n, item in enumerate(self.items(value, "bankAccounts"))
        ]

    def contacts(self, value: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """People at the customer's."""
        found = []
        for n, item in enumerate(self.items(value, "contacts")):
            path = f"contacts.{n}"
            found.append(
                {
                    "name": self.text(item["name"], f"{path}.name", Kind.NAME, most=NAME_MOST, required=True),
                    "title": self.text(item.get("title"), f"{path}.title", Kind.TEXT, most=NAME_MOST),
                    "phone": self._formed(item.get("phone"), f"{path}.phone", Kind.PHONE, phone, "PHONE"),
                    "email": self._formed(item.get("email"), f"{path}.email", Kind.EMAIL, email, "EMAIL"),
                }
            )
        return found

    def date_of_birth(self, value: str | None) -> str | None:
        """An RFC 3339 full-date, not in the future."""

        def past(text: str) -> str | None:
            found = day(text)
            return found if found and "1880-01-01" <= found <= self._at.date().isoformat() else None

        return self._formed(value, "dateOfBirth", Kind.DATE_OF_BIRTH, past, "YYYY-MM-DD")

    def tags(self, value: Sequence[str] | None) -> list[str]:
        """Without repetitions, in the given order."""
        if value is not None and len(value) > LIST_MOST:
            self._problems.add(Code.TOO_MANY, "tags", limit=LIST_MOST)
            return []
        tidied = [self.text(tag, f"tags.{n}", Kind.LABEL, most=TAG_MOST) for n, tag in enumerate(value or ())]
        for n, tag in enumerate(tidied):
            check_open(tag or "", f"tags.{n}", self._problems)
        return list(dict.fromkeys(tag for tag in tidied if tag))

    def core(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Whatever is present in `values`, in normal form; absent keys stay absent."""
        readers: dict[str, Callable[[Any], Any]] = {
            "kind": lambda v: self._chosen(CustomerKind, v, "kind"),
            "relation": lambda v: self._chosen(CustomerRelation, v, "relation"),
            "name": lambda v: self.text(v, "name", Kind.NAME, most=NAME_MOST, required=True),
            "channels": self.channels,
            "addresses": self.addresses,
            "identity_numbers": self.identity_numbers,
            "date_of_birth": self.date_of_birth,
            "bank_accounts": self.bank_accounts,
            "contacts": self.contacts,
            "tags": self.tags,
        }
        return {name: read(values[name]) for name, read in readers.items() if name in values}

    def _chosen(self, kind: type[CustomerKind] | type[CustomerRelation], value: Any, path: str) -> str | None:
        if value is None:
            self._problems.add(Code.REQUIRED, path)
            return None
        return str(kind(value).value)


def blind_values(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """What can be found by equality: normalised values per blind field."""
    channels, contacts = values.get("channels") or (), values.get("contacts") or ()
    numbers = values.get("identity_numbers") or ()
    found = {
        "phone": [c["value"] for c in channels if c["kind"] == "PHONE"]
        + [c["phone"] for c in contacts if c.get("phone")],
        "email": [c["value"] for c in channels if c["kind"] == "EMAIL"]
        + [c["email"] for c in contacts if c.get("email")],
        "id_number": [n["value"] for n in numbers if n["kind"] == "ID_CARD"],
        "registration_number": [n["value"] for n in numbers if n["kind"] == "USCC"],
    }
    return {name: list(dict.fromkeys(items)) for name, items in found.items() if items}


def normal_lookup(field: str, value: str) -> str | None:
    """What somebody typed to find a customer, in the normal form of its blind field; None when it can't be one."""
    if field == "phone":
        return phone(value)
    if field == "email":
        return email(value)
    kind = IdentityKind.ID_CARD if field == "id_number" else IdentityKind.USCC
    return identity_number(kind, value)[0] or None
