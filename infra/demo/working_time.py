"""Working hours in China for the demo: Monday to Friday, 8:30 to 17:30, without holidays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

CHINA = timezone(timedelta(hours=8), "CST")
REFERENCE = datetime(2026, 11, 20, 18, 0, tzinfo=CHINA)
"""The demo's today: nothing happens after it, and the wall clock is never asked."""
START = datetime(2024, 11, 20, 8, 30, tzinfo=CHINA)
_OPENS, _CLOSES = timedelta(hours=8, minutes=30), timedelta(hours=17, minutes=30)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def opening(at: datetime) -> datetime:
    """The same moment (UTC, whole seconds), or the next one in working hours."""
    local = at.astimezone(CHINA).replace(microsecond=0)
    spread = timedelta(minutes=local.minute % 50, seconds=local.second)
    while True:
        midnight = _midnight(local)
        if local.weekday() < 5 and local < midnight + _CLOSES:
            early = local < midnight + _OPENS
            return (midnight + _OPENS + spread if early else local).astimezone(UTC)
        local = midnight + timedelta(days=1)


def later(at: datetime, hours: float) -> datetime:
    """So many working hours later (UTC)."""
    local, left = opening(at).astimezone(CHINA), timedelta(hours=hours)
    while True:
        today = _midnight(local) + _CLOSES - local
        if left < today:
            return (local + left).astimezone(UTC).replace(microsecond=0)
        left -= today
        local = opening(_midnight(local) + timedelta(days=1)).astimezone(CHINA)
