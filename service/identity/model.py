"""Staff accounts and departments. Whoever works here may see who else does and where; the rest of an account is for
whoever may list it (`rules.may_see_account`).

What signs somebody in (password hash, session secrets) is no field of a model, so no surface can show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from service.access.declared import Open, shape_of
from service.access.policy import Role
from service.access.questions import Questions

USERS = "users"
SESSIONS = "sessions"
DEPARTMENTS = "departments"
FAILURES = "sign_in_failures"
KNOWN_SOURCES = "sign_in_sources"
OUTSIDE_SIGN_INS = "outside_sign_ins"
SERVICE_ACCOUNTS = "service_accounts"
REVEALS = "reveals"

USER_PREFIX = "usr"
SESSION_PREFIX = "ses"
DEPARTMENT_PREFIX = "dep"
SERVICE_ACCOUNT_PREFIX = "svc"
KEY_ID_PREFIX = "key"
REVEAL_PREFIX = "rev"
TOKEN_PREFIX = "tok"  # noqa: S105 - an id's prefix

# Stored beside a user, never journalled and never shown.
PRIVATE_FIELDS = frozenset({"password", "signed_in_at", "external"})


class UserState(str, Enum):
    """An account that is disabled (by an administrator) or locked (by the system) keeps its history and can't sign in."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    LOCKED = "LOCKED"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who works here. Beyond id, name and department, fields are null unless one may list the account."""

    id: Annotated[str, Open("The user's id.")]
    email: Annotated[str, Open("E-mail address in lower case; what the user signs in with.")]
    name: Annotated[str, Open("Full name.")]
    roles: Annotated[list[Role], Open("What the user is; never empty.")]
    department: Annotated[str | None, Open("Id of the user's department.")]
    locale: Annotated[str, Open("Language of texts for this user: `zh-CN` or `en`.")]
    state: Annotated[UserState, Open("Whether the user may sign in.")]
    version: Annotated[int, Open("Raised by every change; give it back with the next one.")]
    created_at: Annotated[datetime, Open("When the account was made (UTC).")]
    updated_at: Annotated[datetime, Open("When the account was last changed (UTC).")]


USER_QUESTIONS = Questions(shape_of(User), also={"role": "roles"}, words={"query": ("name", "email")})


@dataclass(frozen=True, slots=True)
class Department:
    """A department; a case's department is its assignee's."""

    id: Annotated[str, Open("The department's id.")]
    key: Annotated[str, Open("Short stable key, such as `after-sales`.")]
    name: Annotated[dict[str, str], Open("Name by language: `zh-CN` and `en`.")]
    created_at: Annotated[datetime, Open("When the department was made (UTC).")]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in or refresh gives; the refresh token works once."""

    access_token: str = field(repr=False)
    access_expires_at: datetime
    refresh_token: str = field(repr=False)
    user: User


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that goes on: one device that somebody is signed in from."""

    id: Annotated[str, Open("The session's id.")]
    user: Annotated[str, Open("Id of the user whose it is.")]
    created_at: Annotated[datetime, Open("When it began (UTC).")]
    last_used_at: Annotated[datetime, Open("When its tokens were last renewed (UTC); an access token lives minutes.")]
    expires_at: Annotated[datetime, Open("When it ends unless its tokens are renewed before (UTC).")]
    source: Annotated[str | None, Open("The network address that it began from.")]
    current: Annotated[bool, Open("Whether this request came by it.")]


SESSION_QUESTIONS = Questions(shape_of(OpenSession))


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A key of a service account; the key itself is told once, when it is made."""

    id: Annotated[str, Open("The key's id; what revokes it.")]
    created_at: Annotated[datetime, Open("When it was made (UTC).")]
    expires_at: Annotated[datetime, Open("When it ends (UTC).")]
    revoked_at: Annotated[datetime | None, Open("When it was revoked (UTC).")]
    last_used_at: Annotated[datetime | None, Open("When it was last used (UTC), to the hour.")]


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A program that uses the API: it reads what its roles may, and takes the steps that are listed."""

    id: Annotated[str, Open("The account's id; the actor of what it does.")]
    name: Annotated[str, Open("What it is for.")]
    roles: Annotated[list[Role], Open("What it may read as.")]
    department: Annotated[str | None, Open("Id of the department that its roles reach.")]
    steps: Annotated[list[str], Open("Steps of the policy that it may take; none: it only reads.")]
    keys: Annotated[list[ServiceKey], Open("Its keys; those that are over, for 90 days more.")]
    version: Annotated[int, Open("Raised by every change.")]
    created_at: Annotated[datetime, Open("When it was made (UTC).")]
    created_by: Annotated[str, Open("Id of the user who made it.")]


@dataclass(frozen=True, slots=True)
class NewServiceKey:
    """A key just made, and whose it is; it is never told again."""

    account: ServiceAccount
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user just made. `initial_password` is set when it was generated; it is never told again."""

    user: User
    initial_password: str | None = field(repr=False)


def user_of(document: Mapping[str, Any]) -> User:
    """A stored user, without what signs them in."""
    return User(
        id=document["_id"],
        email=document["email"],
        name=document["name"],
        roles=[Role(role) for role in document["roles"]],
        department=document["department"],
        locale=document["locale"],
        state=UserState(document["state"]),
        version=document["version"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
    )


def department_of(document: Mapping[str, Any]) -> Department:
    """A stored department."""
    return Department(document["_id"], document["key"], dict(document["name"]), document["created_at"])


def open_session_of(document: Mapping[str, Any], current: str | None) -> OpenSession:
    """A stored session, without its secrets; `current` is the session that asks."""
    return OpenSession(
        id=document["_id"],
        user=document["user"],
        created_at=document["created_at"],
        last_used_at=document["refreshed_at"],
        expires_at=document["expires_at"],
        source=document.get("source") or None,
        current=document["_id"] == current,
    )


def service_account_of(document: Mapping[str, Any]) -> ServiceAccount:
    """A stored service account, without what its keys are known by."""
    names = ("id", "created_at", "expires_at", "revoked_at", "last_used_at")
    return ServiceAccount(
        id=document["_id"],
        name=document["name"],
        roles=[Role(role) for role in document["roles"]],
        department=document["department"],
        steps=list(document["steps"]),
        keys=[ServiceKey(**{name: key[name] for name in names}) for key in document["keys"]],
        version=document["version"],
        created_at=document["created_at"],
        created_by=document["created_by"],
    )


def journalled(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal may keep of a user's former state."""
    return {name: value for name, value in document.items() if name not in PRIVATE_FIELDS}
