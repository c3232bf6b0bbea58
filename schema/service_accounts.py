"""Service accounts and their keys (ADMIN)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from schema.binding import relation
from schema.connections import PageAfter, PageFirst, connection, page_size
from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload
from schema.node import connection_types, require_id
from schema.people import Department, RoleType
from schema.records import record_type
from service.identity.model import ServiceAccount as ServiceAccountModel


@record_type(ServiceAccountModel, leave_out=("department",))
class ServiceAccount:
    """A program that uses the API."""

    department: Department | None = relation(
        "departments", lambda account: account.department, "The department that its roles reach."
    )


ServiceAccountConnection = connection_types(ServiceAccount, "ServiceAccount", counted=False)


@strawberry.type(description="Outcome of a change to a service account.")
class ServiceAccountPayload:
    """Payload."""

    service_account: ServiceAccount | None = strawberry.field(description="The account after the change.")
    key: str | None = strawberry.field(description="A new key, told once: send it as `Authorization: Bearer ak_…`.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


_EXPIRES = strawberry.field(default=None, description="When the key ends, within a year; in 90 days if left out.")


@strawberry.input(description="A new service account, with its first key.")
class CreateServiceAccountInput:
    """Input."""

    name: str = strawberry.field(description="What it is for.")
    roles: list[RoleType] = strawberry.field(
        description="SUPERVISOR, CLERK, COMPLIANCE or AUDITOR: what it may read as."
    )
    department: strawberry.ID | None = strawberry.field(default=None, description="Id of the department.")
    steps: list[str] | None = strawberry.field(
        default=None,
        description="Steps of the policy that it may take, such as `customer.create`; none: it only reads.",
    )
    expires_at: datetime | None = _EXPIRES
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="One more key for a service account.")
class CreateServiceKeyInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The service account.")
    expires_at: datetime | None = _EXPIRES
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="A key that is to end at once.")
class RevokeServiceKeyInput:
    """Input."""

    key: strawberry.ID = strawberry.field(description="The key's id.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


async def service_accounts(
    root: Any, info: strawberry.Info, first: PageFirst = 20, after: PageAfter = None
) -> ServiceAccountConnection:
    """Service accounts with their keys (ADMIN)."""
    context = context_of(info)
    size, question = page_size(first), ["service_accounts"]
    last = context.parts.cursors.read(context.signed_in, question, after)
    found = await context.parts.service_accounts.accounts(context.signed_in, first=size + 1, after_id=last)
    return connection(context, question, found, first=size, after=after, position=lambda account: account.id)


async def create_service_account(
    root: Any, info: strawberry.Info, input: CreateServiceAccountInput
) -> ServiceAccountPayload:
    """Makes an account for a program (ADMIN)."""
    accounts = context_of(info).parts.service_accounts

    async def make(caller: Any, values: dict[str, Any]) -> Any:
        return await accounts.create(caller, values)

    return await _told_once(info, input, make)


async def create_service_key(root: Any, info: strawberry.Info, input: CreateServiceKeyInput) -> ServiceAccountPayload:
    """One more key (ADMIN): make the new one, bring it to the program, revoke the old one."""
    accounts = context_of(info).parts.service_accounts

    async def make(caller: Any, values: dict[str, Any]) -> Any:
        return await accounts.create_key(caller, require_id(values["id"], "svc"), values.get("expires_at"))

    return await _told_once(info, input, make)


async def revoke_service_key(root: Any, info: strawberry.Info, input: RevokeServiceKeyInput) -> ServiceAccountPayload:
    """Ends a key (ADMIN): it is dead at the next query."""
    accounts = context_of(info).parts.service_accounts

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        return await accounts.revoke_key(caller, require_id(values["key"], "key", "key"))

    return {"key": None, **await payload(info, "service_account", input, work, _again(accounts))}


async def _told_once(info: strawberry.Info, input: Any, make: Any) -> Any:
    told: dict[str, Any] = {"key": None}

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        made = await make(caller, values)
        told["key"] = made.key
        return made.account

    accounts = context_of(info).parts.service_accounts
    return {**await payload(info, "service_account", input, work, _again(accounts)), **told}


def _again(accounts: Any) -> Any:
    return lambda caller, account, _: accounts.one(caller, account)
