"""Documents made to be expensive, sent to the product: CPU time of each, and `/healthz` meanwhile (P1)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.bench import workloads
from tests.bench.loader import percentile
from tests.bench.requests import processor_seconds
from tests.bench.world import World
from tests.fixtures.bombs import BOMBS

REPEATS = 20


def measure(world: World, say: Callable[[str], None]) -> dict[str, Any]:
    """CPU milliseconds of a first sending (parsed, checked, refused) by bomb; p99 of `/healthz` in milliseconds."""
    headers = {**world.sign_in(), "content-type": "application/json"}
    found: dict[str, float] = {}
    waits: list[float] = []
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(world.company.url, waits, over))
    watcher.start()
    with httpx.Client(timeout=60) as client:
        for name, make in BOMBS.items():
            began = processor_seconds(world.pid("product"))
            for number in range(REPEATS):  # another comment each time: nothing is remembered
                body = workloads.body(f"{make()}\n#{number}"[:16_384], {})
                client.post(f"{world.company.url}/graphql", content=body, headers=headers)
            found[name] = round((processor_seconds(world.pid("product")) - began) * 1e3 / REPEATS, 1)
    over.set()
    watcher.join()
    worst = max(found, key=lambda name: found[name])
    health = round(percentile(sorted(waits), 99) * 1e3, 1)
    say(f"  {len(found)} bombs: the worst takes {found[worst]} ms of CPU ({worst}); /healthz p99 meanwhile {health} ms")
    return {"cpu_ms": found, "worst": worst, "healthz_p99_ms": health, "healthz_asked": len(waits)}


def _watch(url: str, waits: list[float], over: threading.Event) -> None:
    with httpx.Client(timeout=60) as client:
        while not over.is_set():
            began = time.perf_counter()
            client.get(f"{url}/healthz")
            waits.append(time.perf_counter() - began)
            time.sleep(0.01)
