"""`make prove`: the whole proof on both engines; the last line is its result.

N questions, D differences, L of 10 planted leaks found
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from infra.local import LocalServers, Ports
from tests.fixtures.engines import running_elasticsearch
from tests.proof.asking import Findings
from tests.proof.leaks import LEAKS
from tests.proof.proving import Bench, prove_all, unanswered

ENGINES = ("embedded", "elasticsearch")


@contextmanager
def engine_url(engine: str) -> Iterator[tuple[str | None, str]]:
    """The address of an engine of this kind, None for the embedded one, and what it is."""
    if engine == "embedded":
        yield None, "embedded Tantivy"
        return
    with running_elasticsearch() as server:
        yield server.url, f"Elasticsearch ({server.kind} {server.version})"


def say(line: str) -> None:
    """To whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make prove")
    parser.add_argument("--share", type=float, default=1.0, help="share of the questions, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="which share")
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--viewer", action="append", default=[], help="somebody of tests/proof/viewers.py alone")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    total, found, silent = Findings(), len(LEAKS), set[str]()
    with (
        tempfile.TemporaryDirectory(prefix="anjuan-proof-", ignore_cleanup_errors=True) as directory,
        LocalServers(Path(directory) / "servers", ports=Ports.free()) as stores,
    ):
        for engine in given.engine or ENGINES:
            with engine_url(engine) as (url, words):
                say(words)
                folder = Path(directory) / engine
                folder.mkdir()
                bench = Bench(folder, stores.mongo_url, stores, url)
                try:
                    findings, leaks = prove_all(bench, say, given.share, given.seed, given.viewer)
                    if given.share >= 1 and not given.viewer:
                        silent |= set(unanswered(bench.walk, findings))
                finally:
                    bench.close()
                total.add(findings)
                found = min(found, leaks)
    for name in sorted(silent):
        say(f"nobody was ever answered: {name}")
    say(f"{total.asked} questions, {len(total.differences)} differences, {found} of {len(LEAKS)} planted leaks found")
    return 0 if not total.differences and found == len(LEAKS) else 1


if __name__ == "__main__":
    sys.exit(main())
