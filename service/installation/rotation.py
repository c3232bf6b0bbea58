"""A new key-encryption key, and everything that is stored wrapped by it.

The new key is added to the keyring file first, and the former ones stay there: whatever is wrapped by either can be
opened at every moment, also after a kill. Running processes take the file up with the next epoch, or when they meet a
key that they don't know. Each stored key is exchanged by itself, only if it still is what was read; so a run may be
killed, repeated, and work beside the API.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import structlog

from service.access.actor import Caller
from service.clock import now
from service.crypto import CiphertextError, KeyEncryption, Keyring, WrappedItem
from service.errors import Unfit
from service.installation.model import UNREADABLE, Fault, Rewrapped
from service.installation.repository import InstallationRepository
from service.installation.rules import too_early_fault, unretirable_fault
from service.journal.model import Work
from service.journal.service import Journal
from service.keys.model import KeyStore, StoredKey
from service.storage import Database, UnitOfWork
from service.storage.epoch import Epoch

BATCH = 200
EXCHANGED_AT_ONCE = 16
PASSES_MOST = 5
Report = Callable[[str, int, int], None]
log = structlog.get_logger(__name__)


class KeyRotation:
    """`stores` are all collections that hold wrapped keys."""

    def __init__(
        self, database: Database, journal: Journal, encryption: KeyEncryption, stores: Sequence[KeyStore]
    ) -> None:
        self._database = database
        self._journal = journal
        self._encryption = encryption
        self._stores = stores
        self._repository = InstallationRepository(database)

    async def is_finished(self) -> bool:
        """Whether everything is wrapped by the current key."""
        current = await self._encryption.current()
        return set(await self.needed()) <= {current}

    async def announce(self, caller: Caller, keyring: Keyring) -> None:
        """Before anything is wrapped anew: the current key is recorded, and every process looks at the keyring file
        before its next answer, this one too once it refreshed the epoch. May be repeated.
        """
        name = keyring.current_commitment

        async def work(unit: UnitOfWork) -> None:
            await self._repository.record_key_in(unit, name, keyring.commitments()[name])
            await Epoch.raise_in(unit)
            await self._journal.append(unit, caller, Work("keyring.rotate", details={"current": keyring.current_id}))

        await self._database.transact(work)

    async def rewrap(self, caller: Caller, report: Report) -> Rewrapped:
        """Wraps everything by the current key. `report` is told what, how many are done and about how many there are.

        Passes are repeated until one finds nothing: a process that had not taken up the key yet may have made keys
        meanwhile. One entry tells what the run did; a run that was killed has none, and what it did is done.
        """
        outcome = Rewrapped(await self._encryption.current())
        for _ in range(PASSES_MOST):
            tried = [await self._pass(store, outcome, report) for store in self._stores]
            if not any(tried):
                break
        details = {"current": outcome.current, "rewrapped": outcome.done, "unopened": len(outcome.unopened)}
        await self._journal.record(caller, Work("keyring.rewrap", details=details))
        return outcome

    async def needed(self) -> Counter[str]:
        """How many stored keys need which key-encryption key; UNREADABLE for a text that names none."""
        found: Counter[str] = Counter()
        for store in self._stores:
            async for keys in _batches(store):
                found.update(self._name(key.wrapped) for key in keys)
        return found

    async def retire(self, caller: Caller, path: Path) -> frozenset[str]:
        """Takes the former keys out of the keyring file and returns their ids. Raises Unfit, with nothing changed, when
        a stored key still needs one, or when the current key is too new.

        What is recorded goes first: a keyring with a key too many is no fault, one that lacks a recorded key is.
        """
        keyring = Keyring.load(path)
        ids = keyring.former_ids
        if not ids:
            return ids
        recorded = await self._repository.recorded()
        _refuse(too_early_fault(recorded.since.get(keyring.current_commitment), now()))
        _refuse(unretirable_fault(ids, await self.needed()))

        async def work(unit: UnitOfWork) -> None:
            await self._repository.forget_keys(unit, [f"encryption/{key_id}" for key_id in ids])
            await Epoch.raise_in(unit)
            await self._journal.append(unit, caller, Work("keyring.retire", details={"retired": sorted(ids)}))

        await self._database.transact(work)
        Keyring.retire(path, ids)
        return ids

    async def _pass(self, store: KeyStore, outcome: Rewrapped, report: Report) -> int:
        """How many were not wrapped by the current key and could be."""
        total, seen, already, tried, done = await store.count(), 0, 0, 0, 0
        async for keys in _batches(store):
            due = [key for key in keys if self._name(key.wrapped) != outcome.current]
            opened, exchanged = await self._exchange(store, due, outcome)
            tried, done = tried + opened, done + exchanged
            seen, already = seen + len(keys), already + len(keys) - len(due)
            report(store.what, seen, max(total, seen))
        outcome.done[store.what] = outcome.done.get(store.what, 0) + done
        outcome.already.setdefault(store.what, already)
        return tried

    async def _exchange(self, store: KeyStore, due: Sequence[StoredKey], outcome: Rewrapped) -> tuple[int, int]:
        """How many could be opened, and how many of those were exchanged: others changed meanwhile."""
        wrapped = await self._encryption.rewrap_all([WrappedItem(key.wrapped, key.context) for key in due])
        room = asyncio.Semaphore(EXCHANGED_AT_ONCE)

        async def exchanged(former: StoredKey, new: bytes | CiphertextError) -> bool:
            if isinstance(new, CiphertextError):
                if former.holder not in outcome.unopened:
                    log.error(
                        "a stored key can't be unwrapped; it stays as it is", holder=former.holder, trouble=str(new)
                    )
                outcome.unopened.add(former.holder)
                return False
            async with room:
                return await store.exchange(former, new)

        done = await asyncio.gather(*map(exchanged, due, wrapped))
        return sum(not isinstance(new, CiphertextError) for new in wrapped), sum(done)

    def _name(self, wrapped: bytes) -> str:
        try:
            return self._encryption.key_name(wrapped)
        except CiphertextError:
            return UNREADABLE


async def _batches(store: KeyStore) -> AsyncIterator[list[StoredKey]]:
    last = ""
    while documents := await store.after(last, BATCH):
        keys = [key for document in documents for key in document]
        last = documents[-1][-1].holder
        yield keys


def _refuse(fault: Fault | None) -> None:
    if fault is not None:
        raise Unfit(f"{fault.message} {fault.remedy}")
