"""When a deadline falls: around the clock, or in business hours of a calendar behind a port.

China's public holidays and make-up workdays come from `chinesecalendar`, which raises for years without data:
then weekends alone count and the deadline is flagged as provisional.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import chinese_calendar

from service.templates.model import DeadlineClock

OPENS, CLOSES = time(9), time(17)


class Workdays(Protocol):
    """Which days are worked: (is it a workday, is that certain)."""

    def workday(self, day: date) -> tuple[bool, bool]: ...


class ChineseWorkdays:
    """Mainland China."""

    def workday(self, day: date) -> tuple[bool, bool]:
        """Certain where the State Council's arrangement for the year is known."""
        try:
            return bool(chinese_calendar.is_workday(day)), True
        except NotImplementedError:
            return day.weekday() < 5, False


class Calendar:
    """Counts hours on either clock. Business hours are 09:00 to 17:00 in the given time zone."""

    def __init__(self, workdays: Workdays, time_zone: str) -> None:
        self._workdays = workdays
        self.zone = ZoneInfo(time_zone)

    def after(self, start: datetime, hours: int, clock: DeadlineClock) -> tuple[datetime, bool]:
        """The moment `hours` later (UTC in, UTC out), and whether it is provisional."""
        if clock is DeadlineClock.AROUND_THE_CLOCK:
            return start + timedelta(hours=hours), False
        left, provisional = timedelta(hours=hours), False
        at = start.astimezone(self.zone)
        while True:
            worked, certain = self._workdays.workday(at.date())
            provisional = provisional or not certain
            opens = datetime.combine(at.date(), OPENS, self.zone)
            closes = datetime.combine(at.date(), CLOSES, self.zone)
            if worked and at < closes:
                begin = max(at, opens)
                if closes - begin >= left:
                    return (begin + left).astimezone(start.tzinfo), provisional
                left -= closes - begin
            at = datetime.combine(at.date() + timedelta(days=1), time(0), self.zone)
