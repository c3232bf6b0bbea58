"""A load of demo data that was cut short, before anybody could work with it: taken away, so that it can begin anew.

Only `anjuan up` loads in a state where nobody else can write: its API starts afterwards. It says so in the marker
(`alone`), and only where there was nobody and nothing before; so all that is there is the load's own.
"""

from __future__ import annotations

from typing import Any

from service.storage import ObjectTrouble, StoredObject
from service.system import System

MARKERS, MARKER = "meta", "demo"


async def remove_unfinished(system: System) -> bool:
    """Whether there was one. Its files in the bucket go too; none of them is locked yet."""
    marker = await system.database.collection(MARKERS).find_one({"_id": MARKER})
    if marker is None or marker["state"] != "LOADING" or not marker.get("alone"):
        return False
    async for document in system.database.collection("evidence").scan({}, projection={"object": 1}):
        await _delete(system, document.get("object"))
    await system.database.drop()
    return True


async def _delete(system: System, stored: dict[str, Any] | None) -> None:
    if stored:
        try:
            await system.objects.delete(StoredObject(stored["key"], stored["version_id"]))
        except ObjectTrouble:
            return  # ciphertext whose key goes with the database
