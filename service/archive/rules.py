"""When a case may be sealed and how long it is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from service.access.actor import Caller
from service.cases.model import CaseState
from service.errors import Code, Invalid


def retain_until(closed_at: datetime, years: int) -> datetime:
    """The same day `years` later (R43); 29 February becomes 1 March."""
    try:
        return closed_at.replace(year=closed_at.year + years)
    except ValueError:
        return closed_at.replace(year=closed_at.year + years, month=3, day=1)


def asked_for(case: Mapping[str, Any], caller: Caller, version: int) -> bool:
    """Whether `version` is the one that a call to seal this case read: the case's own, or, when a sealing of this
    caller's was cut short, the one before its steps, which nobody else can have taken.
    """
    if case["version"] == version:
        return True
    taken = {CaseState.SEALING.value: 1, CaseState.ARCHIVED.value: 2}.get(case["state"], 0)
    return taken > 0 and case["version"] == version + taken and case.get("archived_by") == caller.actor.id


def check_settled(unsettled: Sequence[str]) -> None:
    """Nothing may still be arriving or be read when a case is sealed. Raises Invalid."""
    if unsettled:
        raise Invalid.because(
            Code.VALIDATION,
            "evidence",
            reason={
                "en": f"still being uploaded or read: {', '.join(unsettled[:5])}",
                "zh-CN": f"仍在上传或识别:{', '.join(unsettled[:5])}",
            },
        )
