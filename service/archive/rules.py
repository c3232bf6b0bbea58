"""When a case may be sealed and how long it is kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from service.errors import Code, Invalid


def retain_until(closed_at: datetime, years: int) -> datetime:
    """The same day `years` later (R43); 29 February becomes 1 March."""
    try:
        return closed_at.replace(year=closed_at.year + years)
    except ValueError:
        return closed_at.replace(year=closed_at.year + years, month=3, day=1)


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
