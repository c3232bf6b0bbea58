"""`python -m tests.bench.table`: puts the figures of latest.json, motor.json, floor.json, soak.json and scale.json into the
README.

`tests/unit/test_readme.py` holds the README to them, so that no figure stands there which no run gave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.workloads import MEANING, WORKLOADS

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
TITLES = {"embedded": "Embedded index", "elasticsearch": "Elasticsearch"}
BEGIN, END = "<!-- figures: made by tests/bench/table.py -->", "<!-- end of figures -->"


def figures() -> str:
    """The README's section, from the files of the last runs."""
    latest = json.loads((HERE / "latest.json").read_text("utf-8"))
    parts = [_rates(latest), _others(latest)]
    for name, section in (("motor", _other_driver), ("floor", _floor), ("soak", _soak), ("scale", _scale)):
        run = HERE / f"{name}.json"
        if run.exists():
            parts.append(section(json.loads(run.read_text("utf-8"))))
    return "\n\n".join(parts)


def _rates(latest: Mapping[str, Any]) -> str:
    machine = latest["machine"]
    load = ", ".join(f"{value}" for value in machine["load_average_before"])
    told = (
        f"Loader {latest['loader']}, 16 connections, {latest['customers']:,} customers, {latest['driver']}, "
        f"{machine['processors']} cores ({machine['architecture']}), load average {load} when it began."
    )
    rows = [
        told,
        "",
        "| workload | product/s | p50 ms | p99 ms | bare, plaintext /s | ratio | bare, by hand /s | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rates, latency = latest["rates"], latest["latency_ms"]["product"]
    rows += [
        f"| {name}: {MEANING[name]} | {rates['product'][name]:,.0f} | {latency[name]['p50']} | {latency[name]['p99']} "
        f"| {rates['plain'][name]:,.0f} | {_ratio(latest['ratios'][name])} "
        f"| {rates['protected'][name]:,.0f} | {_ratio(latest['ratios_protected'][name])} |"
        for name in WORKLOADS
    ]
    return "\n".join(rows)


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _others(latest: Mapping[str, Any]) -> str:
    upload, rows = latest["upload"], []
    rows.append(
        f"- Upload of 32 MiB: {upload['product_mb_per_second']} MB/s, a plain S3 PUT {upload['plain_s3_put_mb_per_second']} "
        f"MB/s (ratio {upload['ratio']:.2f})."
    )
    for engine, name in latest["index"]["engines"].items():
        indexed, searched = latest["index"][engine], latest["search"][engine]
        sizes = "; ".join(
            f"at {int(size):,} cases p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms"
            for size, found in searched.items()
        )
        rate = max(value for key, value in indexed.items() if key.startswith("documents_per_second"))
        rows.append(f"- {TITLES[engine]} ({name}): {rate:,} cases/s into the index; a search {sizes}.")
    bombs = latest.get("bombs")
    if bombs:
        rows.append(
            f"- {len(bombs['cpu_ms'])} documents made to be expensive: the worst takes {max(bombs['cpu_ms'].values())} ms of "
            f"CPU ({bombs['worst']}); `/healthz` answers meanwhile within {bombs['healthz_p99_ms']} ms (p99)."
        )
    return "\n".join(rows)


def _other_driver(run: Mapping[str, Any]) -> str:
    rates, protected = run["rates"]["product"], run["ratios_protected"]
    told = ", ".join(f"{name} {rates[name]:,.0f}/s ({_ratio(protected[name])} of by hand)" for name in WORKLOADS)
    return f"The same through the other driver, {run['driver']}, in a run of its own: {told}."


def _floor(floor: Mapping[str, Any]) -> str:
    record, request = floor["a record of a list, µs"], floor["a request, µs"]
    decode, encode, *protection = record.values()
    least = decode + encode, encode + sum(protection)
    rows = [
        "What the floor is made of (`python -m tests.bench.floor`: processor time of each ingredient, without HTTP). A record",
        f"of a list costs the plaintext server {least[0]:.1f} µs, and whoever opens it {least[1]:.1f} µs: a list of any",
        f"server in Python that opens these ciphertexts comes to about {least[0] / least[1]:.2f} of plaintext, HTTP left out.",
        "",
        "| ingredient | µs |",
        "| --- | ---: |",
    ]
    rows += [f"| a record of a list: {name} | {cost:.1f} |" for name, cost in record.items()]
    rows += [f"| {name} | {cost:.0f} |" for name, cost in request.items()]
    return "\n".join(rows)


def _soak(soak: Mapping[str, Any]) -> str:
    memory = soak["resident_mb"]
    return (
        f"Soak: {soak['seconds']:.0f} s at {soak['connections']} connections, {soak['requests_failed']} requests failed; "
        f"resident memory {memory['first']} MB at first, {memory['half']} MB half-way, {memory['last']} MB at last."
    )


def _scale(scale: Mapping[str, Any]) -> str:
    rows = ["| customers stored | W1 p50 / p95 ms | W2 | W3 |", "| ---: | ---: | ---: | ---: |"]
    for size, found in scale["sizes"].items():
        cells = " | ".join(f"{found[name]['p50']} / {found[name]['p95']}" for name in ("W1", "W2", "W3"))
        rows.append(f"| {int(size):,} | {cells} |")
    ratios = ", ".join(f"{name} {value}" for name, value in scale["p95_ratio"].items())
    return "\n".join([*rows, "", f"p95 at the largest size to p95 at the smallest: {ratios}."])


def between(text: str) -> str:
    """What stands in the README now."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def main() -> int:
    """Writes the section anew."""
    text = README.read_text("utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{figures()}\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
