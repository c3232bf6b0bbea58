"""Asked once at every start: is this database one of this program's format, and is this its keyring?

Without the right keyring nothing can be opened, and what is written under another one would be a second, separate
system in the same records; so a program that has not got it refuses to start.
"""

from __future__ import annotations

from pathlib import Path

from service.crypto import CiphertextError, Keyring, UnknownKeyError
from service.errors import Unfit
from service.installation.model import STORAGE_FORMAT, Fault
from service.installation.repository import InstallationRepository
from service.installation.rules import format_fault, keyring_fault, no_keyring_fault, unopened_fault
from service.keys.model import key_context
from service.storage import Database


class Installation:
    """Holds nothing itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._repository = InstallationRepository(database)

    async def require_new(self, keyring: Path) -> None:
        """Before a keyring is made. Raises Unfit when there is data, which needs the one that it had; and
        StoreUnreachable.
        """
        await self._database.require_reachable()
        recorded = await self._repository.recorded()
        _refuse(format_fault(recorded.format))
        if recorded.commitments or await self._repository.has_data():
            _refuse(no_keyring_fault(keyring))

    async def verify(self, keyring: Keyring, *, founding: bool = False) -> None:
        """Raises Unfit; StoreUnreachable. `founding` writes down format and keyring for an empty database; data of
        a version that did not write them yet gets them when the keyring opens it. A current key that is new to the
        database is recorded before anything is wrapped by it.
        """
        await self._database.require_reachable()
        recorded, offered = await self._repository.recorded(), keyring.commitments()
        _refuse(format_fault(recorded.format))
        if recorded.commitments:
            _refuse(keyring_fault(recorded.commitments, offered))
            current = keyring.current_commitment
            new = [] if current in recorded.commitments else [current]
        elif await self._repository.has_data():
            await self._require_opening(keyring)
            new = list(offered)
        elif founding:
            new = list(offered)
        else:
            return
        for name in new:
            await self._repository.record_key(name, offered[name])
        if new:  # another process may have been faster, with another keyring
            _refuse(keyring_fault((await self._repository.recorded()).commitments, offered))
        if recorded.format is None:
            await self._repository.record_format(STORAGE_FORMAT)

    async def _require_opening(self, keyring: Keyring) -> None:
        """Nothing is recorded: the keyring proves itself on stored keys that it should have wrapped."""
        for document in await self._repository.outermost_keys():
            for item in document["versions"]:
                wrapped, context = bytes(item["wrapped"]), key_context(document["_id"], item["version"])
                try:
                    keyring.unwrap(wrapped, context=context)
                except UnknownKeyError as error:
                    _refuse(unopened_fault(error.key_id))
                except CiphertextError:
                    _refuse(unopened_fault())


def _refuse(fault: Fault | None) -> None:
    if fault is not None:
        raise Unfit(f"{fault.message} {fault.remedy}")
