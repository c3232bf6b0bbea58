"""The policy in force, remembered for one epoch."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy
from service.clock import new_id, now
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.policies.model import POLICIES, PREFIX
from service.policies.repository import PolicyRepository
from service.policies.rules import read_policy
from service.storage import Database, UnitOfWork
from service.storage.epoch import Epoch


class Policies:
    """`current()` is valid for the epoch that the caller refreshed."""

    def __init__(self, database: Database, epoch: Epoch, journal: Journal) -> None:
        self._database = database
        self._repository = PolicyRepository(database)
        self._journal = journal
        self._current: Policy | None = None
        self._epoch = epoch
        epoch.on_change(self._forget)

    def _forget(self) -> None:
        self._current = None

    async def current(self) -> Policy:
        """The policy in force. Raises LookupError when none was ever seeded (run `anjuan init`)."""
        current = self._current
        if current is None:
            began = self._epoch.value
            document = await self._repository.newest()
            if document is None:
                raise LookupError("no policy; run `anjuan init`")
            current = read_policy(document)
            if self._epoch.value == began:  # what was read while the epoch rose is never remembered
                self._current = current
        return current

    async def seed(self) -> None:
        """Puts version 1 in force when there is none."""
        if await self._repository.newest() is not None:
            return
        data = seed_data()
        policy = read_policy(data)
        document = {"_id": new_id(PREFIX), **data, "created_at": now()}

        async def work(unit: UnitOfWork) -> None:
            await self._repository.insert(unit, document)
            await Epoch.raise_in(unit)
            touched = Touched(str(document["_id"]), policy.version, document, collection=POLICIES)
            await self._journal.append(unit, Caller(SYSTEM, policy), Work("policy.seed", (touched,)))

        await self._database.transact(work)


def seed_data() -> dict[str, Any]:
    """The policy that a new system starts with."""
    data: dict[str, Any] = json.loads((files("service.policies") / "seed.json").read_text("utf-8"))
    return data
