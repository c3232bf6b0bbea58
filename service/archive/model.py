"""What the archive asks of evidence, and the job that takes up an interrupted sealing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

SEAL = "archive.seal"


class Lockable(Protocol):
    """Evidence, as the archive needs it."""

    async def lapse(self, case: str) -> None:
        """Files that were announced and can't come any more are FAILED, so that nothing of the case changes later."""
        ...

    async def unsettled(self, case: str) -> list[str]:
        """Ids of evidence whose upload or reading is still under way."""
        ...

    async def lock_all(self, case: str, until: datetime) -> Sequence[tuple[str, str, datetime]]:
        """Sets COMPLIANCE retention on every stored version and reads each back: (id, mode, until). Raises when
        one differs from what was asked.
        """
        ...
