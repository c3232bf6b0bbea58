"""Cases: the type, its history, queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import argument

from schema.binding import batched, relation
from schema.connections import Connection, PageAfter, PageFirst, conditions, connection, page_size
from schema.context import Context, context_of
from schema.customers import Customer, MaskedField, masked_fields_field
from schema.node import Node, RecordId, connection_types, require_id
from schema.people import Department, User
from schema.records import enum_type, record_type
from schema.templates import Attribute, attributes_of
from service.cases.model import Case as CaseModel
from service.cases.model import CaseAction, CaseState
from service.cases.model import CaseEvent as CaseEventModel
from service.cases.model import NodeStamp as NodeStampModel
from service.cases.rules import allowed_actions

if TYPE_CHECKING:
    from schema.evidence import EvidenceConnection

CaseStateEnum, CaseActionEnum = enum_type(CaseState), enum_type(CaseAction)


@record_type(NodeStampModel, leave_out=("done_by",))
class NodeStamp:
    """One station."""

    done_by: User | None = relation("users", lambda stamp: stamp.get("done_by"), "Who passed it.")


@record_type(CaseEventModel, interfaces=(Node,))
class CaseEvent:
    """One step of a case's history."""

    by: User | None = relation("users", lambda event: event.document["by"], "Who recorded it; null for the system.")
    masked_fields: list[MaskedField] = masked_fields_field()


CaseEventConnection = connection_types(CaseEvent, "CaseEvent")


@record_type(CaseModel, leave_out=("customer", "owner", "assignee", "department"), interfaces=(Node,))
class Case:
    """A case."""

    customer: Customer | None = relation(
        "customers",
        lambda view: view.document["customer"],
        "Whose objection it is; null when the customer is out of reach.",
    )
    owner: User | None = relation("users", lambda view: view.document["owner"], "The account manager of its customer.")
    assignee: User | None = relation("users", lambda view: view.document["assignee"], "The agent who handles it.")
    department: Department | None = relation(
        "departments", lambda view: view.document["department"], "The department that handles it."
    )

    @strawberry.field(description="The template's fields.")
    def attributes(root: Any, info: strawberry.Info) -> list[Attribute]:
        return attributes_of(root, context_of(info).locale)

    masked_fields: list[MaskedField] = masked_fields_field()

    @strawberry.field(description="What this actor may do with it now.")
    def allowed_actions(root: Any, info: strawberry.Info) -> list[CaseActionEnum]:
        return allowed_actions(root.document, root.caller, root.relations)

    @strawberry.field(description="Its history in the layers that this actor may see, oldest first (R31, R36).")
    @batched
    async def events(
        root: list[Any],
        info: strawberry.Info,
        first: PageFirst = 20,
        after: PageAfter = None,
        newest_first: Annotated[bool, argument(description="Whether the newest comes first.")] = False,
    ) -> CaseEventConnection:
        context, size = context_of(info), page_size(first)
        caller, history = context.signed_in, context.parts.cases.history
        if after is None:
            pages = await history.first_of(caller, root, descending=newest_first, limit=size + 1)
        else:
            pages = {
                case.id: await history.listed(
                    caller,
                    case,
                    after=context.parts.cursors.read(caller, ["events", case.id, newest_first], after),
                    descending=newest_first,
                    limit=size + 1,
                )
                for case in root
            }
        return [
            connection(
                context,
                ["events", case.id, newest_first],
                pages[case.id],
                first=size,
                after=after,
                position=lambda event: event.document["sequence"],
                total=partial(history.count, case),
            )
            for case in root
        ]

    @strawberry.field(description="Its scans and files, newest first; withdrawn ones are hidden.")
    @batched
    async def evidence(
        root: list[Any], info: strawberry.Info, first: PageFirst = 20, after: PageAfter = None
    ) -> Annotated["EvidenceConnection", strawberry.lazy("schema.evidence")]:  # noqa: UP037
        from schema.evidence import evidence_pages  # noqa: PLC0415 - evidence stands above cases

        return await evidence_pages(context_of(info), root, "case", first=first, after=after)


CaseConnection = connection_types(Case, "Case")


@strawberry.input(description="Which cases; conditions are joined by and.")
class CaseFilter:
    """Open fields only."""

    states: list[CaseStateEnum] | None = strawberry.field(default=None, description="In one of these states.")
    category: str | None = strawberry.field(default=None, description="Of this category.")
    department: strawberry.ID | None = strawberry.field(default=None, description="Of this department.")
    assignee: strawberry.ID | None = strawberry.field(default=None, description="Handled by this agent.")
    owner: strawberry.ID | None = strawberry.field(default=None, description="Of this account manager's customers.")
    customer: strawberry.ID | None = strawberry.field(default=None, description="Of this customer.")
    number: str | None = strawberry.field(default=None, description="With this number.")
    raised_from: datetime | None = strawberry.field(default=None, description="Raised then or later.")
    raised_to: datetime | None = strawberry.field(default=None, description="Raised before then.")


@enum_type
class CaseOrder(Enum):
    """Orders of cases, by open fields only."""

    RAISED_AT_DESC = "-_id"
    RAISED_AT_ASC = "_id"
    UPDATED_AT_DESC = "-updated_at"
    UPDATED_AT_ASC = "updated_at"


def where_of(filter: Any) -> dict[str, Any]:
    """A filter input as the service's conditions."""
    where = conditions(filter)
    if "states" in where:
        where["state"] = [state.value for state in where.pop("states")]
    return where


def _cases_connection(
    context: Context, where: dict[str, Any], order: CaseOrder, views: Sequence[Any], first: int, after: str | None
) -> Connection:
    sort = order.value.lstrip("-")
    return connection(
        context, ["cases", where, order.value], views, first=first, after=after,
        position=lambda view: [view.document[sort], view.id],
        total=lambda: context.parts.cases.count(context.signed_in, where),
    )  # fmt: skip


async def cases_page(
    context: Context,
    where: dict[str, Any],
    *,
    first: int,
    after: str | None,
    order: CaseOrder = CaseOrder.RAISED_AT_DESC,
) -> Connection:
    """A page of cases within reach."""
    caller, size = context.signed_in, page_size(first)
    position = context.parts.cursors.read(caller, ["cases", where, order.value], after)
    views = await context.parts.cases.listed(
        caller,
        where=where,
        sort=order.value.lstrip("-"),
        descending=order.value.startswith("-"),
        after=tuple(position) if position else None,
        limit=size + 1,
    )
    return _cases_connection(context, where, order, views, size, after)


async def cases_of(context: Context, customers: list[str], *, first: int, after: str | None) -> list[Connection]:
    """A page of the cases of each of some customers; the first pages are read together."""
    if after is not None:
        return [await cases_page(context, {"customer": one}, first=first, after=after) for one in customers]
    size = page_size(first)
    pages = await context.parts.cases.first_of_customers(context.signed_in, customers, size + 1)
    order = CaseOrder.RAISED_AT_DESC
    return [_cases_connection(context, {"customer": one}, order, pages.get(one, []), size, after) for one in customers]


async def case(root: Any, info: strawberry.Info, id: RecordId) -> Case | None:
    """One case, or null."""
    context = context_of(info)
    caller = context.signed_in
    return await context.parts.cases.get(caller, require_id(id, "cas"))


async def cases(
    root: Any,
    info: strawberry.Info,
    filter: Annotated[CaseFilter | None, argument(description="Which cases.")] = None,
    order_by: Annotated[CaseOrder, argument(description="In which order.")] = CaseOrder.RAISED_AT_DESC,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> CaseConnection:
    """Cases within reach."""
    return await cases_page(context_of(info), where_of(filter), first=first, after=after, order=order_by)
