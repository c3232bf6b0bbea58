"""Templates: remembered for one epoch, published by administrators."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy
from service.clock import new_id, now
from service.errors import Code, Invalid, Problems
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.storage import Database, DuplicateKey, UnitOfWork
from service.storage.epoch import Epoch
from service.templates.model import PREFIX, TEMPLATES, FieldType, Template, TemplateOf, template_of
from service.templates.repository import TemplateRepository
from service.templates.rules import Attributes, check_template

STANDARD = "standard"
Lookup = Callable[[Caller, str], Awaitable[bool]]
"""Whether there is such a record within the caller's reach."""


class Templates:
    """Reading is for everyone who is signed in; publishing is a step of the policy."""

    def __init__(self, database: Database, epoch: Epoch, journal: Journal) -> None:
        self._database = database
        self._repository = TemplateRepository(database)
        self._journal = journal
        self._known: dict[str, Template] | None = None
        self._epoch = epoch
        self._lookups: Mapping[str, Lookup] = {}
        epoch.on_change(self._forget)

    def resolve_by(self, lookups: Mapping[str, Lookup]) -> None:
        """How a REFERENCE is looked up, by the id's prefix; the nouns themselves stand above templates."""
        self._lookups = lookups

    async def check_references(
        self, caller: Caller, template: Template, attributes: Attributes, former: Attributes, problems: Problems
    ) -> None:
        """A reference that is given anew names a record that the caller can see; one that stays is left alone."""
        for field in template.fields:
            value = attributes.get(field.sensitivity, {}).get(field.key)
            if field.type is not FieldType.REFERENCE or value is None:
                continue
            known = former.get(field.sensitivity, {}).get(field.key)
            if value != known and not await self._lookups[field.reference_to or ""](caller, value):
                problems.add(Code.NOT_FOUND, f"attributes.{field.key}")

    def _forget(self) -> None:
        self._known = None

    async def every(self) -> dict[str, Template]:
        """All versions of all templates, by id."""
        known = self._known
        if known is None:
            began = self._epoch.value
            known = {template.id: template for template in await self._repository.every()}
            if self._epoch.value == began:  # what was read while the epoch rose is never remembered
                self._known = known
        return known

    async def by_id(self, template_id: str) -> Template:
        """Raises KeyError."""
        return (await self.every())[template_id]

    async def newest(self, of: TemplateOf, key: str = STANDARD) -> Template | None:
        """The version in force."""
        versions = [t for t in (await self.every()).values() if t.of is of and t.key == key]
        return max(versions, key=lambda t: t.version, default=None)

    async def listed(self, of: TemplateOf) -> list[Template]:
        """The version in force of each template."""
        newest: dict[str, Template] = {}
        for template in (await self.every()).values():
            if template.of is of and (template.key not in newest or newest[template.key].version < template.version):
                newest[template.key] = template
        return [newest[key] for key in sorted(newest)]

    async def seed(self, policy: Policy) -> None:
        """Publishes the standard templates where there is none of their kind, as the system: without them no
        customer could be made and no case raised. Administrators publish their own versions on top.
        """
        known = {template.of for template in await self._repository.every()}
        for data in seed_data():
            if TemplateOf(data["of"]) not in known:
                await self._publish(Caller(SYSTEM, policy), data)

    async def publish(self, caller: Caller, values: Mapping[str, Any]) -> Template:
        """Publishes a new version. `values` has `of`, `key`, `label`, `fields`, `categories`, `schedule`.

        Raises NotPermitted, Invalid.
        """
        caller.require("template.publish")
        return await self._publish(caller, values)

    async def _publish(self, caller: Caller, values: Mapping[str, Any]) -> Template:
        published = [t for t in await self._repository.every() if (t.of.value, t.key) == (values["of"], values["key"])]
        problems = Problems()
        check_template(values, published, problems)
        problems.raise_if_any()
        version = max((t.version for t in published), default=0) + 1
        document = {**values, "_id": new_id(PREFIX), "version": version, "created_at": now()}

        async def work(unit: UnitOfWork) -> None:
            await self._repository.insert(unit, document)
            await Epoch.raise_in(unit)
            touched = Touched(document["_id"], version, document, collection=TEMPLATES)
            await self._journal.append(unit, caller, Work("template.publish", (touched,)))

        try:
            await self._database.transact(work)
        except DuplicateKey as error:
            if error.index != "templates_version":
                raise
            raise Invalid.because(Code.CONFLICT, "key", current=version) from None
        self._forget()
        return template_of(document)


def seed_data() -> list[dict[str, Any]]:
    """The templates that a new system starts with."""
    data: list[dict[str, Any]] = json.loads((files("service.templates") / "seed.json").read_text("utf-8"))
    return data
