"""`python -m tests.bench.soak --seconds 600`: reads of all sizes over 64 connections; does memory stay flat?

Prints and writes (tests/bench/soak.json) the resident memory of the API every ten seconds, the rate of each slice, and
the file descriptors at the beginning and the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import loader, workloads
from tests.bench.world import running_world

CONNECTIONS = 64
SLICE = 10.0
LATEST = Path(__file__).with_name("soak.json")


def resident(pid: int) -> float:
    """Megabytes (10^6 bytes) of resident memory (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def descriptors(pid: int) -> int:
    """Open files and sockets."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def main() -> int:
    """Loads the product, slice by slice."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--out", type=Path, default=LATEST)
    options = parser.parse_args()
    slices: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="anjuan-soak-") as directory,
        running_world(Path(directory), 5_000, "pymongo") as world,
    ):
        pid, url = world.pid("product"), f"{world.company.url}/graphql"
        bodies = [*workloads.read_bodies("W1", world.ids), *workloads.read_bodies("W2", world.ids) * 50]
        before, ends = descriptors(pid), time.monotonic() + options.seconds
        while time.monotonic() < ends:
            load = loader.run(
                url,
                bodies,
                world.sign_in(),
                seconds=SLICE,
                shuffled=True,
                scratch=world.scratch,
                connections=CONNECTIONS,
            )
            slices.append({"rate": round(load.rate, 1), "failed": load.failed, "resident_mb": resident(pid)})
            sys.stdout.write(f"{len(slices) * SLICE:6.0f} s  {slices[-1]}\n")
            sys.stdout.flush()
        after = descriptors(pid)
    memory = [one["resident_mb"] for one in slices]
    half = len(memory) // 2
    result = {
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "requests_failed": sum(one["failed"] for one in slices),
        "resident_mb": {"first": memory[0], "half": memory[half], "last": memory[-1], "most": max(memory)},
        "descriptors": {"before": before, "after": after},
        "slices": slices,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    sys.stdout.write(f"{ {key: value for key, value in result.items() if key != 'slices'} }\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
