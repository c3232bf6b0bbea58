"""Users, departments, sessions."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import argument

from schema.binding import relation
from schema.connections import PageAfter, PageFirst, conditions, connection, page_size
from schema.context import Context, context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload, present, shown
from schema.node import Node, connection_types, require_id
from schema.records import enum_type, record_type
from service.access.policy import Role
from service.errors import Code, Invalid, Problem
from service.identity.model import Department as DepartmentModel
from service.identity.model import User as UserModel
from service.identity.model import UserState
from service.identity.rules import may_see_account

RoleType, UserStateEnum = enum_type(Role), enum_type(UserState)


@strawberry.type(description="A text in both languages.")
class LocalisedText:
    """zh-CN and en."""

    zh: str = strawberry.field(description="In Chinese (zh-CN).")
    en: str = strawberry.field(description="In English.")


@record_type(DepartmentModel, leave_out=("name",), interfaces=(Node,))
class Department:
    """A department."""

    @strawberry.field(description="Its name.")
    def name(root: Any, info: strawberry.Info) -> LocalisedText:
        return {"zh": root.name["zh-CN"], "en": root.name["en"]}


def _may_see_account(context: Context, user: UserModel) -> bool:
    return may_see_account(context.signed_in, user.id, user.department)


@record_type(
    UserModel, leave_out=("department",), interfaces=(Node,),
    guarded=({field.name for field in dataclasses.fields(UserModel)} - {"id", "name", "department"}, _may_see_account),
)  # fmt: skip
class User:
    """Somebody who works here."""

    department: Department | None = relation("departments", lambda user: user.department, "The user's department.")


UserConnection = connection_types(User, "User")


@strawberry.type(description="What a sign-in gives.")
class Session:
    """Tokens and whose they are."""

    access_token: str = strawberry.field(description="Send it as `Authorization: Bearer …`; lives ten minutes.")
    access_expires_at: datetime = strawberry.field(description="When the access token ends.")
    refresh_token: str = strawberry.field(description="Works once, for `refreshSession`.")
    user: User = strawberry.field(description="Who signed in.")


@strawberry.type(description="Outcome of a sign-in or refresh.")
class SessionPayload:
    """Payload."""

    session: Session | None = strawberry.field(description="The session, if it began.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


@strawberry.type(description="Outcome of a step that has no object.")
class DonePayload:
    """Payload."""

    done: bool | None = strawberry.field(description="Whether it was done.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


@strawberry.type(description="Outcome of a change to a user.")
class UserPayload:
    """Payload."""

    user: User | None = strawberry.field(description="The user after the change.")
    initial_password: str | None = strawberry.field(description="The generated password of a new user; told once.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


@strawberry.input(description="E-mail and password.")
class SignInInput:
    """Input."""

    email: str = strawberry.field(description="E-mail address.")
    password: str = strawberry.field(description="Password.")


@strawberry.input(description="A refresh token.")
class RefreshSessionInput:
    """Input."""

    refresh_token: str = strawberry.field(description="The newest refresh token of the session.")


@strawberry.input(description="The code that a sign-in from outside ended with.")
class RedeemSignInInput:
    """Input."""

    code: str = strawberry.field(description="`sc_` and 43 letters; good once and for a minute.")


@strawberry.input(description="Which sessions to end.")
class SignOutInput:
    """Input."""

    everywhere: bool = strawberry.field(
        default=False, description="Whether all of one's sessions end, on every device, and not this one alone."
    )


@strawberry.input(description="A new password.")
class ChangePasswordInput:
    """Input."""

    current_password: str = strawberry.field(description="The password in use.")
    new_password: str = strawberry.field(description="The new one: 12 characters at least.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="A new user.")
class CreateUserInput:
    """Input."""

    email: str = strawberry.field(description="E-mail address.")
    name: str = strawberry.field(description="Full name.")
    roles: list[RoleType] = strawberry.field(description="Roles, at least one.")
    department: strawberry.ID | None = strawberry.field(default=None, description="Id of the department.")
    locale: str | None = strawberry.field(default=None, description="`zh-CN` (default) or `en`.")
    password: str | None = strawberry.field(default=None, description="First password; left out, one is generated.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Changes to a user; what is left out stays.")
class UpdateUserInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The user.")
    version: int = strawberry.field(description="The version that was read.")
    email: str | None = strawberry.field(default=strawberry.UNSET, description="E-mail address.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Full name.")
    roles: list[RoleType] | None = strawberry.field(default=strawberry.UNSET, description="Roles.")
    department: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Id of the department.")
    locale: str | None = strawberry.field(default=strawberry.UNSET, description="`zh-CN` or `en`.")
    state: UserStateEnum | None = strawberry.field(
        default=strawberry.UNSET, description="ACTIVE lets a disabled user sign in again; DISABLED ends their sessions."
    )
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.input(description="Disables a user: their sessions end at once.")
class DisableUserInput:
    """Input."""

    id: strawberry.ID = strawberry.field(description="The user.")
    version: int = strawberry.field(description="The version that was read.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


async def viewer(root: Any, info: strawberry.Info) -> User | None:
    """Who is signed in."""
    context = context_of(info)
    return await context.parts.identity.user(context.signed_in.actor.id)


async def users(
    root: Any,
    info: strawberry.Info,
    query: Annotated[str | None, argument(description="Part of a name or e-mail address; blank is none.")] = None,
    department: Annotated[strawberry.ID | None, argument(description="Of this department.")] = None,
    role: Annotated[RoleType | None, argument(description="With this role.")] = None,
    first: PageFirst = 20,
    after: PageAfter = None,
) -> UserConnection:
    """Active users, to choose an owner from."""
    context = context_of(info)
    conditions({"department": department})
    size, question = page_size(first), ["users", query, department, role.value if role else None]
    last = context.parts.cursors.read(context.signed_in, question, after)
    identity, asked = context.parts.identity, {"query": query, "department": department, "role": role}
    found = await identity.users(context.signed_in, **asked, first=size + 1, after_id=last)
    return connection(
        context, question, found, first=size, after=after, position=lambda user: user.id,
        total=lambda: identity.count_users(context.signed_in, **asked),
    )  # fmt: skip


async def departments(root: Any, info: strawberry.Info) -> list[Department]:
    """All departments."""
    context = context_of(info)
    assert context.signed_in  # noqa: S101 - raises NotSignedIn
    return await context.parts.identity.departments()


async def sign_in(root: Any, info: strawberry.Info, input: SignInInput) -> SessionPayload:
    """Begins a session."""
    return await _session(info, "sign_in", input["email"], input["password"])


async def refresh_session(root: Any, info: strawberry.Info, input: RefreshSessionInput) -> SessionPayload:
    """New tokens for an old refresh token; each works once."""
    return await _session(info, "refresh", input["refresh_token"])


async def _session(info: strawberry.Info, step: str, *secrets: str) -> Any:
    return await _begun(context_of(info), getattr(context_of(info).parts.identity, step), *secrets)


async def redeem_sign_in(root: Any, info: strawberry.Info, input: RedeemSignInInput) -> SessionPayload:
    """Begins the session of a sign-in from outside (`GET /oidc/start`)."""
    context = context_of(info)
    outside = context.parts.outside_sign_in
    if outside is None:
        return {"session": None, "user_errors": shown((Problem(Code.SIGN_IN_REFUSED),), context.locale)}
    return await _begun(context, outside.redeem, input["code"])


async def _begun(context: Context, begin: Any, *secrets: str) -> Any:
    try:
        tokens = await begin(*secrets, source=context.source, request_id=context.request_id)
    except Invalid as invalid:
        return {"session": None, "user_errors": shown(invalid.problems, context.locale)}
    context.caller = context.caller or await context.parts.identity.caller(
        tokens.access_token, request_id=context.request_id, source=context.source, locale=context.language
    )
    return {"session": tokens, "user_errors": []}


async def sign_out(root: Any, info: strawberry.Info, input: SignOutInput | None = None) -> DonePayload:
    """Ends the session, or all of one's sessions: their tokens are dead at the next query."""
    identity = context_of(info).parts.identity

    async def work(caller: Any, values: dict[str, Any]) -> bool:
        await identity.sign_out(caller, everywhere=values.get("everywhere", False))
        return True

    return await payload(info, "done", input or {}, work)


async def change_password(root: Any, info: strawberry.Info, input: ChangePasswordInput) -> DonePayload:
    """Changes one's own password and ends one's other sessions."""

    async def work(caller: Any, values: dict[str, Any]) -> bool:
        await context_of(info).parts.identity.change_password(
            caller, values["current_password"], values["new_password"]
        )
        return True

    async def again(_: Any, __: str, ___: int | None) -> bool:
        return True  # it was changed by the first call

    return await payload(info, "done", input, work, again)


async def create_user(root: Any, info: strawberry.Info, input: CreateUserInput) -> UserPayload:
    """Makes an account (ADMIN)."""
    identity = context_of(info).parts.identity
    told: dict[str, Any] = {}

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        made = await identity.create_user(caller, {k: v for k, v in values.items() if v is not None})
        told["initial_password"] = made.initial_password
        return made.user

    made = await payload(info, "user", input, work, lambda _, user, __: identity.user(user))
    return {"initial_password": None, **made, **told}


async def update_user(root: Any, info: strawberry.Info, input: UpdateUserInput) -> UserPayload:
    """Changes an account (ADMIN); rights change at the next query."""
    identity = context_of(info).parts.identity

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        user = require_id(values["id"], "usr")
        return await identity.update_user(caller, user, values["version"], present(values, "id", "version"))

    made = await payload(info, "user", input, work, lambda _, user, __: identity.user(user))
    return {"initial_password": None, **made}


async def disable_user(root: Any, info: strawberry.Info, input: DisableUserInput) -> UserPayload:
    """Disables an account (ADMIN)."""
    identity = context_of(info).parts.identity

    async def work(caller: Any, values: dict[str, Any]) -> Any:
        return await identity.disable_user(caller, require_id(values["id"], "usr"), values["version"])

    made = await payload(info, "user", input, work, lambda _, user, __: identity.user(user))
    return {"initial_password": None, **made}
