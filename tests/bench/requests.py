"""W1–W4 against the product and both bare servers, in turns, and what shows that the work was really done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.bench import loader, workloads
from tests.bench.loader import Load
from tests.bench.world import World

SERVERS = ("product", "plain", "protected")
NAMES = {"product": "the product", "plain": "bare, plaintext", "protected": "bare, sealed and recorded by hand"}
WARM_UP = 1.0
_CREATES_PER_SECOND = 4_000
"""More than any of the servers manages, so that no body is sent twice."""


class NotTheSameWork(Exception):
    """A server answered something else than was asked, so its rate would mean nothing."""


def measure(world: World, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Rates (requests/s), latencies (ms), bytes of one answer, and entries per answered read, by server."""
    loads: dict[str, dict[str, Load]] = {server: {} for server in SERVERS}
    sizes: dict[str, dict[str, int]] = {server: {} for server in SERVERS}
    processor: dict[str, dict[str, dict[str, float]]] = {server: {} for server in SERVERS}
    recorded: dict[str, dict[str, float]] = {}
    reserve = round(_CREATES_PER_SECOND * (seconds + WARM_UP))
    for workload in workloads.WORKLOADS:
        for place, server in enumerate(SERVERS):
            if workload == "W4":
                bodies = workloads.create_bodies(len(world.ids) + place * reserve, reserve)
            else:
                bodies = workloads.read_bodies(workload, world.ids)
            sizes[server][workload] = _checked(world, server, workload, bodies[0])
            load, used, stored = _load(world, server, workload, bodies[1:] or bodies, seconds)
            loads[server][workload] = load
            processor[server][workload] = used
            if server != "plain":
                recorded.setdefault(server, {})[workload] = round(stored / max(1, load.requests), 3)
            say(
                f"  {workload} {NAMES[server]:<34} {load.rate:8,.0f}/s   p50 {load.p50:7.2f} ms   "
                f"p99 {load.p99:7.2f} ms   {sizes[server][workload]:7,} bytes   {load.failed} failed   CPU {used}"
            )
    return {
        "ratios": _ratios(loads, "plain"),
        "ratios_protected": _ratios(loads, "protected"),
        "rates": {s: {w: round(load.rate, 1) for w, load in of.items()} for s, of in loads.items()},
        "latency_ms": {
            s: {w: {"p50": round(load.p50, 2), "p99": round(load.p99, 2)} for w, load in of.items()}
            for s, of in loads.items()
        },
        "failed": {s: {w: load.failed for w, load in of.items()} for s, of in loads.items()},
        "bytes": sizes,
        "stored_per_request": recorded,
        "processor_ms_per_request": processor,
    }


def processor_seconds(pid: int) -> float:
    """CPU time that a process has used so far, user and system (proc(5)); 0 where there is no /proc.

    What a request costs says more than a rate does when the machine is shared.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ratios(loads: dict[str, dict[str, Load]], other: str) -> dict[str, float | None]:
    """None where one of the two answered nothing in the time given."""
    found = {}
    for workload in workloads.WORKLOADS:
        ours, theirs = loads["product"][workload].rate, loads[other][workload].rate
        found[workload] = round(ours / theirs, 3) if ours and theirs else None
    return found


def _address(world: World, server: str, workload: str) -> str:
    return f"{world.company.url}/graphql" if server == "product" else f"{world.bare_url}/{server}/{workload}"


def _checked(world: World, server: str, workload: str, body: bytes) -> int:
    """Asks once; returns the answer's size. Raises NotTheSameWork."""
    if server == "plain" and workload in workloads.PAGE:
        httpx.get(f"{world.bare_url}/ready", params={"cursor": world.cursor_length})
    headers = {"content-type": "application/json", **(world.sign_in() if server == "product" else {})}
    answer = httpx.post(_address(world, server, workload), content=body, headers=headers, timeout=30)
    found: dict[str, Any] = orjson.loads(answer.content) if answer.status_code == 200 else {"errors": answer.text[:500]}
    if "errors" in found:
        raise NotTheSameWork(f"{NAMES[server]}, {workload}: {found['errors']}")
    data = found["data"]
    if workload == "W4":
        nodes: list[dict[str, Any]] = []
        if data["createCustomer"]["userErrors"]:
            raise NotTheSameWork(f"{NAMES[server]}, W4: {data['createCustomer']['userErrors']}")
    else:
        nodes = [data["customer"]] if workload == "W1" else data["customers"]["nodes"]
        if len(nodes) != workloads.PAGE.get(workload, 1):
            raise NotTheSameWork(f"{NAMES[server]}, {workload}: {len(nodes)} customers")
    if server == "product" and workload in workloads.PAGE:
        world.cursor_length = len(data["customers"]["pageInfo"]["endCursor"])
    for node in nodes:
        masked = "*" in node["dateOfBirth"] and all("*" in item["value"] for item in node["identityNumbers"])
        in_full = not any("*" in (one["name"] + one["phone"] + one["email"]) for one in node["contacts"])
        if len(node) != 14 or len(node["contacts"]) != 3 or not masked or not in_full:
            raise NotTheSameWork(f"{NAMES[server]}, {workload}: another customer than was asked for")
    return len(answer.content)


def _load(
    world: World, server: str, workload: str, bodies: list[bytes], seconds: float
) -> tuple[Load, dict[str, float], int]:
    """The load, CPU milliseconds per request, and how many entries of reads (W4: customers) were stored by it;
    the requests that were under way when it ended are stored but not counted.
    """
    address, shuffled = _address(world, server, workload), workload != "W4"
    early = round(len(bodies) * WARM_UP / (seconds + WARM_UP)) if workload == "W4" else 0
    headers = world.sign_in() if server == "product" else {}
    options: dict[str, Any] = {"shuffled": shuffled, "scratch": world.scratch}
    loader.run(address, bodies[:early] or bodies, headers, seconds=WARM_UP, **options)
    pids = {"server": world.pid("product" if server == "product" else "bare"), "mongod": world.pid("mongod")}
    counted = world.counts()
    before = {part: processor_seconds(pid) for part, pid in pids.items()}
    load = loader.run(address, bodies[early:], headers, seconds=seconds, **options)
    used = {part: (processor_seconds(pid) - before[part]) * 1e3 / max(1, load.requests) for part, pid in pids.items()}
    place = int(workload in workloads.READS)
    stored = world.counts()[place] - counted[place]
    return load, {part: round(milliseconds, 3) for part, milliseconds in used.items()}, stored
