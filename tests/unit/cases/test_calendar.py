"""Deadlines on both clocks: around it, or in the business hours of mainland China (R32)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cases.calendar import Calendar, ChineseWorkdays
from service.templates.model import DeadlineClock

SHANGHAI = ZoneInfo("Asia/Shanghai")
CALENDAR = Calendar(ChineseWorkdays(), "Asia/Shanghai")
BUSINESS = DeadlineClock.BUSINESS_HOURS
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


def at(text: str) -> datetime:
    """A moment in Shanghai, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2025-11-24T10:00", 4, "2025-11-24T14:00"),  # within a Monday
        ("2025-11-24T15:00", 4, "2025-11-25T11:00"),  # over the night
        ("2025-11-24T07:00", 1, "2025-11-24T10:00"),  # before opening
        ("2025-11-24T20:00", 1, "2025-11-25T10:00"),  # after closing
        ("2025-11-21T16:00", 2, "2025-11-24T10:00"),  # over a weekend
        ("2025-11-22T12:00", 1, "2025-11-24T10:00"),  # from a Saturday
        ("2025-11-24T09:00", 8, "2025-11-24T17:00"),  # a day to its end
        ("2025-11-24T09:00", 40, "2025-11-28T17:00"),  # a week
        ("2025-09-30T16:00", 2, "2025-10-09T10:00"),  # over the National Day holidays, 1 to 8 October
        ("2025-09-27T16:00", 2, "2025-09-28T11:00"),  # Sunday 28 September made up for them
        ("2025-10-11T12:00", 2, "2025-10-11T14:00"),  # so did Saturday 11 October
    ],
)
def test_business_hours_end_when_the_calendar_says(start: str, hours: int, due: str) -> None:
    assert CALENDAR.after(at(start), hours, BUSINESS) == (at(due), False)


def test_around_the_clock_counts_every_hour() -> None:
    assert CALENDAR.after(at("2025-10-01T23:00"), 24, DeadlineClock.AROUND_THE_CLOCK) == (at("2025-10-02T23:00"), False)


def test_a_year_without_data_counts_weekends_and_says_that_it_is_provisional() -> None:
    found, provisional = CALENDAR.after(at("2031-10-01T10:00"), 2, BUSINESS)  # a Wednesday
    assert (found, provisional) == (at("2031-10-01T12:00"), True)
    assert CALENDAR.after(at("2031-10-03T16:00"), 2, BUSINESS) == (at("2031-10-06T10:00"), True)


def test_a_deadline_that_reaches_into_such_a_year_is_provisional_too() -> None:
    last_known = max(year for year in range(2020, 2040) if ChineseWorkdays().workday(date(year, 6, 1))[1])
    _, provisional = CALENDAR.after(at(f"{last_known}-12-31T16:30"), 16, BUSINESS)
    assert provisional


@given(start=MOMENTS, hours=st.integers(0, 100))
def test_a_deadline_lies_in_business_hours_of_a_workday(start: datetime, hours: int) -> None:
    due, _ = CALENDAR.after(start, hours, BUSINESS)
    local = due.astimezone(SHANGHAI)
    assert due >= start
    assert ChineseWorkdays().workday(local.date())[0]
    assert timedelta(hours=9) <= local - local.replace(hour=0, minute=0, second=0, microsecond=0) <= timedelta(hours=17)


@given(start=MOMENTS, first=st.integers(0, 50), second=st.integers(1, 50))
def test_more_hours_end_later(start: datetime, first: int, second: int) -> None:
    assert CALENDAR.after(start, first, BUSINESS)[0] < CALENDAR.after(start, first + second, BUSINESS)[0]
