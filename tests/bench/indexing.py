"""How fast cases are indexed and found, in both engines.

The documents come from a generator: the demo's sentences, strewn anew over as many cases as are wanted. They go
through the engines' own port, as the indexer's do, with the product's own tokens; neither MongoDB nor HTTP nor
rights are in these figures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.demo.content import make_content
from search import port
from search.engines.elastic import ElasticIndex
from search.engines.embedded import EmbeddedIndex
from search.indexer import BATCH
from search.keyed import KeyedTokens
from search.port import IndexDocument, Question, SearchEngine, Sort
from search.query import parse
from search.service import FACETS
from service.crypto import BlindIndex
from tests.bench.loader import percentile
from tests.fixtures.engines import running_elasticsearch

GENERATION = "g000001"
HIDDEN = KeyedTokens(BlindIndex(lambda purpose: purpose.encode().ljust(32)))
_FROM, _DAYS = datetime(2024, 11, 1, 1, tzinfo=UTC), 730
_STATES = ("RAISED", "ASSIGNED", "IN_HANDLING", "CLOSED", "REVIEWED", "ARCHIVED")
_TEXTS = frozenset({port.TITLE, port.WITH_CUSTOMER, port.FROM_CUSTOMER, port.INTERNAL, port.SCAN})


@dataclass(frozen=True, slots=True)
class Texts:
    """Sentences by the field that they belong in."""

    titles: Sequence[tuple[str, str]]
    """Category and title."""
    descriptions: Sequence[str]
    measures: Sequence[str]
    spoken: Sequence[str]
    notes: Sequence[str]
    scans: Sequence[str]
    names: Sequence[str]


def demo_texts() -> Texts:
    """Everything that the demo's cases say, identifiers hidden as for any index."""
    content = make_content(scale=0.5)
    steps = [step for life in content.case_lives for step in life.steps]
    said: dict[str, list[str]] = {"Measure": [], "Communicate": [], "Note": [], "Feedback": []}
    for step in steps:
        if type(step).__name__ in said:
            said[type(step).__name__].append(HIDDEN.hide(str(getattr(step, "text", ""))))
    raised = [life.raised for life in content.case_lives]
    return Texts(
        titles=[(one.category, HIDDEN.hide(one.title)) for one in raised],
        descriptions=[HIDDEN.hide(one.description) for one in raised],
        measures=said["Measure"],
        spoken=said["Communicate"] + said["Feedback"],
        notes=said["Note"],
        scans=[HIDDEN.hide(scan.sheet.text) for scan in content.scans],
        names=[customer.name for customer in content.customers],
    )


def documents(texts: Texts, start: int, count: int) -> Iterator[IndexDocument]:
    """The cases `start` … `start + count - 1`, the same every time; one in fifteen has a scan."""
    for index in range(start, start + count):
        dice = random.Random(index)
        category, title = dice.choice(texts.titles)
        raised = _FROM + timedelta(minutes=dice.randrange(_DAYS * 1_440))
        department, owner = f"dep_{dice.randrange(4):026d}", f"usr_{dice.randrange(20):026d}"
        yield IndexDocument(
            id=f"cas_{index:026d}",
            kind="case",
            version=1,
            keywords={
                port.NUMBER: f"AJ-{index:08d}",
                port.STATE: dice.choice(_STATES),
                port.DEPARTMENT: department,
                port.CATEGORY: category,
                port.CUSTOMER: f"cus_{dice.randrange(10_000):026d}",
                port.ASSIGNEE: owner,
                port.MONTH: raised.strftime("%Y-%m"),
                port.OWNER: owner,
                port.AGENTS: [owner],
                port.DEPARTMENTS: [department],
            },
            dates={port.RAISED_AT: raised, port.UPDATED_AT: raised + timedelta(days=dice.randrange(30))},
            texts={
                port.TITLE: [title],
                port.FROM_CUSTOMER: [dice.choice(texts.descriptions), dice.choice(texts.spoken)],
                port.WITH_CUSTOMER: dice.sample(texts.measures, 2),
                port.INTERNAL: [dice.choice(texts.notes)],
                port.SCAN: [dice.choice(texts.scans)] if index % 15 == 0 else [],
                port.CUSTOMER_NAME: [dice.choice(texts.names)],
            },
        )


def questions(texts: Texts, count: int) -> Iterator[Question]:
    """As people ask: a few letters out of a sentence, in half of them a second word; a department's cases or all,
    facets, by relevance or newest first.
    """
    sentences = [text for text in (*texts.descriptions, *texts.measures) if len(text) > 12]
    for index in range(count):
        dice = random.Random(f"question {index}")
        words = [_letters(dice, dice.choice(sentences)) for _ in range(1 + index % 2)]
        reach = ((port.DEPARTMENTS, (f"dep_{dice.randrange(4):026d}",)),) if dice.random() < 0.7 else None
        yield Question(
            kind="case",
            reach=reach,
            keywords=parse(" ".join(words)),
            text_fields=_TEXTS,
            terms={port.STATE: (dice.choice(_STATES),)} if dice.random() < 0.3 else {},
            sort=Sort(port.RAISED_AT) if dice.random() < 0.3 else Sort(),
            first=21,
            facets=FACETS,
        )


def _letters(dice: random.Random, sentence: str) -> str:
    """Two to four Chinese letters that stand together."""
    runs = [run for run in "".join(c if "\u4e00" <= c <= "\u9fff" else " " for c in sentence).split() if len(run) > 3]
    run = dice.choice(runs or ["发货"])
    at = dice.randrange(max(1, len(run) - 3))
    return run[at : at + dice.randint(2, 4)]


async def _measured(engine: SearchEngine, texts: Texts, sizes: Sequence[int], asked: int) -> dict[str, Any]:
    found: dict[str, Any] = {"index": {}, "search": {}}
    await engine.create(GENERATION)
    await engine.promote(GENERATION)
    done = 0
    for size in sizes:
        made = list(documents(texts, done, size - done))
        began = time.perf_counter()
        for start in range(0, len(made), BATCH):
            await engine.upsert(GENERATION, made[start : start + BATCH])
        await engine.refresh(GENERATION)
        found["index"][f"documents_per_second_to_{size}"] = round(len(made) / (time.perf_counter() - began))
        done = size
        took, hits = [], 0
        for number, question in enumerate(questions(texts, asked + 20)):
            began = time.perf_counter()
            answer = await engine.search(question)
            if number >= 20:  # the first ones warm the engine up
                took.append((time.perf_counter() - began) * 1e3)
                hits += bool(answer.total)
        took.sort()
        found["search"][str(size)] = {
            "p50_ms": round(percentile(took, 50), 2),
            "p95_ms": round(percentile(took, 95), 2),
            "questions": asked,
            "with_hits": hits,
        }
    return found


def measure(directory: Path, sizes: Sequence[int], asked: int, say: Callable[[str], None]) -> dict[str, Any]:
    """`{"index": …, "search": …}` by engine."""
    texts = demo_texts()
    found: dict[str, Any] = {
        "documents": "from a generator: the demo's sentences strewn over cases",
        "index": {},
        "search": {},
        "engines": {},
    }

    async def run(name: str, make: Callable[[], SearchEngine]) -> None:
        engine = make()
        try:
            measured = await _measured(engine, texts, sizes, asked)
        finally:
            await engine.close()
        for part in ("index", "search"):
            found[part][name] = measured[part]
        say(f"  {name}: {measured['index']}")
        for size, latency in measured["search"].items():
            say(f"  {name}, {int(size):,} cases: {latency}")

    asyncio.run(run("embedded", lambda: EmbeddedIndex(directory / "index", writer=True)))
    found["engines"]["embedded"] = "tantivy, in process"
    with running_elasticsearch() as server:
        found["engines"]["elasticsearch"] = f"{server.kind} {server.version}".strip()
        if server.kind == "emulator":
            say("  elasticsearch: only an emulator here, which says nothing about speed; left out")
        else:
            asyncio.run(run("elasticsearch", lambda: ElasticIndex(server.url, prefix="bench")))
    return found
