"""Customers: the type, its relations, queries and mutations."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import argument
from strawberry.utils.str_converters import to_camel_case

from schema.binding import batched, plain, relation
from schema.connections import PageAfter, PageFirst, conditions, connection, page_size
from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload, present
from schema.node import Node, RecordId, connection_types, require_id
from schema.people import Department, User
from schema.records import ValueKind, Visibility, enum_type, record_type
from schema.templates import Attribute, AttributeInput, attributes_of
from search.port import After
from service.customers.model import QUESTIONS, ChannelKind, CustomerKind, CustomerRelation, IdentityKind
from service.customers.model import Customer as CustomerModel
from service.errors import Code, Refused

if TYPE_CHECKING:
    from schema.cases import CaseConnection
    from schema.evidence import EvidenceConnection

KindEnum, RelationEnum = enum_type(CustomerKind), enum_type(CustomerRelation)
ChannelKindEnum, IdentityKindEnum = enum_type(ChannelKind), enum_type(IdentityKind)


@strawberry.type(description="A field that the actor may not see in full, with or without a value.")
class MaskedField:
    """Field, visibility, kind."""

    field: str = strawberry.field(description="The field, such as `channels` or `contacts.phone`.")
    visibility: Visibility = strawberry.field(description="How much is shown.")
    kind: ValueKind = strawberry.field(description="What the value is.")


def masked_fields(root: Any, info: strawberry.Info) -> list[MaskedField]:
    """Every field that this actor may not see in full, selected or not."""
    return [
        {"field": camel_path(masked.field), "visibility": masked.visibility, "kind": masked.kind}
        for masked in root.masked_fields()
    ]


def masked_fields_field(resolver: Any = masked_fields) -> Any:
    """The field that every type with masked fields has."""
    return strawberry.field(
        resolver=resolver, description="Every field that this actor may not see in full, selected or not."
    )


def camel_path(path: str) -> str:
    """A field's path as clients know it; keys of template fields are theirs already."""
    return path if path.startswith("attributes.") else to_camel_case(path)


class CustomerActionEnum(str, Enum):
    """What a person can do with a customer."""

    UPDATE = "UPDATE"
    ASSIGN = "ASSIGN"
    RAISE_CASE = "RAISE_CASE"
    ADD_EVIDENCE = "ADD_EVIDENCE"
    WITHDRAW_EVIDENCE = "WITHDRAW_EVIDENCE"


CustomerAction = enum_type(CustomerActionEnum, "CustomerAction")
_RIGHTS = {
    CustomerActionEnum.UPDATE: "customer.update",
    CustomerActionEnum.ASSIGN: "customer.assign",
    CustomerActionEnum.RAISE_CASE: "case.raise",
    CustomerActionEnum.ADD_EVIDENCE: "evidence.create",
    CustomerActionEnum.WITHDRAW_EVIDENCE: "evidence.withdraw",
}


@strawberry.type(description="A customer's file at one of its versions, through today's masks.")
class CustomerRevision:
    """A view on the journal."""

    version: int = strawberry.field(description="The version.")
    at: datetime = strawberry.field(description="When it became so.")
    by: strawberry.ID = strawberry.field(description="Id of the user who made it so.")
    customer: "Customer" = strawberry.field(description="The file as it was.")  # noqa: UP037


CustomerRevisionConnection = connection_types(CustomerRevision, "CustomerRevision", counted=False)


@record_type(CustomerModel, leave_out=("department", "owner"), interfaces=(Node,))
class Customer:
    """A customer."""

    owner: User | None = relation("users", lambda view: view.document["owner"], "The account manager whose file it is.")
    department: Department | None = relation(
        "departments", lambda view: view.document["department"], "The department that keeps the file."
    )

    @strawberry.field(description="The template's fields.")
    def attributes(root: Any, info: strawberry.Info) -> list[Attribute]:
        return attributes_of(root, context_of(info).locale)

    masked_fields: list[MaskedField] = masked_fields_field()

    @strawberry.field(description="What this actor may do with it now.")
    def allowed_actions(root: Any, info: strawberry.Info) -> list[CustomerAction]:
        return [action for action, right in _RIGHTS.items() if root.caller.may(right, root.relations)]

    @strawberry.field(description="Its cases that this actor may see, newest first.")
    @batched
    async def cases(
        root: list[Any], info: strawberry.Info, first: PageFirst = 20, after: PageAfter = None
    ) -> Annotated["CaseConnection", strawberry.lazy("schema.cases")]:  # noqa: UP037
        from schema.cases import cases_of  # noqa: PLC0415 - cases stand above customers

        return await cases_of(context_of(info), [view.id for view in root], first=first, after=after)

    @strawberry.field(description="Files that belong to the customer rather than to a case (R11).")
    @batched
    async def evidence(
        root: list[Any], info: strawberry.Info, first: PageFirst = 20, after: PageAfter = None
    ) -> Annotated["EvidenceConnection", strawberry.lazy("schema.evidence")]:  # noqa: UP037
        from schema.evidence import evidence_pages  # noqa: PLC0415

        return await evidence_pages(context_of(info), root, "customer", first=first, after=after)

    @strawberry.field(description="Earlier states, newest first, through today's masks.")
    @batched
    async def revisions(
        root: list[Any], info: strawberry.Info, first: PageFirst = 20, after: PageAfter = None
    ) -> CustomerRevisionConnection:
        context, size = context_of(info), page_size(first)
        caller, customers = context.signed_in, context.parts.customers
        if after is None:
            pages = await customers.first_revisions(caller, [view.id for view in root], size + 1)
        else:
            pages = {
                view.id: await customers.revisions(
                    caller,
                    view.id,
                    before_version=context.parts.cursors.read(caller, ["revisions", view.id], after),
                    limit=size + 1,
                )
                for view in root
            }
        return [
            connection(
                context,
                ["revisions", view.id],
                [_revision(state) for state in pages.get(view.id, ())],
                first=size,
                after=after,
                position=lambda state: state["version"],
            )
            for view in root
        ]


def _revision(view: Any) -> dict[str, Any]:
    return {
        "version": view.document["version"],
        "at": view.document["updated_at"],
        "by": view.document["updated_by"],
        "customer": view,
    }


CustomerConnection = connection_types(Customer, "Customer")


@strawberry.input(description="A number or address asked for as a whole: it finds by equality, and by nothing else.")
class BlindEquality:
    """There is no other operator, so that a part, a range or an order can't be asked for (B2). Each is journalled, and
    one actor may ask so many times only (THROTTLED).
    """

    eq: str = strawberry.field(description="The whole value, however it is spelled; what can't be one finds nothing.")


@strawberry.input(description="Which customers; conditions are joined by and.")
class CustomerFilter:
    """Open fields, and blind equality on numbers (B2): the whole number finds, a part of it does not."""

    kind: KindEnum | None = strawberry.field(default=None, description="Person or organisation.")
    relation: RelationEnum | None = strawberry.field(default=None, description="How the company stands to them.")
    owner: strawberry.ID | None = strawberry.field(default=None, description="Whose file.")
    department: strawberry.ID | None = strawberry.field(default=None, description="Which department's.")
    tag: str | None = strawberry.field(default=None, description="With this tag.")
    phone: BlindEquality | None = strawberry.field(default=None, description="Their phone number, or a contact's.")
    email: BlindEquality | None = strawberry.field(default=None, description="Their e-mail address, or a contact's.")
    id_number: BlindEquality | None = strawberry.field(default=None, description="Their identity card's number.")
    registration_number: BlindEquality | None = strawberry.field(
        default=None, description="Their unified social credit code."
    )


@enum_type
class CustomerOrder(Enum):
    """Orders of customers, by open fields only."""

    CREATED_AT_DESC = "-_id"
    CREATED_AT_ASC = "_id"
    UPDATED_AT_DESC = "-updated_at"
    UPDATED_AT_ASC = "updated_at"


@strawberry.input(description="A way to reach the customer.")
class ChannelInput:
    """Input."""

    kind: ChannelKindEnum = strawberry.field(description="Phone, e-mail or WeChat.")
    value: str = strawberry.field(description="Number, address or WeChat id.")
    label: str | None = strawberry.field(default=None, description="What it is used for.")


@strawberry.input(description="An official number.")
class IdentityNumberInput:
    """Input."""

    kind: IdentityKindEnum = strawberry.field(description="Which number.")
    value: str = strawberry.field(description="The number.")


@strawberry.input(description="A postal address.")
class AddressInput:
    """Input."""

    text: str = strawberry.field(description="The address.")
    label: str | None = strawberry.field(default=None, description="What it is used for.")


@strawberry.input(description="A bank account.")
class BankAccountInput:
    """Input."""

    bank: str = strawberry.field(description="The bank's name.")
    number: str = strawberry.field(description="Account or card number.")
    holder: str | None = strawberry.field(default=None, description="The holder's name.")


@strawberry.input(description="Somebody at the customer's.")
class ContactInput:
    """Input."""

    name: str = strawberry.field(description="Their name.")
    title: str | None = strawberry.field(default=None, description="Their function.")
    phone: str | None = strawberry.field(default=None, description="Their phone number.")
    email: str | None = strawberry.field(default=None, description="Their e-mail address.")


@strawberry.input(description="A new customer.")
class CreateCustomerInput:
    """Input."""

    kind: KindEnum = strawberry.field(description="Person or organisation.")
    name: str = strawberry.field(description="Full name.")
    channels: list[ChannelInput] = strawberry.field(description="Ways to reach them, at least one.")
    relation: RelationEnum = strawberry.field(
        default=CustomerRelation.PROSPECT, description="Prospect, customer or partner."
    )
    owner: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the account manager; left out, an account manager takes it themselves."
    )
    identity_numbers: list[IdentityNumberInput] | None = strawberry.field(default=None, description="Official numbers.")
    date_of_birth: str | None = strawberry.field(default=None, description="YYYY-MM-DD.")
    addresses: list[AddressInput] | None = strawberry.field(default=None, description="Postal addresses.")
    bank_accounts: list[BankAccountInput] | None = strawberry.field(default=None, description="Bank accounts.")
    contacts: list[ContactInput] | None = strawberry.field(default=None, description="People at the customer's.")
    tags: list[str] | None = strawberry.field(default=None, description="Free labels.")
    attributes: list[AttributeInput] | None = strawberry.field(default=None, description="The template's fields.")
    template: str | None = strawberry.field(default=None, description="Key of the template; `standard` by default.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Changes to a customer: what is left out stays, null clears.")
class UpdateCustomerInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The customer.")
    version: int = strawberry.field(description="The version that was read.")
    kind: KindEnum | None = strawberry.field(default=strawberry.UNSET, description="Person or organisation.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Full name.")
    relation: RelationEnum | None = strawberry.field(
        default=strawberry.UNSET, description="Prospect, customer, partner."
    )
    channels: list[ChannelInput] | None = strawberry.field(default=strawberry.UNSET, description="All channels.")
    identity_numbers: list[IdentityNumberInput] | None = strawberry.field(
        default=strawberry.UNSET, description="All official numbers."
    )
    date_of_birth: str | None = strawberry.field(default=strawberry.UNSET, description="YYYY-MM-DD.")
    addresses: list[AddressInput] | None = strawberry.field(default=strawberry.UNSET, description="All addresses.")
    bank_accounts: list[BankAccountInput] | None = strawberry.field(
        default=strawberry.UNSET, description="All bank accounts."
    )
    contacts: list[ContactInput] | None = strawberry.field(default=strawberry.UNSET, description="All contacts.")
    tags: list[str] | None = strawberry.field(default=strawberry.UNSET, description="All tags.")
    attributes: list[AttributeInput] | None = strawberry.field(
        default=strawberry.UNSET, description="Template fields to change; the others stay."
    )
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Hands a customer to another account manager.")
class AssignCustomerInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The customer.")
    version: int = strawberry.field(description="The version that was read.")
    owner: strawberry.ID = strawberry.field(description="Id of the new owner.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.type(description="Outcome of a change to a customer.")
class CustomerPayload:
    """Payload."""

    customer: Customer | None = strawberry.field(
        description="The customer after the change; null also when it is out of this actor's sight now."
    )
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


async def customer(root: Any, info: strawberry.Info, id: RecordId) -> Customer | None:
    """One customer, or null."""
    context = context_of(info)
    caller = context.signed_in
    return await context.parts.customers.get(caller, require_id(id, "cus"))


async def customers(
    root: Any,
    info: strawberry.Info,
    query: Annotated[str | None, argument(description="Part of a name; blank is none.")] = None,
    filter: Annotated[CustomerFilter | None, argument(description="Which customers.")] = None,
    order_by: Annotated[
        CustomerOrder | None, argument(description="Newest first when left out; not together with `query`.")
    ] = None,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> CustomerConnection:
    """Customers within reach: all, those that match, or by part of their name (`query`, best first)."""
    context = context_of(info)
    caller, size = context.signed_in, page_size(first)
    asked = plain(conditions(filter))
    where = {name: value["eq"] if name in QUESTIONS.blind else value for name, value in asked.items()}
    order = order_by or CustomerOrder.CREATED_AT_DESC
    question = ["customers", query, where, order.value]
    position = context.parts.cursors.read(caller, question, after)
    parts = context.parts
    if query:
        if order_by is not None:
            raise Refused(Code.VALIDATION, "orderBy", reason=_BESIDE_QUERY)
        found, total, more = await parts.search.customers(
            caller, query=query, terms=_terms(where), after=After(*position) if position else None, first=size
        )
        return connection(
            context, question, found, first=size, after=after, more=more, total=total,
            node=lambda hit: hit[0], position=lambda hit: [hit[1].value, hit[1].id],
        )  # fmt: skip
    descending, sort = order.value.startswith("-"), order.value.lstrip("-")
    views = await parts.customers.listed(
        caller,
        where=where,
        sort=sort,
        descending=descending,
        after=tuple(position) if position else None,
        limit=size + 1,
    )
    return connection(
        context, question, views, first=size, after=after,
        position=lambda view: [view.document[sort], view.id],
        total=lambda: parts.customers.count(caller, where),
    )  # fmt: skip


_BESIDE_QUERY = {"en": "can't be asked for together with `query`", "zh-CN": "不能与 query 一起使用"}
_INDEXED = {
    "kind": "customer_kind",
    "relation": "relation",
    "owner": "owner",
    "department": "department",
    "tag": "tags",
}


def _terms(where: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Open conditions beside a name; numbers are found without one."""
    for name in where:
        if name not in _INDEXED:
            raise Refused(Code.VALIDATION, to_camel_case(name), reason=_BESIDE_QUERY)
    return {_INDEXED[name]: (value,) for name, value in where.items()}


async def create_customer(root: Any, info: strawberry.Info, input: CreateCustomerInput) -> CustomerPayload:
    """Opens a customer's file."""
    parts = context_of(info).parts
    return await payload(info, "customer", input, parts.customers.create, parts.customers.at_version)


async def update_customer(root: Any, info: strawberry.Info, input: UpdateCustomerInput) -> CustomerPayload:
    """Changes a customer's file; a stale `version` is CONFLICT and nothing is written."""
    parts = context_of(info).parts

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        record = require_id(values["id"], "cus")
        return await parts.customers.update(caller, record, values["version"], present(values, "id", "version"))

    return await payload(info, "customer", input, work, parts.customers.at_version)


async def assign_customer(root: Any, info: strawberry.Info, input: AssignCustomerInput) -> CustomerPayload:
    """Hands a customer's file, and the ownership of its cases, to another account manager."""
    parts = context_of(info).parts

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        return await parts.customers.assign(caller, require_id(values["id"], "cus"), values["version"], values["owner"])

    return await payload(info, "customer", input, work, parts.customers.at_version)
