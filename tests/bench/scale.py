"""`python -m tests.bench.scale`: W1–W3 at 10,000, 100,000 and a million customers; writes tests/bench/scale.json.

Lists and reads go by an index and a page, so their time must not grow with what is stored: the ratio of p95 at the
largest size to p95 at the smallest is printed. The loader is the bench's own: what it stores is what the product
stores, sealed and with blind tokens, but there are no journal entries, and customers beyond the 360,000th carry no
claim to their identity number (the invented numbers begin anew there).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from service.crypto import Keyring
from tests.bench import loader, workloads
from tests.bench.sealing import File, Sealer
from tests.bench.world import World, running_world

LATEST = Path(__file__).with_name("scale.json")
SIZES = (10_000, 100_000, 1_000_000)
NUMBERED = 360_000
AT_ONCE = 1_000
SAMPLE = 10_000
"""How many customers are asked for, one at a time: as many at each size, so that sizes differ in nothing else."""
SETTLING = 62.0
"""Seconds after a filling: MongoDB writes a checkpoint each minute, which is no part of what is measured."""


def fill(url: str, database: str, keyring: str, file: File, start: int, count: int) -> list[str]:
    """Stores `count` customers from the `start`-th on; returns the ids of some of them."""
    sealer, sample = Sealer(Keyring.load(Path(keyring)), file), list[str]()
    with MongoClient[dict[str, Any]](url) as client:
        store = client[database]
        for first in range(start, start + count, AT_ONCE):
            pairs = []
            for index in range(first, min(first + AT_ONCE, start + count)):
                key, document = sealer.sealed(workloads.person(index % NUMBERED))
                if index >= NUMBERED:
                    document.pop("unique")
                pairs.append((key, document))
            store["keys"].insert_many([key for key, _ in pairs], ordered=False)
            store["customers"].insert_many([document for _, document in pairs], ordered=False)
            sample += [document["_id"] for _, document in pairs[::25]]
    return sample


def grow(world: World, file: File, start: int, size: int) -> list[str]:
    """From `start` customers to `size`, by two processes."""
    assert world.settings.mongo_url is not None
    url, share = world.settings.mongo_url.get_secret_value(), 20_000
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(
                fill, url, world.settings.database, str(world.settings.keyring_path), file, at, min(share, size - at)
            )
            for at in range(start, size, share)
        ]
        return [one for part in parts for one in part.result()]


def measure(world: World, ids: list[str], seconds: float) -> dict[str, dict[str, float]]:
    """Rate, p50 and p95 (ms) of each read, by an own loader at four connections: latency, not saturation."""
    found = {}
    for workload in workloads.READS:
        bodies = workloads.read_bodies(workload, ids)
        loader.latencies(f"{world.company.url}/graphql", bodies, world.sign_in(), seconds=2.0)
        took = loader.latencies(f"{world.company.url}/graphql", bodies, world.sign_in(), seconds=seconds)
        found[workload] = {
            "requests": len(took),
            "p50": round(loader.percentile(took, 50) * 1e3, 2),
            "p95": round(loader.percentile(took, 95) * 1e3, 2),
        }
    return found


def say(line: str) -> None:
    """Prints at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Fills, measures, fills on."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=LATEST)
    options = parser.parse_args()
    sizes = sorted(options.sizes)
    result: dict[str, Any] = {"processors": os.cpu_count(), "load_average_before": os.getloadavg()[0], "sizes": {}}
    with (
        tempfile.TemporaryDirectory(prefix="anjuan-scale-") as directory,
        running_world(Path(directory), sizes[0], "pymongo") as world,
    ):
        ids, stored = list(world.ids), sizes[0]
        for size in sizes:
            if size > stored:
                began = time.perf_counter()
                ids += grow(world, world.file, stored, size)
                say(
                    f"Filled to {size:,}: {(size - stored) / (time.perf_counter() - began):,.0f} customers/s",
                )
                stored = size
                time.sleep(SETTLING)
            random.Random(4_711).shuffle(ids)
            result["sizes"][str(size)] = found = measure(world, ids[:SAMPLE], options.seconds)
            say(
                f"{size:>9,}  " + "   ".join(f"{w} p50 {f['p50']} ms p95 {f['p95']} ms" for w, f in found.items()),
            )
        httpx.get(f"{world.company.url}/healthz").raise_for_status()
    first, last = result["sizes"][str(sizes[0])], result["sizes"][str(sizes[-1])]
    result["p95_ratio"] = {w: round(last[w]["p95"] / first[w]["p95"], 2) for w in workloads.READS}
    say(f"p95 at {sizes[-1]:,} to p95 at {sizes[0]:,}: {result['p95_ratio']}")
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
