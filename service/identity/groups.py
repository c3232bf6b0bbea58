"""What an outside directory's groups mean here. Pure.

`ANJUAN_OIDC_GROUPS` is a JSON object: group → `ROLE` or `ROLE@department-key`, or a list of such. Somebody in several
groups has the roles of all; the department is that of the first of their groups, in the order of the setting.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.access.policy import Role


@dataclass(frozen=True, slots=True)
class Membership:
    """What groups give: roles, never none, and a department's key."""

    roles: tuple[Role, ...]
    department: str | None


class Groups:
    """See the module's docstring."""

    def __init__(self, text: str) -> None:
        """Raises LookupError, which names the setting and what is wrong with it."""
        try:
            parsed = json.loads(text or "{}")
        except ValueError:
            raise LookupError("ANJUAN_OIDC_GROUPS is no JSON object") from None
        if not isinstance(parsed, dict):
            raise LookupError("ANJUAN_OIDC_GROUPS is no JSON object")
        self._given: Mapping[str, tuple[tuple[Role, str | None], ...]] = {
            group: tuple(_read(group, item) for item in (given if isinstance(given, list) else [given]))
            for group, given in parsed.items()
        }

    def __bool__(self) -> bool:
        return bool(self._given)

    def departments(self) -> frozenset[str]:
        """Keys of all departments that are named."""
        return frozenset(department for given in self._given.values() for _, department in given if department)

    def of(self, groups: Iterable[str]) -> Membership | None:
        """What somebody in these groups is; None when they are nothing here."""
        mine = set(groups)
        given = [one for group, ones in self._given.items() if group in mine for one in ones]
        if not given:
            return None
        roles = {role for role, _ in given}
        departments = [department for _, department in given if department]
        return Membership(tuple(role for role in Role if role in roles), departments[0] if departments else None)


def _read(group: str, given: Any) -> tuple[Role, str | None]:
    name, _, department = given.partition("@") if isinstance(given, str) else ("", "", "")
    try:
        return Role(name), department or None
    except ValueError:
        raise LookupError(f"ANJUAN_OIDC_GROUPS: {group!r} gives no role: ROLE or ROLE@department-key") from None
