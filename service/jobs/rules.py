"""When a job that failed is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta

ATTEMPTS_MOST = 8
LEASE = timedelta(seconds=60)


def delay_after(attempt: int) -> timedelta | None:
    """Time until the next try, doubling from two seconds; None when the job is given up."""
    return None if attempt >= ATTEMPTS_MOST else timedelta(seconds=2**attempt)
