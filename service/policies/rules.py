"""What a policy must be before it may be in force. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from service.access.actor import ANYBODY
from service.access.declared import SEALED_CLASSES, Level, Sensitivity
from service.access.identifiers import check_open
from service.access.policy import Policy, Relation, Role
from service.errors import Code, Problems
from service.normal import clean
from service.policies.model import CONTENT

READ, PROPOSE, CONFIRM = "policy.read", "policy.propose", "policy.confirm"
MANAGE_USERS, READ_AUDIT = "user.manage", "audit.read"
REASON_MOST = 500
Staff = Mapping[frozenset[Role], int]
"""How many active accounts there are of each set of roles."""

_TWICE = {"en": "stands there already", "zh-CN": "已存在"}
_ALWAYS_OPEN = {"en": "OPEN is seen by everybody who reaches the record", "zh-CN": "OPEN 类对所有能看到该记录的人可见"}
_NOTHING = {
    "en": "shows nothing of any class; set `levels` to null to remove the row",
    "zh-CN": "该行不显示任何类别;如需删除该行,请将 levels 设为 null",
}
_NO_CHANGE = {"en": "nothing would change", "zh-CN": "没有任何变化"}
_LOCKED_OUT = {
    MANAGE_USERS: {"en": "nobody who is active could manage users", "zh-CN": "将没有在职人员可以管理用户"},
    PROPOSE: {
        "en": "nobody who is active could read and propose a policy",
        "zh-CN": "将没有在职人员可以查看并提议权限策略",
    },
    CONFIRM: {
        "en": "nobody who is active could read and confirm a policy",
        "zh-CN": "将没有在职人员可以查看并确认权限策略",
    },
    READ_AUDIT: {"en": "nobody who is active could read the audit log", "zh-CN": "将没有在职人员可以查看审计日志"},
}
_ONE_PERSON = {
    "en": "only one active person could propose and confirm policies; it takes two",
    "zh-CN": "只有一名在职人员可以提议和确认权限策略,而这需要两个人",
}


def read_policy(data: Mapping[str, Any]) -> Policy:
    """Evaluates stored data. Raises ValueError when it is malformed or would lock every administrator out."""
    policy = Policy.read(data)
    if not any(relation is Relation.ANY for _, relation in policy.steps.get(MANAGE_USERS, ())):
        raise ValueError("nobody could manage users under this policy")
    return policy


def read_reason(text: str | None, problems: Problems) -> str:
    """Why: a text of at most REASON_MOST characters, in which no identifier stands; it is not sealed."""
    found = clean(text or "")
    if not found:
        problems.add(Code.REQUIRED, "reason")
    elif len(found) > REASON_MOST:
        problems.add(Code.TOO_LONG, "reason", limit=REASON_MOST)
    else:
        check_open(found, "reason", problems)
    return found


def revised(
    current: Mapping[str, Any], changes: Mapping[str, Any], known_steps: Collection[str], problems: Problems
) -> dict[str, Any]:
    """The content of `current` with changes laid over; `problems` gets what can't be read of them, by field.

    `grants`: rows that replace those of their role and relation; with `levels` None the row is removed. `deny`: the
    whole list. `steps`: each with everybody who may take it. What is absent or None stays.
    """
    content = {name: current[name] for name in CONTENT}
    if changes.get("grants") is not None:
        content["grants"] = _with_grants(current["grants"], changes["grants"], problems)
    if changes.get("deny") is not None:
        content["deny"] = _read_deny(changes["deny"], problems)
    if changes.get("steps") is not None:
        content["steps"] = {**current["steps"], **_read_steps(changes["steps"], known_steps, problems)}
    if not problems.found and flat(content) == flat(current):
        problems.add(Code.VALIDATION, None, reason=_NO_CHANGE)
    return content


def _with_grants(
    current: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]], problems: Problems
) -> list[dict[str, Any]]:
    rows = {(row["role"], row["relation"]): dict(row) for row in current}
    seen: set[tuple[str, str]] = set()
    for position, item in enumerate(given):
        path = f"grants.{position}"
        key = _role_and_relation(item, path, seen, problems)
        if "levels" not in item:
            problems.add(Code.REQUIRED, f"{path}.levels")
        elif item["levels"] is not None:
            levels = _read_levels(item["levels"], f"{path}.levels", problems)
            if key is not None:
                rows[key] = {"role": key[0], "relation": key[1], "levels": levels}
        elif key is not None and rows.pop(key, None) is None:
            problems.add(Code.NOT_FOUND, path)
    return list(rows.values())


def _read_levels(given: Sequence[Mapping[str, Any]], path: str, problems: Problems) -> dict[str, str]:
    """A level for each class that is not OPEN, in the classes' order; at least one that shows something."""
    found: dict[str, Level] = {}
    before = len(problems.found)
    for position, item in enumerate(given):
        sensitivity = _member(Sensitivity, item.get("sensitivity"), f"{path}.{position}.sensitivity", problems)
        level = _member(_level, item.get("level"), f"{path}.{position}.level", problems)
        if sensitivity is Sensitivity.OPEN:
            problems.add(Code.VALIDATION, f"{path}.{position}.sensitivity", reason=_ALWAYS_OPEN)
        elif sensitivity is not None and sensitivity.value in found:
            problems.add(Code.VALIDATION, f"{path}.{position}.sensitivity", reason=_TWICE)
        elif sensitivity is not None and level is not None:
            found[sensitivity.value] = level
    if len(problems.found) > before:
        return {}
    missing = ", ".join(name.value for name in SEALED_CLASSES if name.value not in found)
    if missing:
        reason = {"en": f"each class needs a level; missing: {missing}", "zh-CN": f"每个类别都需要级别,缺少:{missing}"}
        problems.add(Code.VALIDATION, path, reason=reason)
    elif max(found.values()) is Level.HIDDEN:
        problems.add(Code.VALIDATION, path, reason=_NOTHING)
    return {name.value: found[name.value].name for name in SEALED_CLASSES if name.value in found}


def _read_deny(given: Sequence[Mapping[str, Any]], problems: Problems) -> list[dict[str, str]]:
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for position, item in enumerate(given):
        path = f"deny.{position}"
        key = _role_and_relation(item, path, set(), problems)
        sensitivity = _member(Sensitivity, item.get("sensitivity"), f"{path}.sensitivity", problems)
        if sensitivity is Sensitivity.OPEN:
            problems.add(Code.VALIDATION, f"{path}.sensitivity", reason=_ALWAYS_OPEN)
        elif key is not None and sensitivity is not None:
            row = (*key, sensitivity.value)
            if row in found:
                problems.add(Code.VALIDATION, path, reason=_TWICE)
            found[row] = {"role": row[0], "relation": row[1], "class": row[2]}
    return list(found.values())


def _read_steps(
    given: Sequence[Mapping[str, Any]], known_steps: Collection[str], problems: Problems
) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for position, item in enumerate(given):
        path, step = f"steps.{position}", item.get("step")
        if step not in known_steps:
            known = ", ".join(sorted(known_steps))
            reason = {"en": f"no such step; there are {known}", "zh-CN": f"没有该步骤;可用的步骤:{known}"}
            problems.add(Code.VALIDATION, f"{path}.step", reason=reason)
            continue
        if step in found:
            problems.add(Code.VALIDATION, f"{path}.step", reason=_TWICE)
        seen: set[tuple[str, str]] = set()
        grants = [
            _role_and_relation(grant, f"{path}.grants.{place}", seen, problems)
            for place, grant in enumerate(item.get("grants") or ())
        ]
        found[str(step)] = [list(grant) for grant in grants if grant is not None]
    return found


def _role_and_relation(
    item: Mapping[str, Any], path: str, seen: set[tuple[str, str]], problems: Problems
) -> tuple[str, str] | None:
    role = _member(Role, item.get("role"), f"{path}.role", problems)
    relation = _member(Relation, item.get("relation"), f"{path}.relation", problems)
    if role is None or relation is None:
        return None
    key = (role.value, relation.value)
    if key in seen:
        problems.add(Code.VALIDATION, path, reason=_TWICE)
    seen.add(key)
    return key


def _level(value: Any) -> Level:
    """By number, as the API's enum gives it, or by name, as it is stored. Raises ValueError."""
    return Level[value] if isinstance(value, str) and value in Level.__members__ else Level(value)


def _member(read: Callable[[Any], Any], value: Any, path: str, problems: Problems) -> Any:
    try:
        return read(value)
    except ValueError:
        members = read if isinstance(read, type) else Level
        reason = {"en": "is none of {}", "zh-CN": "应为以下之一:{}"}
        known = ", ".join(member.name for member in members)  # type: ignore[attr-defined]
        problems.add(Code.VALIDATION, path, reason={locale: text.format(known) for locale, text in reason.items()})
        return None


def check_lockout(content: Mapping[str, Any], staff: Staff, problems: Problems) -> None:
    """Somebody active must still be able to manage users, to read the audit log, to propose a policy, and somebody
    else to confirm it: whoever takes these from the last one can't be helped by any further step.
    """
    policy = Policy.read({"version": 0, **content})

    def able(*steps: str) -> set[frozenset[Role]]:
        return {roles for roles in staff if all(policy.may(step, roles, ANYBODY) for step in steps)}

    proposing, confirming = able(READ, PROPOSE), able(READ, CONFIRM)
    able_to = {
        MANAGE_USERS: able(MANAGE_USERS),
        READ_AUDIT: able(READ_AUDIT),
        PROPOSE: proposing,
        CONFIRM: confirming,
    }
    for step, roles in able_to.items():
        if not roles:
            problems.add(Code.VALIDATION, f"steps.{step}", reason=_LOCKED_OUT[step])
    if proposing and confirming and sum(staff[roles] for roles in proposing | confirming) < 2:
        problems.add(Code.VALIDATION, f"steps.{CONFIRM}", reason=_ONE_PERSON)


def flat(content: Mapping[str, Any]) -> dict[str, str]:
    """A policy's content with one entry for each cell of its table, so that two of them can be compared."""
    found = {
        f"{row['role']} {row['relation']} {name}": level
        for row in content["grants"]
        for name, level in row["levels"].items()
    }
    found |= {f"deny {row['role']} {row['relation']} {row['class']}": "HIDDEN" for row in content["deny"]}
    found |= {step: takers(sorted(grants)) for step, grants in content["steps"].items()}
    return found


def takers(grants: Sequence[Sequence[str]]) -> str:
    """Who may take a step, in words; the relation where one is needed."""
    named = [role if relation == Relation.ANY else f"{role} ({relation})" for role, relation in grants]
    return ", ".join(named) or "nobody"


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What differs between two policies' contents: the entries of the one, and of the other."""
    one, other = flat(before), flat(after)
    return (
        {what: value for what, value in one.items() if other.get(what) != value},
        {what: value for what, value in other.items() if one.get(what) != value},
    )
