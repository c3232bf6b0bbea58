"""What an account must be. Pure: everything wrong with an input is found before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.access.actor import Caller
from service.access.policy import Role
from service.clock import is_id
from service.errors import LOCALES, Code, Problems
from service.identity.model import DEPARTMENT_PREFIX, UserState
from service.normal import clean

MANAGE = "user.manage"
LIST = "user.list"
LIST_ALL = "user.list_all"
MANAGE_SESSIONS = "session.manage"
EMAIL_LONGEST = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
NAME_LONGEST = 100
KEY_LONGEST = 40
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")
_KEY = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")
EDITABLE = ("email", "name", "roles", "department", "locale", "state")
REQUIRED = ("email", "name", "roles")
# Roles that reach rows through a department, or whose files and cases are kept in one.
_IN_DEPARTMENTS = frozenset(role.value for role in (Role.AGENT, Role.ACCOUNT_MANAGER, Role.SUPERVISOR, Role.CLERK))
_NOT_BY_HAND = {"en": "accounts are locked by the system alone", "zh-CN": "账号只能由系统锁定"}
_SPEECH = {"en": "one line of text", "zh-CN": "单行文本"}


def normal_email(value: object) -> str | None:
    """Lower case, trimmed; None when it can't be an address. Only ASCII: look-alike letters make no second
    account.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    if len(text) > EMAIL_LONGEST or not text.isascii():
        return None
    text = text.lower()
    return text if _EMAIL.fullmatch(text) else None


def read_new_user(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The stored form of a new user's fields; `problems` gets what is wrong."""
    for name in REQUIRED:
        if values.get(name) in (None, "", []):
            problems.add(Code.REQUIRED, name)
    given = {name: value for name, value in values.items() if value not in (None, "", [])}
    given.pop("password", None)
    given.pop("state", None)
    found = {"department": None, "locale": LOCALES[0], **_read(given, problems), "state": UserState.ACTIVE.value}
    if lacks_department(found) and not given.get("department"):
        problems.add(Code.REQUIRED, "department")
    return found


def lacks_department(user: Mapping[str, Any]) -> bool:
    """Whether somebody whose reach or files are a department's has none."""
    return user.get("department") is None and not _IN_DEPARTMENTS.isdisjoint(user.get("roles") or ())


def read_changes(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The stored form of changes: absent means unchanged; only the department may be cleared by None."""
    for name, value in values.items():
        if name != "department" and value in (None, "", []):
            problems.add(Code.REQUIRED, name)
    given = {n: v for n, v in values.items() if n == "department" or v not in (None, "", [])}
    return _read(given, problems)


def _read(given: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in EDITABLE:
            problems.add(Code.FIELD_NOT_EDITABLE, camel_case(name))
        elif name == "department" and value is None:
            found[name] = None
        else:
            read = _READERS[name](value, problems)
            if read is not None:
                found[name] = read
    return found


def _email(value: object, problems: Problems) -> str | None:
    email = normal_email(value)
    if email is None:
        problems.add(Code.INVALID_FORMAT, "email", reason="local@domain")
    return email


def _name(value: object, problems: Problems) -> str | None:
    return read_line(value, "name", NAME_LONGEST, problems)


def _roles(value: object, problems: Problems) -> list[str] | None:
    if not isinstance(value, list | tuple | set | frozenset):
        problems.add(Code.WRONG_TYPE, "roles", expected="[Role]")
        return None
    found: set[Role] = set()
    for place, item in enumerate(value):
        try:
            found.add(Role(item))
        except ValueError:
            problems.add(Code.WRONG_TYPE, f"roles.{place}", expected="Role")
    return [role.value for role in Role if role in found]


def _department(value: object, problems: Problems) -> str | None:
    if is_id(value, DEPARTMENT_PREFIX):
        return str(value)
    problems.add(Code.INVALID_ID, "department")
    return None


def _locale(value: object, problems: Problems) -> str | None:
    if value in LOCALES:
        return str(value)
    problems.add(Code.WRONG_TYPE, "locale", expected=" | ".join(LOCALES))
    return None


def _state(value: object, problems: Problems) -> str | None:
    try:
        state = UserState(value)
    except ValueError:
        problems.add(Code.WRONG_TYPE, "state", expected="UserState")
        return None
    if state is UserState.LOCKED:
        problems.add(Code.VALIDATION, "state", reason=_NOT_BY_HAND)
        return None
    return str(state.value)


_READERS: dict[str, Any] = {
    "email": _email,
    "name": _name,
    "roles": _roles,
    "department": _department,
    "locale": _locale,
    "state": _state,
}


def read_line(value: object, field: str, limit: int, problems: Problems) -> str | None:
    """One trimmed line of text of at most `limit` characters."""
    if not isinstance(value, str):
        problems.add(Code.WRONG_TYPE, field, expected="String")
        return None
    text = value.strip()
    if not text:
        problems.add(Code.REQUIRED, field)
    elif len(text) > limit:
        problems.add(Code.TOO_LONG, field, limit=limit)
    elif not is_speech(text):
        problems.add(Code.INVALID_FORMAT, field, reason=_SPEECH)
    elif not clean(text):
        problems.add(Code.REQUIRED, field)
    else:
        return text
    return None


def is_speech(text: str) -> bool:
    """Whether there is nothing in it that no keyboard types: control characters, lone surrogates."""
    return _CONTROL.search(text) is None


def read_new_department(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The stored form of a new department."""
    key = values.get("key")
    if not isinstance(key, str) or not key:
        problems.add(Code.REQUIRED, "key")
    elif len(key) > KEY_LONGEST:
        problems.add(Code.TOO_LONG, "key", limit=KEY_LONGEST)
    elif not _KEY.fullmatch(key):
        problems.add(Code.INVALID_FORMAT, "key", reason="a-z, 0-9, -")
    name = values.get("name")
    names = name if isinstance(name, Mapping) else {}
    texts = {locale: read_line(names.get(locale, ""), f"name.{locale}", NAME_LONGEST, problems) for locale in LOCALES}
    return {"key": key, "name": texts}


def may_see_account(caller: Caller, user: str, department: str | None) -> bool:
    """Whether the caller sees more of an account than who it is and where: their own, those that they may list."""
    if user == caller.actor.id or caller.may(LIST_ALL) or caller.may(MANAGE):
        return True
    return department is not None and department == caller.actor.department and caller.may(LIST)


def ends_sessions(former: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether a change takes away the right to be signed in."""
    states = UserState(former["state"]), UserState(changed["state"])
    return states == (UserState.ACTIVE, UserState.DISABLED)


def changes_rights(former: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether what processes remember of this user's rights is no longer true."""
    return any(former[name] != changed[name] for name in ("roles", "department", "state", "name", "locale"))


def gives_up_administration(former: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether somebody who could manage users no longer can."""
    return _administers(former) and not _administers(changed)


def _administers(user: Mapping[str, Any]) -> bool:
    roles: list[str] = user["roles"]
    return Role.ADMIN.value in roles and UserState(user["state"]) is UserState.ACTIVE


def camel_case(name: str) -> str:
    """`given_name` → `givenName`: the field as clients know it."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
