"""Use cases of customers: open a file, change it, hand it to another owner, find it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bson import Binary

from service.access.actor import Caller
from service.access.declared import Level, Sensitivity, camel
from service.access.policy import Relation, Role
from service.access.view import View
from service.clock import is_id, new_id, now
from service.customers.model import CUSTOMERS, FORM, PREFIX, SHAPE
from service.customers.records import CustomerRecords, relations
from service.customers.rules import Reader
from service.customers.uniqueness import Claim
from service.errors import Code, Invalid, Problems
from service.journal.model import JOURNAL, Touched, Work
from service.keys.model import KEYS
from service.keys.rules import separate
from service.keys.service import seal_sections
from service.storage import UnitOfWork
from service.templates.model import Template, TemplateOf
from service.templates.rules import check_attributes, missing_at

RENAMED = "customer.renamed"


class Owner(NamedTuple):
    """An account manager, and the department that a file of theirs is kept in."""

    id: str
    department: str


class Customers(CustomerRecords):
    """See the module's docstring. Methods raise NotPermitted and Invalid; what a caller may not see is None."""

    async def create(self, caller: Caller, values: Mapping[str, Any]) -> View:
        """Opens a file. `values` are snake_case inputs; `owner` is needed unless the caller becomes it."""
        caller.require("customer.create")
        problems, at, customer = Problems(), now(), new_id(PREFIX)
        template = await self._template(values.get("template"), problems)
        owner = await self._owner(caller, values.get("owner"), problems)
        core = Reader(problems, caller.actor.id, at).core(
            {"name": None, "channels": None, "kind": None, "relation": "PROSPECT", **values}
        )
        attributes = check_attributes(template, values.get("attributes") or (), {}, problems)
        await self._templates.check_references(caller, template, attributes, {}, problems)
        for key in missing_at(template, attributes, "CREATE"):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        problems.raise_if_any()
        assert owner is not None  # noqa: S101 - raise_if_any told otherwise
        core["attributes"] = attributes
        openly, sections = separate(SHAPE, core)
        document: dict[str, Any] = {
            "_id": customer,
            **openly,
            "template": template.id,
            "owner": owner.id,
            "department": owner.department,
            "agents": [],
            "case_departments": [],
            "departments": [owner.department],
            "version": 1,
            "search_version": 1,
            "created_at": at,
            "created_by": caller.actor.id,
            "updated_at": at,
            "updated_by": caller.actor.id,
            "blind": self._uniqueness.tokens(core),
        }
        document.setdefault("contacts", [])
        document.setdefault("tags", [])

        data_key, wrapped = await self._keys.made(customer)
        document["sealed"] = seal_sections(FORM, data_key, customer, sections)
        touched = Touched(customer, 1, document, collection=CUSTOMERS)
        entry = self._journal.document(caller, Work("customer.create", (touched,), index=(customer,)))

        def unit(unique: list[Binary]) -> dict[str, list[dict[str, Any]]]:
            _put_claims(document, unique)
            return {KEYS: [wrapped], CUSTOMERS: [document], JOURNAL: [entry]}

        claims = self._claims(core, template)
        await self._uniqueness.inserted(caller, customer, owner.department, claims, unit)
        self._keys.remember(data_key)
        return await self._view(caller, document)

    async def update(self, caller: Caller, customer: str, version: int, values: Mapping[str, Any]) -> View | None:
        """Changes what `values` holds: absent means unchanged, null means cleared."""
        document = await self._repository.get(caller.reach, customer)
        if document is None:
            return None
        standing = relations(caller, document)
        caller.require("customer.update", standing, customer)
        if document["version"] != version:
            raise Invalid.because(Code.CONFLICT, "version", current=document["version"])
        await self._keys.load([customer])
        former = self._sealed(document).values()
        problems, at = Problems(), now()
        template = await self._templates.by_id(document["template"])
        newest = await self._templates.newest(TemplateOf.CUSTOMER, template.key) or template
        self._refuse_unseen(caller, standing, values, newest, problems)
        core = Reader(problems, caller.actor.id, at, former).core(values)
        merged = {**former, **core}
        attributes = check_attributes(newest, values.get("attributes") or (), former["attributes"], problems)
        await self._templates.check_references(caller, newest, attributes, former["attributes"], problems)
        merged["attributes"] = attributes
        for key in missing_at(newest, merged["attributes"], "CREATE"):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        problems.raise_if_any()
        changed = tuple(
            sorted(name for name in (*core, "attributes") if (merged.get(name) or None) != (former.get(name) or None))
        )
        if not changed:
            return await self._view(caller, document)
        stored = {name: value for name, value in merged.items() if name in _WRITTEN}
        openly, sections = separate(SHAPE, stored)
        sealed = seal_sections(FORM, self._keys.current(customer), customer, sections)
        renamed = "name" in changed

        async def work(unit: UnitOfWork, unique: list[Binary]) -> dict[str, Any] | None:
            change: dict[str, Any] = {
                "$set": {
                    **openly,
                    "template": newest.id,
                    "sealed": sealed,
                    "updated_at": at,
                    "updated_by": caller.actor.id,
                    "blind": self._uniqueness.tokens(merged),
                },
                "$inc": {"version": 1, "search_version": 1},
            }
            if unique:
                change["$set"]["unique"] = unique
            else:
                change["$unset"] = {"unique": ""}
            before = await self._repository.change(unit, caller.reach, customer, version, change)
            if before is None:
                return None
            if renamed:
                await self._jobs.enqueue(unit, RENAMED, {"customer": customer})
            after = {**before, **change["$set"], "version": version + 1}
            after["search_version"] = before["search_version"] + 1
            touched = Touched(customer, version + 1, after, before, CUSTOMERS, changed)
            await self._journal.append(unit, caller, Work("customer.update", (touched,), index=(customer,)))
            return after

        after = await self._uniqueness.claimed(
            caller,
            customer,
            document["department"],
            self._claims(merged, newest),
            work,
            former=self._claims(former, template),
            held=document.get("unique", ()),
        )
        return await self._changed(caller, customer, after)

    async def assign(self, caller: Caller, customer: str, version: int, owner_id: str) -> View | None:
        """Hands the file to another owner; the department follows the owner, and the customer's cases learn it."""
        document = await self._repository.get(caller.reach, customer)
        if document is None:
            return None
        caller.require("customer.assign", relations(caller, document), customer)
        problems = Problems()
        owner = await self._owner(caller, owner_id, problems)
        problems.raise_if_any()
        assert owner is not None  # noqa: S101 - raise_if_any told otherwise
        department = owner.department

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            change = {
                "owner": owner.id,
                "department": department,
                "updated_at": now(),
                "updated_by": caller.actor.id,
            }
            before = await self._repository.change(
                unit, caller.reach, customer, version, {"$set": change, "$inc": {"version": 1, "search_version": 1}}
            )
            if before is None:
                return None
            reach = {"departments": sorted({department, *before["case_departments"]})}
            await self._repository.set_reach(unit, customer, reach)
            followed = [one for follow in self._followers for one in await follow(unit, customer, owner.id, department)]
            after = await self._repository.get_in(unit, customer)
            touched = Touched(customer, version + 1, after, before, CUSTOMERS, ("owner",))
            index = (customer, *(one.id for one in followed))
            work = Work("customer.assign", (touched, *followed), index=index, details={"owner": owner.id})
            await self._journal.append(unit, caller, work)
            return after

        return await self._changed(caller, customer, await self._database.transact(work))

    async def _changed(self, caller: Caller, customer: str, after: dict[str, Any] | None) -> View | None:
        """The changed customer; when the guard did not match, CONFLICT with the version that it has now."""
        if after is not None:
            await self._keys.load([customer])
            return await self._view(caller, after)
        current = await self._repository.get(caller.reach, customer)
        if current is None:
            return None
        raise Invalid.because(Code.CONFLICT, "version", current=current["version"])

    # Parts of the above

    def _claims(self, values: Mapping[str, Any], template: Template) -> list[Claim]:
        """Everything of a customer that nobody else may have too."""
        attributes = self._uniqueness.of_attributes(template, values["attributes"], "attribute")
        return [*self._uniqueness.of_numbers(values), *attributes]

    async def _template(self, template: str | None, problems: Problems) -> Template:
        found = await self._templates.newest(TemplateOf.CUSTOMER, template or "standard")
        if found is None:
            problems.add(Code.NOT_FOUND, "template")
            problems.raise_if_any()
            raise AssertionError
        return found

    async def _owner(self, caller: Caller, owner: str | None, problems: Problems) -> Owner | None:
        """The account manager whose file it is: the caller, or somebody named."""
        if owner is None and Role.ACCOUNT_MANAGER in caller.actor.roles:
            owner = caller.actor.id
        if owner is None:
            problems.add(Code.REQUIRED, "owner")
            return None
        actor = caller.actor
        if owner == actor.id and Role.ACCOUNT_MANAGER in actor.roles and actor.department:
            return Owner(actor.id, actor.department)  # known for this epoch
        if not is_id(owner, "usr"):
            problems.add(Code.INVALID_ID, "owner")
            return None
        user = await self._people.user(owner)
        if user is None or user.state != "ACTIVE" or Role.ACCOUNT_MANAGER not in user.roles or not user.department:
            problems.add(Code.NOT_FOUND, "owner")
            return None
        return Owner(user.id, user.department)

    def _refuse_unseen(
        self,
        caller: Caller,
        standing: frozenset[Relation],
        values: Mapping[str, Any],
        template: Template,
        problems: Problems,
    ) -> None:
        """A field that the actor may not see in full, and has no explicit right to edit, is refused."""
        row = caller.row(standing)

        def editable(sensitivity: Sensitivity) -> bool:
            return row[sensitivity] is Level.FULL or caller.may(f"customer.edit.{sensitivity.value}", standing)

        for name in values:
            shape = SHAPE.by_name.get(name)
            if shape is None or name == "attributes":
                continue
            classes = SHAPE.composites[name].sections if name in SHAPE.composites else (shape.sensitivity,)
            if not all(editable(sensitivity) for sensitivity in classes):
                problems.add(Code.FIELD_NOT_EDITABLE, camel(name))
        for item in values.get("attributes") or ():
            field = template.field(item["key"])
            if field is not None and not editable(field.sensitivity):
                problems.add(Code.FIELD_NOT_EDITABLE, f"attributes.{field.key}")


_WRITTEN = frozenset(
    ("kind", "relation", "name", "channels", "addresses", "identity_numbers", "date_of_birth", "bank_accounts",
     "contacts", "tags", "attributes")
)  # fmt: skip


def _put_claims(document: dict[str, Any], unique: list[Binary]) -> None:
    """The claims of a new record: none means no field, so that the index has nothing to compare."""
    document.pop("unique", None)
    if unique:
        document["unique"] = unique
