"""Evidence: files of cases and customers."""

from __future__ import annotations

from functools import partial
from typing import Any

import strawberry

from schema.binding import batched, relation
from schema.cases import Case
from schema.connections import Connection, connection, page_size
from schema.context import Context, context_of
from schema.customers import Customer, MaskedField, masked_fields, masked_fields_field
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload
from schema.node import Node, RecordId, connection_types, require_id
from schema.records import enum_type, record_type
from service.access.declared import Level
from service.access.view import View
from service.evidence.model import PAGE_SHAPE, EvidenceAction, EvidenceKind
from service.evidence.model import Evidence as EvidenceModel
from service.evidence.model import EvidencePage as EvidencePageModel
from service.evidence.service import page_texts

EvidenceKindEnum, EvidenceActionEnum = enum_type(EvidenceKind), enum_type(EvidenceAction)
_TEXT = PAGE_SHAPE.by_name["text"]


@record_type(EvidencePageModel)
class EvidencePage:
    """One page's text."""

    masked_fields: list[MaskedField] = masked_fields_field()


def _masked_fields(root: Any, info: strawberry.Info) -> list[MaskedField]:
    """The file's own, and its text, which stands in its pages."""
    level = root.row[_TEXT.sensitivity]
    found: list[Any] = masked_fields(root, info)
    if level is not Level.FULL:
        found += [{"field": name, "visibility": level, "kind": _TEXT.kind} for name in ("text", "pages")]
    return found


@record_type(EvidenceModel, interfaces=(Node,))
class Evidence:
    """A file."""

    case: Case | None = relation("cases", lambda view: view.document["case"], "The case it belongs to.")
    customer: Customer | None = relation(
        "customers", lambda view: view.document["customer"], "The customer it belongs to."
    )
    masked_fields: list[MaskedField] = masked_fields_field(_masked_fields)

    @strawberry.field(description="What this actor may do with it now.")
    async def allowed_actions(root: Any, info: strawberry.Info) -> list[EvidenceActionEnum]:
        context, case = context_of(info), root.document["case"]
        found = await context.loaders.one("cases", case) if case else None
        return context.parts.evidence.allowed_actions(root, found)

    @strawberry.field(
        description="Where to PUT the bytes with the same bearer token, while they are awaited from this actor."
    )
    def upload_url(root: Any, info: strawberry.Info) -> str | None:
        return context_of(info).parts.evidence.upload_url(root)

    @strawberry.field(description="Where to GET the bytes with a bearer token, if this actor may.")
    def download_url(root: Any, info: strawberry.Info) -> str | None:
        return context_of(info).parts.evidence.download_url(root)

    @strawberry.field(description="The text that was read, pages parted by form feeds.")
    @batched
    async def text(root: list[Any], info: strawberry.Info) -> str | None:
        context = context_of(info)
        pages = await context.parts.evidence.pages(context.signed_in, root)
        return [page_texts(pages[view.id]) for view in root]

    @strawberry.field(description="The text page by page, with the places of its lines.")
    @batched
    async def pages(root: list[Any], info: strawberry.Info) -> list[EvidencePage]:
        context = context_of(info)
        pages = await context.parts.evidence.pages(context.signed_in, root)
        return [pages[view.id] for view in root]


EvidenceConnection = connection_types(Evidence, "Evidence")


async def evidence_pages(
    context: Context, parents: list[View], kind: str, *, first: int, after: str | None
) -> list[Connection]:
    """A page of the files of each of some cases or customers, newest first; first pages are read together."""
    size, caller, room = page_size(first), context.signed_in, context.parts.evidence
    if after is None:
        pages = await room.first_of(caller, kind, parents, size + 1)
    else:
        listed = room.of_case if kind == "case" else room.of_customer
        pages = {
            parent.id: await listed(
                caller, parent, context.parts.cursors.read(caller, ["evidence", parent.id], after), size + 1
            )
            for parent in parents
        }
    return [
        connection(
            context, ["evidence", parent.id], pages[parent.id], first=size, after=after,
            position=lambda view: view.id, total=partial(room.count_of, kind, parent),
        )
        for parent in parents
    ]  # fmt: skip


@strawberry.input(description="Where the paper original lies (R50).")
class PaperLocationInput:
    """Input."""

    room: str | None = strawberry.field(default=None, description="The room.")
    cabinet: str | None = strawberry.field(default=None, description="The cabinet in the room.")
    box: str | None = strawberry.field(default=None, description="The box in the cabinet.")
    barcode: str | None = strawberry.field(default=None, description="The barcode.")


@strawberry.input(description="A file to be uploaded; exactly one of `case` and `customer`.")
class CreateEvidenceInput:
    """Input."""

    case: strawberry.ID | None = strawberry.field(default=None, description="The case.")
    customer: strawberry.ID | None = strawberry.field(default=None, description="The customer.")
    kind: EvidenceKindEnum = strawberry.field(description="What it is.")
    file_name: str = strawberry.field(description="The file's name.")
    media_type: str = strawberry.field(description="application/pdf, image/jpeg, image/png or image/tiff.")
    size: int = strawberry.field(description="The file's size in bytes.")
    sha256: str | None = strawberry.field(default=None, description="SHA-256 of the file in hexadecimal digits.")
    paper: PaperLocationInput | None = strawberry.field(default=None, description="Where the paper original lies.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Hides the wrong file.")
class WithdrawEvidenceInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The evidence.")
    version: int = strawberry.field(description="The version that was read.")
    reason: str = strawberry.field(description="Why.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.type(description="Outcome of a change to evidence.")
class EvidencePayload:
    """Payload."""

    evidence: Evidence | None = strawberry.field(description="The evidence after the change.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


async def evidence(root: Any, info: strawberry.Info, id: RecordId) -> Evidence | None:
    """One file, or null."""
    context = context_of(info)
    caller = context.signed_in
    return await context.parts.evidence.get(caller, require_id(id, "evd"))


async def create_evidence(root: Any, info: strawberry.Info, input: CreateEvidenceInput) -> EvidencePayload:
    """Registers a file; then PUT its bytes to `uploadUrl`."""
    room = context_of(info).parts.evidence

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        for field, prefix in (("case", "cas"), ("customer", "cus")):
            if values.get(field) is not None:
                require_id(values[field], prefix, field)
        return await room.create(caller, values)

    return await payload(info, "evidence", input, work, room.at_version)


async def withdraw_evidence(root: Any, info: strawberry.Info, input: WithdrawEvidenceInput) -> EvidencePayload:
    """Hides the wrong file, with a reason; its bytes are kept."""
    room = context_of(info).parts.evidence

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        return await room.withdraw(caller, require_id(values["id"], "evd"), values["version"], values["reason"])

    return await payload(info, "evidence", input, work, room.at_version)
