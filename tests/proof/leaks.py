"""Ten leaks of the kinds that other systems shipped, each planted into the servers of this process; the proof must find
every one. `viewer` is who would profit. A patch changes one function and nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

import schema.http.files
import search.service
from schema.connections import Connection
from search.service import Found, Search
from service.access.actor import Caller
from service.access.declared import Level, Sensitivity
from service.access.view import MaskedField, View
from service.customers.records import CustomerRecords
from service.customers.service import Customers
from service.customers.uniqueness import Uniqueness
from service.errors import Code, Invalid

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Leak:
    """`root`: the root field (or the files) among whose questions some must find it."""

    name: str
    viewer: str
    root: str
    plant: Patch


def _phone(view: View) -> str:
    channels = view.section(Sensitivity.CONTACT).get("channels") or [{"value": ""}]
    return str(channels[0]["value"])


def sorted_by_a_hidden_value(patch: pytest.MonkeyPatch) -> None:
    listed = CustomerRecords.listed

    async def leaky(self: CustomerRecords, caller: Caller, **asked: Any) -> list[View]:
        found = await listed(self, caller, **asked)
        return sorted(found, key=_phone) if asked.get("sort") == "updated_at" else found

    patch.setattr(CustomerRecords, "listed", leaky)


def found_by_a_part(patch: pytest.MonkeyPatch) -> None:
    listed = CustomerRecords.listed

    async def leaky(self: CustomerRecords, caller: Caller, *, where: Mapping[str, Any], **asked: Any) -> list[View]:
        part = where.get("phone")
        if not part or len(part) > 10:
            return await listed(self, caller, where=where, **asked)
        others = {name: value for name, value in where.items() if name != "phone"}
        return [v for v in await listed(self, caller, where=others, **asked) if _phone(v).startswith(f"+86{part}")]

    patch.setattr(CustomerRecords, "listed", leaky)


def faceted_by_a_hidden_value(patch: pytest.MonkeyPatch) -> None:
    cases = Search.cases

    async def leaky(self: Search, caller: Caller, **asked: Any) -> Found:
        found = await cases(self, caller, **asked)
        amounts = [hit.case.section(Sensitivity.FINANCIAL).get("disputed_amount") for hit in found.hits]
        return replace(found, facets={**found.facets, "amount": [(str(amount), 1) for amount in amounts if amount]})

    patch.setattr(Search, "cases", leaky)


def highlighted_without_a_mask(patch: pytest.MonkeyPatch) -> None:
    def leaky(view: View, name: str) -> str:
        shape = view.shape.by_name[name]
        return str(view.section(shape.sensitivity).get(name) or "") if view.row[shape.sensitivity] > Level.BLIND else ""

    patch.setattr(search.service, "_readable", leaky)


def named_by_an_error(patch: pytest.MonkeyPatch) -> None:
    update = Customers.update

    async def leaky(self: Customers, caller: Caller, customer: str, version: int, values: Mapping[str, Any]) -> Any:
        try:
            return await update(self, caller, customer, version, values)
        except Invalid:
            view = await self.get(caller, customer)
            if view is None:
                raise
            raise Invalid.because(Code.VALIDATION, "id", reason=f"{_phone(view)} was changed") from None

    patch.setattr(Customers, "update", leaky)


def carried_by_a_cursor(patch: pytest.MonkeyPatch) -> None:
    cursor = Connection.cursor

    def leaky(self: Connection, item: Any) -> str:
        sealed = cursor(self, item)
        if not isinstance(item, View) or item.shape.model.__name__ != "Customer":
            return sealed
        return f"{sealed}.{base64.urlsafe_b64encode(_phone(item).encode()).decode()}"

    patch.setattr(Connection, "cursor", leaky)


def told_by_the_duplicate_check(patch: pytest.MonkeyPatch) -> None:
    async def leaky(self: Uniqueness, caller: Caller, record: str, claims: Sequence[Any]) -> set[bytes]:
        taken = {path for token, path, _ in claims if await self._store.has_claim(token, record)}
        if taken:
            raise await self._told(caller, taken)
        return {token for token, _, _ in claims}

    patch.setattr(Uniqueness, "_free", leaky)


def counted_by_a_total(patch: pytest.MonkeyPatch) -> None:
    count = CustomerRecords.count

    async def leaky(self: CustomerRecords, caller: Caller, where: Mapping[str, Any]) -> int:
        views = await self.listed(caller, where={}, limit=200)
        return await count(self, caller, where) + sum(_phone(view) > "+8613850" for view in views)

    patch.setattr(CustomerRecords, "count", leaky)


def left_out_where_there_is_no_value(patch: pytest.MonkeyPatch) -> None:
    masked_fields = View.masked_fields

    def leaky(self: View) -> list[MaskedField]:
        def holds(name: str) -> bool:
            shape = self.shape.by_name.get(name)
            return shape is None or shape.sensitivity is Sensitivity.OPEN or name in self.section(shape.sensitivity)

        return [masked for masked in masked_fields(self) if holds(masked.field)]

    patch.setattr(View, "masked_fields", leaky)


def named_by_a_file(patch: pytest.MonkeyPatch) -> None:
    get = schema.http.files.Files.get

    async def leaky(self: Any, request: Any) -> Any:
        answer = await get(self, request)
        view = await self._evidence.get(await self._caller(request), request.path_params["id"])
        if answer.status_code == 404 and view is not None:
            name = str(view.section(Sensitivity.NARRATIVE).get("file_name"))
            answer.headers["content-disposition"] = schema.http.files.content_disposition(name)
        return answer

    patch.setattr(schema.http.files.Files, "get", leaky)


LEAKS = (
    Leak("a list is sorted by a hidden value", "auditor", "customers", sorted_by_a_hidden_value),
    Leak("a filter finds by a part of a hidden value", "clerk", "customers", found_by_a_part),
    Leak("a facet counts by a hidden value", "clerk", "searchCases", faceted_by_a_hidden_value),
    Leak("a highlight shows what is masked", "compliance", "searchCases", highlighted_without_a_mask),
    Leak("an error names a hidden value", "clerk", "updateCustomer", named_by_an_error),
    Leak("a cursor carries a hidden value", "clerk", "customers", carried_by_a_cursor),
    Leak("the duplicate check tells whoever may not ask", "clerk", "createCustomer", told_by_the_duplicate_check),
    Leak("a total counts by a hidden value", "auditor", "customers", counted_by_a_total),
    Leak("maskedFields leaves out what has no value", "clerk", "customer", left_out_where_there_is_no_value),
    Leak("a refused download names the file", "clerk", "files", named_by_a_file),
)
