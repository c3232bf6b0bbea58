"""How much was shown in full, by window of time: what is counted, and what the limits say (R70, P30). Pure.

A bucket is one subject's hour: `total`, and `minutes` of that hour. A window is sliding: it begins anew with each minute
(the day: with each hour), and holds the buckets that reach into it, so that it is never shorter than its name says.
A subject is an account, or a network that accounts ask from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import Any

MINUTES_OF_HOUR = 60
COUNTED_AGAIN = timedelta(minutes=10)
"""A record that an account is shown again within ten minutes of the clock is counted once by each process."""
_IPV6_SITE = 64


class ReadingWindow(str, Enum):
    """Windows in which readings are counted."""

    TEN_MINUTES = "TEN_MINUTES"
    HOUR = "HOUR"
    DAY = "DAY"


MINUTES = {ReadingWindow.TEN_MINUTES: 10, ReadingWindow.HOUR: 60, ReadingWindow.DAY: 24 * 60}


@dataclass(frozen=True, slots=True)
class Limits:
    """Records that one account may be shown in full, by window; a network may be shown `network_factor` times as many
    (0: networks are not counted).
    """

    by_window: Mapping[ReadingWindow, int]
    network_factor: int

    def of(self, window: ReadingWindow, subject: str) -> int:
        """The limit of an account or a network."""
        return self.by_window[window] * (self.network_factor if is_network(subject) else 1)


def minute_of(at: datetime) -> int:
    """Minutes since 1970."""
    return int(at.timestamp()) // 60


def hour_of(at: datetime) -> datetime:
    """The hour of the clock (UTC) that a moment is in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def network_of(source: str) -> str | None:
    """Where accounts are counted together: an IPv4 address, or an IPv6 site (/64, which one client may roam in); None
    where the source is no address.
    """
    try:
        address = ip_address(source)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return f"net {address.ipv4_mapped}"
        return f"net {IPv6Address(int(address) >> _IPV6_SITE << _IPV6_SITE)}/{_IPV6_SITE}"
    return f"net {address}"


def is_network(subject: str) -> bool:
    """Whether a subject is a network, and no account."""
    return subject.startswith("net ")


def first_hour(at: datetime) -> datetime:
    """The oldest bucket that reaches into any window."""
    return hour_of(at) - timedelta(minutes=MINUTES[ReadingWindow.DAY])


def totals(buckets: Iterable[Mapping[str, Any]], minute: int) -> dict[ReadingWindow, int]:
    """What one subject's buckets (`hour`, `total`, `minutes`) hold in each window that ends with this minute."""
    short, hour, day = 0, 0, 0
    for bucket in buckets:
        start = minute_of(bucket["hour"])
        if start + MINUTES_OF_HOUR > minute - MINUTES[ReadingWindow.DAY]:
            day += bucket["total"]
        if start + MINUTES_OF_HOUR <= minute - MINUTES[ReadingWindow.HOUR]:
            continue
        for place, count in bucket["minutes"].items():
            age = minute - (start + int(place))
            if age <= MINUTES[ReadingWindow.HOUR]:
                hour += count
                if age <= MINUTES[ReadingWindow.TEN_MINUTES]:
                    short += count
    return {ReadingWindow.TEN_MINUTES: short, ReadingWindow.HOUR: hour, ReadingWindow.DAY: day}


def contributors(buckets: Iterable[Mapping[str, Any]], window: ReadingWindow, minute: int) -> list[str]:
    """The accounts that were shown something in this window from one network: its buckets' `actors` name each with the
    last minute of it.
    """
    oldest = minute - MINUTES[window]
    return sorted({actor for bucket in buckets for actor, last in bucket.get("actors", {}).items() if last >= oldest})
