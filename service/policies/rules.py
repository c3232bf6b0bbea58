"""What a policy must be before it may be in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.access.policy import Policy, Role


def read_policy(data: Mapping[str, Any]) -> Policy:
    """Evaluates stored data. Raises ValueError when it is malformed or would lock every administrator out."""
    policy = Policy.read(data)
    if not any(role is Role.ADMIN for role, _ in policy.steps.get("user.manage", ())):
        raise ValueError("nobody could manage users under this policy")
    return policy
