"""`python -m tests.bench`: prints rates, latencies and ratios; writes tests/bench/latest.json.

Performance is never asserted here; that the measured work was really done is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.bench import bombs, indexing, loader, requests, uploads, workloads
from tests.bench.world import World, running_world

LATEST = Path(__file__).with_name("latest.json")
PACKAGES = ("starlette", "uvicorn", "uvloop", "httptools", "pymongo", "motor", "orjson", "cryptography",
            "strawberry-graphql", "graphql-core", "tantivy", "elasticsearch", "minio")  # fmt: skip


def main() -> int:
    """Runs everything once."""
    options = _options()
    seconds = options.seconds or (2.0 if options.quick else 10.0)
    customers = options.customers or (2_000 if options.quick else 10_000)
    result: dict[str, Any] = {"loader": loader.name(), "machine": _machine()}
    _say(f"Loader: {result['loader']}, {loader.CONNECTIONS} connections, {seconds:g} s a run")
    _say(f"Load average when it began: {result['machine']['load_average_before']}")
    with tempfile.TemporaryDirectory(prefix="anjuan-bench-") as directory:
        _say(f"Filling {customers:,} customers by the bulk loader (stored as the product stores them, no journal) …")
        with running_world(Path(directory), customers, options.driver) as world:
            _say(f"  {customers / world.fill_seconds:,.0f} customers/s")
            result |= {
                "driver": options.driver,
                "customers": customers,
                "filled_by": "bulk loader, without journal entries",
                "seconds_per_run": seconds,
            }
            result["fill_per_second"] = round(customers / world.fill_seconds, 1)
            result |= requests.measure(world, seconds, _say)
            result["versions"] = _versions(world)
            _write(result, options)  # what was measured is kept, whatever happens to the rest
            _say("Sending documents that are made to be expensive …")
            result["bombs"] = bombs.measure(world, _say)
            _say("Uploading 32 MiB through the API, and by a plain S3 PUT …")
            result["upload"] = uploads.measure(world, 2 if options.quick else 3)
            _say(f"  {result['upload']}")
        sizes, asked = ((2_000, 5_000), 100) if options.quick else ((10_000, 50_000), 300)
        _say("Indexing cases (documents come from a generator) and searching …")
        found = indexing.measure(Path(directory), sizes, asked, _say)
        result["index"] = {"documents": found["documents"], "engines": found["engines"], **found["index"]}
        result["search"] = found["search"]
    result["machine"]["load_average_after"] = [round(value, 2) for value in os.getloadavg()]
    _print(result)
    _write(result, options)
    return 0


def _write(result: dict[str, Any], options: argparse.Namespace) -> None:
    out = options.out or (None if options.quick else LATEST)
    if out is not None:
        out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
        _say(f"Written: {out.name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs on little data; writes only where --out says")
    parser.add_argument("--driver", choices=("pymongo", "motor"), default="pymongo", help="the product's driver")
    parser.add_argument("--seconds", type=float, help="length of one run")
    parser.add_argument("--customers", type=int, help="how many customers")
    parser.add_argument("--out", type=Path, help="where to write; tests/bench/latest.json by default")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    return {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
    }


def _versions(world: World) -> dict[str, str]:
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **world.versions, **found}


def _print(result: dict[str, Any]) -> None:
    _say("")
    _say("                product/s   bare/s   ratio   bare protected/s   ratio")
    for name in workloads.WORKLOADS:
        product, plain, protected = (result["rates"][server][name] for server in requests.SERVERS)
        _say(
            f"  {name}         {product:10,.0f} {plain:8,.0f}  {_shown(result['ratios'][name])}"
            f"         {protected:10,.0f}  {_shown(result['ratios_protected'][name])}   {workloads.MEANING[name]}"
        )
    _say(
        f"Load average at the end: {result['machine']['load_average_after']} on {result['machine']['processors']} cores"
    )


def _shown(ratio: float | None) -> str:
    return f"{ratio:6.3f}" if ratio is not None else "     –"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
