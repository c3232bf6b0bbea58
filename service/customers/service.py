"""Use cases of customers: open a file, change it, hand it to another owner, find it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from bson import Binary

from service.access.actor import Caller
from service.access.declared import Level, Sensitivity
from service.access.policy import Relation, Role
from service.access.view import View
from service.clock import is_id, new_id, now
from service.crypto import BlindIndex, DataKey
from service.customers.model import CUSTOMERS, FORM, PREFIX, SHAPE
from service.customers.repository import CustomerRepository
from service.customers.rules import Reader, normal_lookup
from service.customers.uniqueness import Uniqueness
from service.errors import Code, Invalid, Problems, Refused
from service.identity.model import User
from service.jobs.service import Jobs
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.keys.rules import separate
from service.keys.service import Keys, SealedRecord, seal_sections
from service.storage import Database, UnitOfWork
from service.templates.model import Template, TemplateOf
from service.templates.rules import check_attributes, missing_at
from service.templates.service import Templates

RENAMED = "customer.renamed"
BLIND_FIELDS = {
    "phone": Sensitivity.CONTACT,
    "email": Sensitivity.CONTACT,
    "id_number": Sensitivity.IDENTITY,
    "registration_number": Sensitivity.IDENTITY,
}


OwnerFollower = Callable[[UnitOfWork, str, str], Awaitable[Sequence[str]]]


class Owner(NamedTuple):
    """An account manager, and the department that a file of theirs is kept in."""

    id: str
    department: str


class People(Protocol):
    """What customers need to know of users."""

    async def user(self, user: str) -> User | None: ...


class Customers:
    """See the module's docstring. Methods raise NotPermitted and Invalid; what a caller may not see is None."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        blind: BlindIndex,
        journal: Journal,
        jobs: Jobs,
        templates: Templates,
        people: People,
    ) -> None:
        self._database = database
        self._repository = CustomerRepository(database)
        self._keys = keys
        self._blind = blind
        self._uniqueness = Uniqueness(database, self._repository, blind)
        self._journal = journal
        self._jobs = jobs
        self._templates = templates
        self._people = people
        self._followers: list[OwnerFollower] = []

    def on_new_owner(self, follow: OwnerFollower) -> None:
        """`follow(unit, customer, owner)` runs in the unit of work of `assign` and names records to index."""
        self._followers.append(follow)

    # Reading

    async def get(self, caller: Caller, customer: str) -> View | None:
        """One customer, or None when there is none that the caller may see."""
        document = await self._repository.get(caller.reach, customer)
        return (await self._views(caller, [document]))[0] if document else None

    async def load(self, caller: Caller, ids: Iterable[str]) -> dict[str, View]:
        """Several customers by id, for loaders; those out of reach are missing."""
        documents = await self._repository.of_ids(caller.reach, set(ids))
        return {view.id: view for view in await self._views(caller, documents)}

    async def listed(
        self,
        caller: Caller,
        *,
        where: Mapping[str, Any],
        sort: str = "_id",
        descending: bool = True,
        after: tuple[Any, str] | None = None,
        limit: int,
    ) -> list[View]:
        """A page of the customers within reach. `where` holds open fields and `lookups` (see `_condition`)."""
        condition = await self._condition(caller, where)
        if condition is None:
            return []
        documents = await self._repository.listed(
            caller.reach, condition, sort=sort, descending=descending, after=after, limit=limit
        )
        return await self._views(caller, documents)

    async def count(self, caller: Caller, where: Mapping[str, Any]) -> int:
        """How many customers within reach match."""
        condition = await self._condition(caller, where)
        return await self._repository.count(caller.reach, condition) if condition is not None else 0

    async def _condition(self, caller: Caller, where: Mapping[str, Any]) -> dict[str, Any] | None:
        """Open conditions, and blind equality (B2) for whoever has at least BLIND; None can match nothing.

        Refused before it runs, the same whether or not it would match.
        """
        condition: dict[str, Any] = {}
        for name in ("kind", "relation", "owner", "department"):
            if where.get(name) is not None:
                condition[name] = where[name]
        if where.get("tag") is not None:
            condition["tags"] = where["tag"]
        lookups = {name: where[name] for name in BLIND_FIELDS if where.get(name) is not None}
        for name in lookups:
            if caller.policy.lowest(caller.actor.roles, BLIND_FIELDS[name]) < Level.BLIND:
                raise Refused(Code.QUESTION_REFUSED, _camel(name))
        for name, value in lookups.items():
            caller.looked_up(name, value)
            normal = normal_lookup(name, value)
            if normal is None:
                return None
            condition[f"blind.{name}"] = Binary(self._blind.token(name, normal))
        return condition

    async def _views(self, caller: Caller, documents: Sequence[Mapping[str, Any]]) -> list[View]:
        await self._keys.load([document["_id"] for document in documents])
        templates = await self._templates.every()
        return [
            View(
                caller,
                self._sealed(document),
                SHAPE,
                caller.relations(document["owner"], document["agents"], document["departments"]),
                templates[document["template"]].fields,
            )
            for document in documents
        ]

    async def _view(self, caller: Caller, document: Mapping[str, Any]) -> View:
        return (await self._views(caller, [document]))[0]

    def _sealed(self, document: Mapping[str, Any]) -> SealedRecord:
        return SealedRecord(FORM, document, self._keys.versions(document["_id"]))

    async def revisions(self, caller: Caller, customer: str, *, before_version: int | None, limit: int) -> list[View]:
        """This and earlier states, newest first, through today's masks. The caller must reach the customer now."""
        current = await self._repository.get(caller.reach, customer)
        if current is None:
            return []
        states: list[dict[str, Any]] = []
        if before_version is None or current["version"] < before_version:
            states.append(current)
        former = await self._journal.repository.former_states(customer, before_version=before_version, limit=limit)
        now_open = {name: current[name] for name in ("owner", "agents", "departments")}
        seen = {state["version"] for state in states}
        for state in former:
            if state["version"] not in seen:
                seen.add(state["version"])
                states.append({"_id": customer, **state["document"], **now_open})
        return await self._views(caller, states[:limit])

    async def at_version(self, caller: Caller, customer: str, version: int | None) -> View | None:
        """The state that a customer had at a version, through today's masks; None when it can't be seen."""
        before = version + 1 if version is not None else None
        found = await self.revisions(caller, customer, before_version=before, limit=1)
        return found[0] if found else None

    async def set_case_reach(
        self, unit: UnitOfWork, customer: str, agents: Sequence[str], departments: Sequence[str]
    ) -> None:
        """Whom the customer's cases bring into reach. Always written, so that two units of work which change two
        cases of one customer conflict and the later one counts again.
        """
        document = await self._repository.get_in(unit, customer)
        if document is None:
            raise LookupError(customer)
        reach = {
            "agents": sorted(agents),
            "case_departments": sorted(departments),
            "departments": sorted({document["department"], *departments}),
        }
        await self._repository.set_reach(unit, customer, reach)

    def every_id(self) -> AsyncIterator[str]:
        """All ids, oldest first: for rebuilding the index."""
        return self._repository.every_id()

    async def sealed_for_index(self, ids: Iterable[str]) -> dict[str, SealedRecord]:
        """Customers as the indexer reads them: without a caller, never for an answer."""
        documents = await self._repository.every_of(ids)
        await self._keys.load(document["_id"] for document in documents)
        return {document["_id"]: self._sealed(document) for document in documents}

    # Writing

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
            **self._uniqueness.claims(core, template),
        }
        document.setdefault("contacts", [])
        document.setdefault("tags", [])

        async def work(unit: UnitOfWork) -> DataKey:
            key = await self._keys.create(unit, customer)
            document["sealed"] = seal_sections(FORM, key, customer, sections)
            await self._repository.insert(unit, document)
            touched = Touched(customer, 1, document, collection=CUSTOMERS)
            await self._journal.append(unit, caller, Work("customer.create", (touched,), index=(customer,)))
            return key

        data_key = await self._uniqueness.claimed(caller, document, core, template, customer, work)
        self._keys.remember(data_key)
        return await self._view(caller, document)

    async def update(self, caller: Caller, customer: str, version: int, values: Mapping[str, Any]) -> View | None:
        """Changes what `values` holds: absent means unchanged, null means cleared."""
        document = await self._repository.get(caller.reach, customer)
        if document is None:
            return None
        relations = caller.relations(document["owner"], document["agents"], document["departments"])
        caller.require("customer.update", relations, customer)
        if document["version"] != version:
            raise Invalid.because(Code.CONFLICT, "version", current=document["version"])
        await self._keys.load([customer])
        former = self._sealed(document).values()
        problems, at = Problems(), now()
        template = await self._templates.by_id(document["template"])
        newest = await self._templates.newest(TemplateOf.CUSTOMER, template.key) or template
        self._refuse_unseen(caller, relations, values, newest, problems)
        core = Reader(problems, caller.actor.id, at).core(values)
        merged = {**former, **core}
        merged["attributes"] = check_attributes(newest, values.get("attributes") or (), former["attributes"], problems)
        for key in missing_at(newest, merged["attributes"], "CREATE"):
            problems.add(Code.REQUIRED, f"attributes.{key}")
        problems.raise_if_any()
        stored = {name: value for name, value in merged.items() if name in _WRITTEN}
        openly, sections = separate(SHAPE, stored)
        sealed = seal_sections(FORM, self._keys.current(customer), customer, sections)
        blinded = self._uniqueness.claims(merged, newest)
        changed = tuple(sorted(name for name in (*core, "attributes") if merged.get(name) != former.get(name)))
        renamed = "name" in changed

        async def work(unit: UnitOfWork) -> dict[str, Any] | None:
            change: dict[str, Any] = {
                "$set": {
                    **openly,
                    "template": newest.id,
                    "sealed": sealed,
                    "updated_at": at,
                    "updated_by": caller.actor.id,
                    **blinded,
                },
                "$inc": {"version": 1, "search_version": 1},
            }
            if "unique" not in blinded:
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
            caller, {"department": document["department"]}, merged, newest, customer, work, claims=blinded
        )
        return await self._changed(caller, customer, after)

    async def assign(self, caller: Caller, customer: str, version: int, owner_id: str) -> View | None:
        """Hands the file to another owner; the department follows the owner, and the customer's cases learn it."""
        document = await self._repository.get(caller.reach, customer)
        if document is None:
            return None
        relations = caller.relations(document["owner"], document["agents"], document["departments"])
        caller.require("customer.assign", relations, customer)
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
            departments = sorted({department, *before["case_departments"]})
            await self._repository.set_reach(unit, customer, {"departments": departments})
            cases = [case for follow in self._followers for case in await follow(unit, customer, owner.id)]
            after = {**before, **change, "departments": departments, "version": version + 1}
            after["search_version"] = before["search_version"] + 1
            touched = Touched(customer, version + 1, after, before, CUSTOMERS, ("owner",))
            work = Work("customer.assign", (touched,), index=(customer, *cases), details={"owner": owner.id})
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
        user = await self._people.user(owner) if is_id(owner, "usr") else None
        if user is None or user.state != "ACTIVE" or Role.ACCOUNT_MANAGER not in user.roles or not user.department:
            problems.add(Code.NOT_FOUND, "owner")
            return None
        return Owner(user.id, user.department)

    def _refuse_unseen(
        self,
        caller: Caller,
        relations: frozenset[Relation],
        values: Mapping[str, Any],
        template: Template,
        problems: Problems,
    ) -> None:
        """A field that the actor may not see in full, and has no explicit right to edit, is refused."""
        row = caller.row(relations)

        def editable(sensitivity: Sensitivity) -> bool:
            return row[sensitivity] is Level.FULL or caller.may(f"customer.edit.{sensitivity.value}", relations)

        for name in values:
            shape = SHAPE.by_name.get(name)
            if shape is None or name == "attributes":
                continue
            classes = SHAPE.composites[name].sections if name in SHAPE.composites else (shape.sensitivity,)
            if not all(editable(sensitivity) for sensitivity in classes):
                problems.add(Code.FIELD_NOT_EDITABLE, _camel(name))
        for item in values.get("attributes") or ():
            field = template.field(item["key"])
            if field is not None and not editable(field.sensitivity):
                problems.add(Code.FIELD_NOT_EDITABLE, f"attributes.{field.key}")


_WRITTEN = frozenset(
    ("kind", "relation", "name", "channels", "addresses", "identity_numbers", "date_of_birth", "bank_accounts",
     "contacts", "tags", "attributes")
)  # fmt: skip


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
