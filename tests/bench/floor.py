"""`python -m tests.bench.floor`: what protection costs a request at least, ingredient by ingredient.

The servers of `bare.py` are taken apart in one process, without HTTP, over the same database: CPU microseconds of this
process for each ingredient of W1–W4. What the plaintext server doesn't need is the floor under every ratio to it: no
server in Python that opens the same ciphertexts and stores the same journal gets below it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bson
import orjson
from pymongo import AsyncMongoClient

from service.crypto import Keyring, open_section
from tests.bench import workloads
from tests.bench.bare import PLACES, Bare
from tests.bench.loader import CONNECTIONS
from tests.bench.sealing import CLASSES
from tests.bench.world import World, running_world

OUT = Path(__file__).with_name("floor.json")
CUSTOMERS = 2_000
RECORDS = 200


def _per_call(call: Callable[[], object], seconds: float = 0.5) -> float:
    """Microseconds of CPU of a call."""
    call()
    calls, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        call()
        calls += 1
    return (time.process_time() - began) * 1e6 / calls


async def _per_await(call: Callable[[int], Awaitable[object]], seconds: float = 1.0) -> float:
    """Microseconds of this process's CPU for each of many calls, as many at once as the loader has connections."""
    await asyncio.gather(*(call(index) for index in range(CONNECTIONS)))
    calls, began, until = CONNECTIONS, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        await asyncio.gather(*(call(calls + index) for index in range(CONNECTIONS)))
        calls += CONNECTIONS
    return (time.process_time() - began) * 1e6 / (calls - CONNECTIONS)


async def _measured(world: World) -> dict[str, dict[str, float]]:
    settings = world.settings
    assert settings.mongo_url is not None
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.mongo_url.get_secret_value(), maxPoolSize=64, tz_aware=True
    )
    try:
        bare = Bare(client[settings.database], world.file, Keyring.load(settings.keyring_path))
        sealed = await bare.customers.find({"owner": bare.owner}).sort("_id", -1).limit(RECORDS).to_list(None)
        plain = await bare.plain.find({"owner": bare.owner}).sort("_id", -1).limit(RECORDS).to_list(None)
        await bare._opened(sealed)
        return {
            "a record of a list, µs": _of_a_record(bare, sealed, plain),
            "a request, µs": await _of_a_request(bare, world),
        }
    finally:
        await client.close()


def _of_a_record(bare: Bare, sealed: list[dict[str, Any]], plain: list[dict[str, Any]]) -> dict[str, float]:
    batches = {name: bson.encode({"batch": batch}) for name, batch in (("sealed", sealed), ("plain", plain))}
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(tz_aware=True)

    def opened() -> list[bytes]:
        return [
            open_section(PLACES[name], bare.known[one["_id"]], one["_id"], one["sealed"][name])
            for one in sealed for name in CLASSES
        ]  # fmt: skip

    def nodes() -> list[dict[str, Any]]:
        return [bare._node(one) for one in sealed]

    plaintexts, answer = opened(), {"data": nodes()}
    open_all, whole = _per_call(opened), _per_call(nodes)
    parse_all = _per_call(lambda: [orjson.loads(one) for one in plaintexts])
    entry = _per_call(
        lambda: bson.encode(
            bare._entry(
                "record.read",
                [one["_id"] for one in sealed],
                {"details": {"shown": {one["_id"]: ["CONTACT"] for one in sealed}}},
            )
        )
    )
    costs = {
        "decode the plaintext document": _per_call(lambda: bson.decode(batches["plain"], options)),
        "encode the answer": _per_call(lambda: orjson.dumps(answer)),
        "decode the sealed document": _per_call(lambda: bson.decode(batches["sealed"], options)),
        "open three sections (AES-256-GCM, commitment)": open_all,
        "parse the three plaintexts": parse_all,
        "mask and put together": whole - open_all - parse_all,
        "its part of the journal entry": entry,
    }
    return {name: round(cost / RECORDS, 2) for name, cost in costs.items()}


async def _of_a_request(bare: Bare, world: World) -> dict[str, float]:
    ids = world.ids
    bodies = workloads.create_bodies(10 * len(ids), 20_000)
    values = [orjson.loads(body)["variables"]["input"] for body in bodies]

    async def find(of: Any, index: int) -> None:
        await of.find_one({"_id": ids[index % len(ids)], "owner": bare.owner})

    async def record(index: int) -> None:
        shown = {ids[index % len(ids)]: ["CONTACT"]}
        await bare.entries.commit(bare._entry("record.read", list(shown), {"details": {"shown": shown}}))

    async def insert_plain(index: int) -> None:
        await bare.plain.insert_one({**values[index % len(values)], "_id": f"{time.time_ns()}-{index}"})

    async def insert_sealed(index: int) -> None:
        await bare.stored(values[index % len(values)])

    return {
        "W1: find a plaintext customer": round(await _per_await(lambda index: find(bare.plain, index)), 1),
        "W1: find a sealed customer": round(await _per_await(lambda index: find(bare.customers, index)), 1),
        "W1: record the read, by group commit": round(await _per_await(record), 1),
        "W4: insert a plaintext customer": round(await _per_await(insert_plain), 1),
        "W4: seal a customer and wrap its key": round(
            _per_call(lambda: bare.sealer.sealed(values[0])), 1
        ),
        "W4: all of it, in one majority transaction": round(await _per_await(insert_sealed), 1),
    }  # fmt: skip


def main() -> int:
    """Prints and writes floor.json."""
    with (
        tempfile.TemporaryDirectory(prefix="anjuan-bench-") as directory,
        running_world(Path(directory), CUSTOMERS, "pymongo") as world,
    ):
        found = asyncio.run(_measured(world))
    for title, costs in found.items():
        sys.stdout.write(f"CPU of {title}\n")
        for name, cost in costs.items():
            sys.stdout.write(f"  {name:<50} {cost:8.2f}\n")
    OUT.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
