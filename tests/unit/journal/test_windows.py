"""Sliding windows over buckets, and who is counted together (R70, P30)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.journal.windows import (
    Limits,
    ReadingWindow,
    contributors,
    first_hour,
    hour_of,
    minute_of,
    network_of,
    totals,
)

AT = datetime(2026, 11, 25, 16, 37, tzinfo=UTC)


def buckets(*ago: int) -> list[dict[str, Any]]:
    """One record each, so many minutes before AT."""
    found: dict[datetime, dict[str, Any]] = {}
    for minutes in ago:
        at = AT - timedelta(minutes=minutes)
        bucket = found.setdefault(hour_of(at), {"hour": hour_of(at), "total": 0, "minutes": {}})
        bucket["total"] += 1
        bucket["minutes"][str(at.minute)] = bucket["minutes"].get(str(at.minute), 0) + 1
    return list(found.values())


@pytest.mark.parametrize(
    ("ago", "inside"),
    [
        (0, (1, 1, 1)), (9, (1, 1, 1)), (10, (1, 1, 1)), (11, (0, 1, 1)), (38, (0, 1, 1)), (60, (0, 1, 1)), (61, (0, 0, 1)),
        (24 * 60, (0, 0, 1)), (24 * 60 + 37, (0, 0, 1)), (24 * 60 + 38, (0, 0, 0)), (-1, (1, 1, 1)),
    ],
)  # fmt: skip
def test_a_window_is_never_shorter_than_its_name_says(ago: int, inside: tuple[int, int, int]) -> None:
    """A minute is left out once all of it is too old; the day's oldest hour as a whole. A clock ahead of ours counts."""
    found = totals(buckets(ago), minute_of(AT))
    assert tuple(found[window] for window in ReadingWindow) == inside


def test_every_bucket_that_can_count_is_read() -> None:
    for ago in range(24 * 60 + 38):
        if totals(buckets(ago), minute_of(AT))[ReadingWindow.DAY]:
            assert hour_of(AT - timedelta(minutes=ago)) >= first_hour(AT)


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("192.0.2.7", "net 192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "net 2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "net 2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "net 2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "net 192.0.2.7"),
        ("", None),
        ("testclient", None),
    ],
)
def test_addresses_that_one_client_may_take_are_one_network(source: str, network: str | None) -> None:
    assert network_of(source) == network


def test_who_contributed_did_so_in_the_window() -> None:
    minute = minute_of(AT)
    found = [{"actors": {"usr_now": minute, "usr_early": minute - 11}}, {"actors": {"usr_old": minute - 70}}]
    assert contributors(found, ReadingWindow.TEN_MINUTES, minute) == ["usr_now"]
    assert contributors(found, ReadingWindow.HOUR, minute) == ["usr_early", "usr_now"]
    assert contributors(found, ReadingWindow.DAY, minute) == ["usr_early", "usr_now", "usr_old"]


def test_a_network_may_read_more() -> None:
    limits = Limits(dict.fromkeys(ReadingWindow, 7), 3)
    assert (limits.of(ReadingWindow.DAY, "usr_a"), limits.of(ReadingWindow.DAY, "net 192.0.2.7")) == (7, 21)
