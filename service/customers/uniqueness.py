"""What no two customers may share: identity numbers and the template's unique fields.

A claim is a blind token in the record's `unique` list, under one unique index. Uniqueness is a blind lookup: who
has that right is told DUPLICATE; for others the value is stored without its claim, and the duplicate goes to the
supervisor's list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from bson import Binary

from service.access.actor import Caller
from service.access.declared import Level, Sensitivity
from service.clock import new_id, now
from service.crypto import BlindIndex
from service.customers.repository import CustomerRepository
from service.customers.rules import blind_values
from service.errors import Code, Invalid, Problems
from service.storage import Database, DuplicateKey, UnitOfWork
from service.templates.model import Template

UNIQUE_FIELDS = ("id_number", "registration_number")
ATTEMPTS = 3
T = TypeVar("T")


class Uniqueness:
    """Blind tokens of a record, and the claims among them."""

    def __init__(self, database: Database, repository: CustomerRepository, blind: BlindIndex) -> None:
        self._database = database
        self._repository = repository
        self._blind = blind

    def claims(self, values: Mapping[str, Any], template: Template) -> dict[str, Any]:
        """The stored `blind` tokens, and `unique` where there is something to claim."""
        found: dict[str, Any] = {
            "blind": {
                name: [Binary(self._blind.token(name, value)) for value in items]
                for name, items in blind_values(values).items()
            }
        }
        unique = [Binary(token) for token, _, _ in self._tokens(values, template)]
        return {**found, "unique": unique} if unique else found

    def _tokens(self, values: Mapping[str, Any], template: Template) -> list[tuple[bytes, str, Sensitivity]]:
        """Token, path and class of everything that no two customers may share."""
        found = blind_values(values)
        tokens = [
            (self._blind.token(f"unique/{name}", value), "identityNumbers", Sensitivity.IDENTITY)
            for name in UNIQUE_FIELDS
            for value in found.get(name, ())
        ]
        for field in template.fields:
            value = values.get("attributes", {}).get(field.sensitivity, {}).get(field.key)
            if field.unique and value is not None:
                token = self._blind.token(f"unique/attribute/{field.key}", value)
                tokens.append((token, f"attributes.{field.key}", field.sensitivity))
        return tokens

    async def claimed(
        self,
        caller: Caller,
        document: Mapping[str, Any],
        values: Mapping[str, Any],
        template: Template,
        customer: str,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        claims: dict[str, Any] | None = None,
    ) -> T:
        """Runs the unit of work once nothing that the caller may know of stands against the claims (the document's
        own, or those given). Somebody who claims the same at the same moment makes it look again.

        Raises Invalid DUPLICATE.
        """
        stated = claims if claims is not None else document
        for _ in range(ATTEMPTS):
            hidden = await self._hidden_duplicate(caller, stated, values, template, customer)

            async def noted(unit: UnitOfWork, hidden: bool = hidden) -> T:
                result = await work(unit)
                if hidden:
                    await self._repository.note_duplicate(
                        unit,
                        {"_id": new_id("dup"), "customer": customer, "department": document["department"], "at": now()},
                    )
                return result

            try:
                return await self._database.transact(noted)
            except DuplicateKey as error:
                if error.index != "customers_unique":
                    raise
        raise Invalid.because(Code.DUPLICATE, "identityNumbers")

    async def _hidden_duplicate(
        self, caller: Caller, stated: Any, values: Mapping[str, Any], template: Template, customer: str
    ) -> bool:
        """Takes back the claims of which the caller may not be told. Raises Invalid for the others."""
        hidden = False
        problems = Problems()
        for token, path, sensitivity in self._tokens(values, template):
            if not await self._repository.any_unique([token], customer):
                continue
            if caller.policy.lowest(caller.actor.roles, sensitivity) >= Level.BLIND:
                problems.add(Code.DUPLICATE, path)
            else:
                hidden = True
                stated["unique"] = [kept for kept in stated.get("unique", ()) if bytes(kept) != token]
        if "unique" in stated and not stated["unique"]:
            del stated["unique"]
        problems.raise_if_any()
        return hidden
