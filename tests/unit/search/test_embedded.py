"""What only the embedded engine has: files, one writer, readers in other processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from search.engines.embedded import EmbeddedIndex
from search.port import EngineUnavailable, IndexDocument, Question, ReadOnly, UnknownGeneration, WriterTaken
from search.query import parse

pytestmark = pytest.mark.asyncio
TITLE = frozenset({"title"})


def case(number: int, version: int = 1, title: str = "投诉") -> IndexDocument:
    return IndexDocument(f"cas_{number}", "case", version, texts={"title": [title]})


async def total(index: EmbeddedIndex, typed: str = "投诉") -> int:
    return (await index.search(Question("case", None, parse(typed), TITLE, first=0))).total


async def opened(root: Path) -> EmbeddedIndex:
    index = EmbeddedIndex(root, writer=True, writer_memory=15_000_000)
    await index.create("g1")
    await index.promote("g1")
    return index


async def test_a_reader_sees_each_refresh_and_nothing_before_it(tmp_path: Path) -> None:
    writer, reader = await opened(tmp_path), EmbeddedIndex(tmp_path)
    seen = [await total(reader)]

    for number in range(3):
        await writer.upsert("g1", [case(number)])
        seen.append(await total(reader))
        await writer.refresh("g1")
        seen.append(await total(reader))

    assert seen == [0, 0, 1, 1, 2, 2, 3]


async def test_a_reader_follows_promotion_and_a_generation_made_anew(tmp_path: Path) -> None:
    writer, reader = await opened(tmp_path), EmbeddedIndex(tmp_path)
    await writer.upsert("g1", [case(1)])
    await writer.refresh("g1")
    before = await total(reader)
    await writer.create("g2")
    await writer.promote("g2")
    await writer.drop("g1")
    empty = await total(reader)
    await writer.create("g1")
    await writer.upsert("g1", [case(1), case(2)])
    await writer.refresh("g1")
    await writer.promote("g1")

    assert (before, empty, await total(reader)) == (1, 0, 2)


async def test_a_second_writer_gets_a_clear_error_and_a_later_one_goes_on(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.upsert("g1", [case(1)])
    await first.refresh("g1")

    with pytest.raises(WriterTaken, match="g1"):
        EmbeddedIndex(tmp_path, writer=True)
    await first.close()
    second = EmbeddedIndex(tmp_path, writer=True)
    await second.upsert("g1", [case(2)])
    await second.refresh("g1")

    assert await total(second) == 2
    await second.close()


async def test_a_killed_writer_leaves_what_it_refreshed_and_no_lock(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys\n"
        "from search.engines.embedded import EmbeddedIndex\n"
        "from search.port import IndexDocument\n"
        "async def main():\n"
        "    index = EmbeddedIndex(sys.argv[1], writer=True)\n"
        "    await index.create('g1'); await index.promote('g1')\n"
        "    await index.upsert('g1', [IndexDocument('cas_1', 'case', 7, texts={'title': ['投诉']})])\n"
        "    await index.refresh('g1')\n"
        "    await index.upsert('g1', [IndexDocument('cas_2', 'case', 1, texts={'title': ['投诉']})])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).resolve().parents[3]
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False, timeout=60
    )

    index = EmbeddedIndex(tmp_path, writer=True)
    await index.upsert("g1", [case(1, 6, "旧的"), case(3)])
    await index.refresh("g1")

    assert [pair async for pair in index.versions("g1")] == [("cas_1", 7), ("cas_3", 1)]
    await index.close()


async def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    writer, reader = await opened(tmp_path), EmbeddedIndex(tmp_path)

    for attempt in (
        reader.create("g2"),
        reader.promote("g1"),
        reader.drop("g2"),
        reader.upsert("g1", [case(1)]),
        reader.delete("g1", [("cas_1", 1)]),
    ):
        with pytest.raises(ReadOnly):
            await attempt

    assert await writer.generations() == ["g1"]
    assert await total(writer) == 0


async def test_an_index_that_is_not_there_yet_is_not_healthy_and_says_so(tmp_path: Path) -> None:
    reader = EmbeddedIndex(tmp_path / "nothing")

    assert (await reader.healthy(), await reader.current(), await reader.generations()) == (False, None, [])
    with pytest.raises(UnknownGeneration):
        await total(reader)


async def test_work_lost_by_a_failing_writer_is_told_at_the_next_refresh(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    await index.upsert("g1", [case(1)])
    generation = index._generation("g1")
    broken = generation._writer
    assert broken is not None

    class Full:
        def __getattr__(self, name: str) -> object:
            raise ValueError("no space left; 投诉")

    generation._writer = Full()  # type: ignore[assignment]  # a disk that is full can't be had
    with pytest.raises(EngineUnavailable) as first:
        await index.upsert("g1", [case(2)])
    del broken
    with pytest.raises(EngineUnavailable):
        await index.refresh("g1")
    await index.upsert("g1", [case(1), case(2)])
    await index.refresh("g1")

    assert "投诉" not in str(first.value)
    assert await total(index) == 2
    await index.close()


async def test_no_text_can_be_read_back_from_the_files(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    sentence = "the whole sentence as it was written 合同金额错误"
    await index.upsert("g1", [case(1, title=sentence)])
    await index.refresh("g1")
    await index.close()

    stored = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())

    assert b"cas_1" in stored
    assert sentence.encode() not in stored
    assert b"the whole sentence" not in stored
    assert "合同金额".encode() not in stored


async def test_searches_go_on_while_the_writer_commits(tmp_path: Path) -> None:
    writer, reader = await opened(tmp_path), EmbeddedIndex(tmp_path)
    done = asyncio.Event()
    seen: list[int] = []

    async def write() -> None:
        for number in range(40):
            await writer.upsert("g1", [case(at, number + 1) for at in range(20)])
            await writer.refresh("g1")
        done.set()

    async def read() -> None:
        while not done.is_set():
            seen.append(await total(reader))

    await asyncio.gather(write(), read(), read())

    assert set(seen) <= {0, 20}
    assert await total(reader) == 20
    await writer.close()
