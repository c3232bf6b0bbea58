"""A job: due work that some worker takes under a lease, does, and ends. Handlers must bear repetition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

JOBS = "jobs"
PREFIX = "job"


@dataclass(frozen=True, slots=True)
class Job:
    """`attempt` counts from 1; `payload` holds ids only, never values."""

    id: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    due: datetime
