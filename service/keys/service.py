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

from service.access.declared import Sensitivity
from service.clock import now
from service.crypto import Binding, CiphertextError, DataKey, KeyEncryption, KeyringError, open_section, seal
from service.keys.repository import KeyRepository
from service.keys.rules import CURRENT_LAYOUT, RecordForm, joined, revive
from service.storage import Database
from service.storage.epoch import Epoch

REMEMBERED_MOST = 10_000
log = structlog.get_logger(__name__)


class Keys:
    """Raises CiphertextError for whatever can't be opened, and KeyError for a key that no longer exists."""

    def __init__(self, database: Database, encryption: KeyEncryption, epoch: Epoch) -> None:
        self._repository = KeyRepository(database)
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

    def made(self, owner: str) -> tuple[DataKey, dict[str, Any]]:
        """An owner's first data key and its document; the key exists once the document is committed."""
        material = os.urandom(32)
        wrapped = self._encryption.wrap(material, context=key_context(owner, 1))
        document = {"_id": owner, "versions": [{"version": 1, "wrapped": Binary(wrapped), "created_at": now()}]}
        return DataKey(owner, 1, material), document

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
        for document in await self._repository.of_owners(missing):
            owner = document["_id"]
            missing.discard(owner)
            known[owner] = self._unwrapped(owner, document["versions"])
            (broken.discard if len(known[owner]) == len(document["versions"]) else broken.add)(owner)
        known.update({key: {} for key in missing})  # destroyed, or never made: nothing of an earlier epoch counts
        while len(known) > max(REMEMBERED_MOST, len(wanted)):
            known.popitem(last=False)

    def _unwrapped(self, owner: str, versions: Iterable[Mapping[str, Any]]) -> dict[int, DataKey]:
        found = {}
        for item in versions:
            version = item["version"]
            try:
                material = self._encryption.unwrap(bytes(item["wrapped"]), context=key_context(owner, version))
            except (CiphertextError, KeyringError) as error:
                log.error("a data key can't be unwrapped", owner=owner, version=version, trouble=type(error).__name__)
            else:
                found[version] = DataKey(owner, version, material)
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


def key_context(owner: str, version: int) -> bytes:
    """What a wrapped data key is bound to."""
    return f"data-key/{owner}/{version}".encode()


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
