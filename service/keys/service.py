"""Data keys by owner, unwrapped once per epoch; sealing and opening of sections.

Opening is synchronous and lazy, because masks decide field by field; therefore keys are loaded first, for a
whole list at once (`load`), in at most one round trip.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import structlog
from bson import Binary

from service.access.actor import Caller
from service.access.declared import Sensitivity
from service.clock import now
from service.crypto import Binding, CiphertextError, DataKey, KeyEncryption, WrappedItem, open_section, seal
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.keys.model import key_context
from service.keys.repository import KeyRepository
from service.keys.rules import CURRENT_LAYOUT, RecordForm, joined, revive
from service.storage import Database, UnitOfWork
from service.storage.epoch import Epoch

REMEMBERED_MOST = 10_000
log = structlog.get_logger(__name__)


class Keys:
    """Raises CiphertextError for whatever can't be opened, KeyError for a key that no longer exists, and KeyringError
    when an outside key service does not answer.
    """

    def __init__(self, database: Database, encryption: KeyEncryption, epoch: Epoch, journal: Journal) -> None:
        self._database = database
        self._repository = KeyRepository(database)
        self._journal = journal
        self._encryption = encryption
        self._known: OrderedDict[str, dict[int, DataKey]] = OrderedDict()
        self._former: Mapping[str, dict[int, DataKey]] = {}
        self._broken: set[str] = set()
        epoch.on_change(self._begin_anew)

    def _begin_anew(self) -> None:
        """A new epoch: what is asked for from now on is read again. Requests under way, which loaded their keys
        before, may finish with those; what they are still loading goes where they began, never into the new.
        """
        self._former, self._known, self._broken = self._known, OrderedDict(), set()

    async def made(self, owner: str) -> tuple[DataKey, dict[str, Any]]:
        """An owner's first data key and its document; the key exists once the document is committed."""
        key, version = await self._new_version(owner, 1)
        return key, {"_id": owner, "versions": [version]}

    async def _new_version(self, owner: str, number: int) -> tuple[DataKey, dict[str, Any]]:
        material = os.urandom(32)
        wrapped = await self._encryption.wrap(material, context=key_context(owner, number))
        return DataKey(owner, number, material), {"version": number, "wrapped": Binary(wrapped), "created_at": now()}

    async def rotate(self, caller: Caller, owner: str) -> int:
        """Makes a new version of an owner's data key, which everything is sealed under from then on; what the former
        ones sealed stays readable until it is sealed anew, by the next change of its record. Returns its number.

        Every process knows it by its next request: the epoch rises with it. Raises LookupError for an unknown owner.
        """
        while True:
            found = await self._repository.of_owners([owner])
            if not found:
                raise LookupError(f"{owner} has no data key")
            number = 1 + max(int(item["version"]) for item in found[0]["versions"])
            _, version = await self._new_version(owner, number)

            async def work(unit: UnitOfWork, version: dict[str, Any] = version) -> bool:
                if not await self._repository.add_version(unit, owner, version):
                    return False
                await Epoch.raise_in(unit)
                touched = Touched(owner, None, None)
                details = {"version": version["version"]}
                await self._journal.append(unit, caller, Work("key.rotate", (touched,), details=details))
                return True

            if await self._database.transact(work):
                return number

    async def destroy(self, caller: Caller, unit: UnitOfWork, owner: str) -> None:
        """Destroys an owner's data key, all versions, within `unit`, and writes the unit's journal entry.

        What was sealed under it (records, their former states, copies in backups made without the key) can't be
        opened any more. The epoch rises with it, so that no process still remembers the key when it gives its next
        answer. Raises LookupError for an owner without a key.
        """
        if not await self._repository.delete(unit, owner):
            raise LookupError(f"{owner} has no data key")
        await Epoch.raise_in(unit)
        await self._journal.append(unit, caller, Work("key.destroy", (Touched(owner, None, None),)))

    async def load(self, owners: Iterable[str]) -> None:
        """Makes the keys of these owners ready for opening.

        A key that can't be unwrapped is like a missing one: what is sealed under it can't be opened, and nothing else
        suffers. It is tried again by whoever asks next.
        """
        known, broken, wanted = self._known, self._broken, set(owners)
        # Never a walk over all that is known.
        missing = {owner for owner in wanted if owner not in known or owner in broken}
        if not missing:
            return
        for owner in wanted - missing:  # or what is asked for now would be the first to be forgotten below
            known.move_to_end(owner)
        documents = await self._repository.of_owners(missing)
        for owner, versions in (await self._unwrapped(documents)).items():
            missing.discard(owner)
            known[owner] = {version: key for version, key in versions.items() if key is not None}
            (broken.discard if len(known[owner]) == len(versions) else broken.add)(owner)
        known.update({key: {} for key in missing})  # destroyed, or never made: nothing of an earlier epoch counts
        while len(known) > max(REMEMBERED_MOST, len(wanted)):
            known.popitem(last=False)

    async def _unwrapped(self, documents: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, DataKey | None]]:
        """The versions of each owner; None for one that can't be unwrapped."""
        found: dict[str, dict[int, DataKey | None]] = {document["_id"]: {} for document in documents}
        named = [
            (document["_id"], item["version"], item["wrapped"])
            for document in documents
            for item in document["versions"]
        ]
        items = [WrappedItem(bytes(wrapped), key_context(owner, version)) for owner, version, wrapped in named]
        for (owner, version, _), material in zip(named, await self._encryption.unwrap_all(items), strict=True):
            if isinstance(material, CiphertextError):
                log.error("a data key can't be unwrapped", owner=owner, version=version, trouble=str(material))
                found[owner][version] = None
            else:
                found[owner][version] = DataKey(owner, version, material)
        return found

    def remember(self, key: DataKey) -> None:
        """A key that was just created and committed needs no reading."""
        self._known[key.owner_id] = {key.version: key}
        if len(self._known) > REMEMBERED_MOST:
            self._known.popitem(last=False)

    def current(self, owner: str) -> DataKey:
        """The newest loaded key of an owner. Raises KeyError."""
        versions = self.versions(owner)
        if not versions:
            raise KeyError(owner)
        return versions[max(versions)]

    def versions(self, owner: str) -> Mapping[int, DataKey]:
        """All loaded keys of an owner; empty when they were destroyed."""
        found = self._known.get(owner)
        return found if found is not None else self._former.get(owner, {})


def seal_sections(
    form: RecordForm, key: DataKey, record: str, sections: Mapping[Sensitivity, Mapping[str, Any]]
) -> dict[str, Binary]:
    """One ciphertext per class; an empty section is left out."""
    return {
        sensitivity.value: Binary(
            seal(
                key,
                Binding(form.collection, record, sensitivity.value, form.shape.sections[sensitivity]),
                CURRENT_LAYOUT,
                orjson.dumps(section),
            )
        )
        for sensitivity, section in sections.items()
        if section
    }


class SealedRecord:
    """A stored document whose sections are opened when asked for, once each."""

    __slots__ = ("_form", "_keys", "_sections", "document", "id")

    def __init__(self, form: RecordForm, document: Mapping[str, Any], keys: Mapping[int, DataKey]) -> None:
        self.document = document
        self.id: str = document["_id"]
        self._form = form
        self._keys = keys
        self._sections: dict[Sensitivity, Mapping[str, Any]] = {}

    def section(self, sensitivity: Sensitivity) -> Mapping[str, Any]:
        """The section's values. Raises CiphertextError when it can't be opened."""
        found = self._sections.get(sensitivity)
        if found is None:
            sealed = (self.document.get("sealed") or _NOTHING).get(sensitivity._value_)
            if sealed:
                opened = open_section(self._form.places[sensitivity], self._keys, self.id, sealed)
                found = orjson.loads(opened)
                moments = self._form.moments[sensitivity]
                if moments:
                    revive(moments, found)
            else:
                found = _NOTHING
            self._sections[sensitivity] = found
        return found

    def values(self) -> dict[str, Any]:
        """Everything in the record, for services that change it or index it; never for an answer."""
        sections = {Sensitivity(name): self.section(Sensitivity(name)) for name in self.document.get("sealed") or {}}
        return joined(self._form.shape, self.document, sections)


_NOTHING: Mapping[str, Any] = {}
