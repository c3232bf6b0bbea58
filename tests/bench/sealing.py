"""A customer as the product stores it, made by hand with `service.crypto`: for the protected bare server's insert,
and for filling the database in bulk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from bson import Binary

from service.access.declared import Sensitivity
from service.clock import new_id, now
from service.crypto import Binding, BlindIndex, DataKey, Keyring, seal
from service.customers.model import SHAPE

CLASSES = ("NAME", "CONTACT", "IDENTITY")
FIELDS = {name: SHAPE.sections[Sensitivity(name)] for name in CLASSES}


@dataclass(frozen=True, slots=True)
class File:
    """Where the customers are kept: ids of owner, department and template."""

    owner: str
    department: str
    template: str


class Sealer:
    """Normal forms are taken as given (see `workloads.person`); nothing is checked."""

    def __init__(self, keyring: Keyring, file: File) -> None:
        self._keyring = keyring
        self._blind = BlindIndex(keyring.secret)
        self._file = file

    def sealed(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Key document and customer document of a `CreateCustomerInput`."""
        customer, at, material = new_id("cus"), now(), os.urandom(32)
        wrapped = Binary(self._keyring.wrap(material, context=f"data-key/{customer}/1".encode()))
        key = {"_id": customer, "versions": [{"version": 1, "wrapped": wrapped, "created_at": at}]}
        return key, self._document(customer, values, at, DataKey(customer, 1, material))

    def _document(self, customer: str, values: Mapping[str, Any], at: datetime, key: DataKey) -> dict[str, Any]:
        contacts, owner = values["contacts"], self._file.owner
        phone, email = values["channels"]
        channels = [{**phone, "value": f"+86{phone['value']}", "label": None}, {**email, "label": None}]
        sections = {
            "NAME": {
                "name": values["name"],
                "contacts": [{"title": item["title"], "name": item["name"]} for item in contacts],
            },
            "CONTACT": {
                "channels": channels,
                "addresses": [{"label": None, **item} for item in values["addresses"]],
                "contacts": [{"phone": f"+86{item['phone']}", "email": item["email"]} for item in contacts],
            },
            "IDENTITY": {
                "date_of_birth": values["dateOfBirth"],
                "identity_numbers": [
                    {**item, "verified": True, "verified_by": owner, "verified_at": at}
                    for item in values["identityNumbers"]
                ],
            },
        }
        number = values["identityNumbers"][0]["value"]
        blind = {
            "phone": [channels[0]["value"], *(f"+86{item['phone']}" for item in contacts)],
            "email": [email["value"], *(item["email"] for item in contacts)],
            "id_number": [number],
        }
        return {
            "_id": customer,
            "kind": values["kind"],
            "relation": values["relation"],
            "contacts": [{} for _ in contacts],
            "tags": values["tags"],
            "attributes": {item["key"]: item["value"] for item in values["attributes"]},
            "template": self._file.template,
            "owner": owner,
            "department": self._file.department,
            "agents": [],
            "case_departments": [],
            "departments": [self._file.department],
            "version": 1,
            "search_version": 1,
            "created_at": at,
            "created_by": owner,
            "updated_at": at,
            "updated_by": owner,
            "blind": {name: [Binary(self._blind.token(name, item)) for item in items] for name, items in blind.items()},
            "unique": [Binary(self._blind.token("unique/id_number", number))],
            "sealed": {
                name: Binary(seal(key, Binding("customers", customer, name, FIELDS[name]), 1, orjson.dumps(section)))
                for name, section in sections.items()
            },
        }
