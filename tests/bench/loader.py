"""What sends the requests: wrk where it is installed, else an asyncio loader of our own; the result says which.

Our own loader shares its Python process's speed with nobody, but is slower than wrk: rates above some 4,000/s are
then the loader's rather than the server's.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 16
PATIENCE = 60
"""Seconds after which wrk calls a request failed and leaves its latency out; its own 2 would flatter slow answers."""
_SCRIPT = """
local lines, headers, at = {}, {}, 0
for line in io.lines("%(bodies)s") do lines[#lines + 1] = line end
for line in io.lines("%(headers)s") do
  local name, value = line:match("^(.-): (.*)$")
  headers[name] = value
end
local made = {}
function init(args)
  math.randomseed(4711)
  for i = 1, #lines do made[i] = wrk.format("POST", nil, headers, lines[i]) end
  lines = nil
end
if %(random)s then
  request = function() return made[math.random(#made)] end
else
  request = function() at = at %% #made + 1; return made[at] end
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests": %%d, "seconds": %%.6f, "p50": %%.3f, "p99": %%.3f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run measured: requests answered, rate per second, latencies in milliseconds, failed requests."""

    requests: int
    rate: float
    p50: float
    p99: float
    failed: int


def name() -> str:
    """Which loader runs here."""
    if shutil.which("wrk") is None:
        return "own asyncio loader (wrk is not installed)"
    shown = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return shown.split(" [")[0].strip() or "wrk"


def run(
    url: str,
    bodies: Sequence[bytes],
    headers: Mapping[str, str],
    *,
    seconds: float,
    shuffled: bool,
    scratch: Path,
    connections: int = CONNECTIONS,
) -> Load:
    """POSTs the bodies over so many connections: at random, or one after the other (then again from the first)."""
    headers = {"content-type": "application/json", **headers}
    if shutil.which("wrk"):
        return _wrk(url, bodies, headers, seconds, shuffled, scratch, connections)
    return asyncio.run(_own(url, bodies, headers, seconds, shuffled, connections))


def _wrk(
    url: str,
    bodies: Sequence[bytes],
    headers: Mapping[str, str],
    seconds: float,
    shuffled: bool,
    scratch: Path,
    connections: int,
) -> Load:
    (scratch / "bodies").write_bytes(b"\n".join(bodies) + b"\n")
    (scratch / "headers").write_text("".join(f"{key}: {value}\n" for key, value in headers.items()), "ascii")
    (scratch / "headers").chmod(0o600)
    parts = {
        "bodies": scratch / "bodies",
        "headers": scratch / "headers",
        "random": "true" if shuffled else "false",
    }
    (scratch / "script.lua").write_text(_SCRIPT % parts, "ascii")
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{round(seconds)}s",
        "--timeout",
        f"{PATIENCE}s",
        "-s",
        str(scratch / "script.lua"),
        url,
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(shown.rpartition("RESULT ")[2])
    return Load(
        found["requests"], found["requests"] / found["seconds"], found["p50"], found["p99"], int(found["failed"])
    )


def latencies(
    url: str, bodies: Sequence[bytes], headers: Mapping[str, str], *, seconds: float, connections: int = 4
) -> list[float]:
    """Seconds that each request took, sorted, from an own loader with few connections."""
    headers = {"content-type": "application/json", **headers}
    return asyncio.run(_timed(url, bodies, headers, seconds, True, connections))[0]


async def _own(
    url: str, bodies: Sequence[bytes], headers: Mapping[str, str], seconds: float, shuffled: bool, connections: int
) -> Load:
    began = time.perf_counter()
    took, failed = await _timed(url, bodies, headers, seconds, shuffled, connections)
    rate = len(took) / (time.perf_counter() - began)
    return Load(len(took), rate, percentile(took, 50) * 1e3, percentile(took, 99) * 1e3, failed)


async def _timed(
    url: str, bodies: Sequence[bytes], headers: Mapping[str, str], seconds: float, shuffled: bool, connections: int
) -> tuple[list[float], int]:
    """Sorted times of the requests, and how many failed."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
    head += "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    dice, took, failed, sent = random.Random(4_711), list[float](), 0, 0
    ends = time.perf_counter() + seconds

    async def connection() -> None:
        nonlocal failed, sent
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (began := time.perf_counter()) < ends:
            writer.write(dice.choice(requests) if shuffled else requests[sent % len(requests)])
            sent += 1
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, _, length = answer.partition(b"content-length: ")
            await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
            took.append(time.perf_counter() - began)
            failed += not answer.startswith(b"http/1.1 200")
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return sorted(took), failed


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] if ordered else 0.0
