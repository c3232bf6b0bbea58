"""Tantivy inside the process: one directory per generation, the current one named in a file.

    ROOT/CURRENT               the current generation's name, replaced atomically
    ROOT/generations/NAME/     a Tantivy index

One process writes (Tantivy's own lock, let go by the system when it dies); any number read, and notice a
commit by a stat of `meta.json` before each search.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import tantivy

from search.engines.embedded_queries import (
    ID,
    VERSION,
    QueryBuilder,
    document,
    register,
    schema,
)
from search.engines.embedded_search import Search, all_by_id
from search.port import (
    GENERATION,
    Answer,
    EngineUnavailable,
    IndexDocument,
    Question,
    ReadOnly,
    UnknownGeneration,
    WriterTaken,
)

_LISTED_AT_ONCE = 1_000


class EmbeddedIndex:
    """The embedded engine (see `search.port.SearchEngine`). Blocking work runs in threads.

    `writer_memory`: bytes that the writer of a generation may use before it makes a segment (≥ 15 MB).
    Raises WriterTaken if `writer` is asked for and another process writes already.
    """

    def __init__(self, root: Path | str, *, writer: bool = False, writer_memory: int = 64_000_000) -> None:
        self._root = Path(root)
        self._writes = writer
        self._writer_memory = writer_memory
        self._open: dict[str, _Generation] = {}
        self._lock = threading.Lock()
        if writer:
            (self._root / "generations").mkdir(parents=True, exist_ok=True, mode=0o700)
            for leftover in (self._root / "generations").glob("*.dropped"):
                shutil.rmtree(leftover)
            for name in self._names():
                self._generation(name).start_writing()

    async def create(self, generation: str) -> None:
        """See the port."""
        await asyncio.to_thread(self._create, generation)

    async def generations(self) -> list[str]:
        """See the port."""
        return await asyncio.to_thread(self._names)

    async def current(self) -> str | None:
        """See the port."""
        return await asyncio.to_thread(self._current)

    async def promote(self, generation: str) -> None:
        """See the port."""
        await asyncio.to_thread(self._promote, generation)

    async def drop(self, generation: str) -> None:
        """See the port. Searches that run on it come to their end."""
        await asyncio.to_thread(self._drop, generation)

    async def upsert(self, generation: str, documents: Sequence[IndexDocument]) -> None:
        """See the port."""
        await asyncio.to_thread(lambda: self._writable(generation).upsert(documents))

    async def delete(self, generation: str, versions: Sequence[tuple[str, int]]) -> None:
        """See the port."""
        await asyncio.to_thread(lambda: self._writable(generation).delete(versions))

    async def refresh(self, generation: str) -> None:
        """See the port. A reader has nothing to do here: it looks before each search."""
        await asyncio.to_thread(lambda: self._generation(generation).commit())

    async def search(self, question: Question) -> Answer:
        """See the port."""
        return await asyncio.to_thread(self._search, question)

    async def versions(self, generation: str) -> AsyncIterator[tuple[str, int]]:
        """See the port; one state of the index, even if it changes meanwhile."""
        searcher = await asyncio.to_thread(lambda: self._generation(generation).searcher())
        found = await asyncio.to_thread(all_by_id, searcher)
        for start in range(0, len(found), _LISTED_AT_ONCE):
            chunk = found[start : start + _LISTED_AT_ONCE]
            versions = searcher.fast_field_values(VERSION, [address for _, address in chunk])
            for (name, _), version in zip(chunk, versions, strict=True):
                yield name, int(version or 0)

    async def healthy(self) -> bool:
        """See the port."""
        try:
            return await asyncio.to_thread(self._answers)
        except (OSError, EngineUnavailable):
            return False

    async def close(self) -> None:
        """See the port."""
        await asyncio.to_thread(self._close)

    def _path(self, generation: str) -> Path:
        if not GENERATION.fullmatch(generation):
            raise ValueError("a generation's name is [a-z0-9_-]{1,64}")
        return self._root / "generations" / generation

    def _names(self) -> list[str]:
        folder = self._root / "generations"
        if not folder.is_dir():
            return []
        return sorted(
            entry.name
            for entry in folder.iterdir()
            if GENERATION.fullmatch(entry.name) and (entry / "meta.json").is_file()
        )

    def _current(self) -> str | None:
        try:
            return (self._root / "CURRENT").read_text("ascii").strip() or None
        except FileNotFoundError:
            return None

    def _generation(self, name: str) -> _Generation:
        path = self._path(name)
        with self._lock:
            found = self._open.get(name)
            if found is None or not found.is_same(path):
                if not (path / "meta.json").is_file():
                    self._open.pop(name, None)
                    raise UnknownGeneration(name)
                found = self._open[name] = _Generation(path, self._writer_memory)
            return found

    def _writable(self, name: str) -> _Generation:
        self._must_write()
        return self._generation(name)

    def _must_write(self) -> None:
        if not self._writes:
            raise ReadOnly("this process reads the index; the worker writes it")

    def _create(self, name: str) -> None:
        self._must_write()
        path = self._path(name)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            tantivy.Index(schema(), str(path), reuse=True)
        except ValueError:
            raise EngineUnavailable("the generation can't be made, or has another shape") from None
        self._generation(name).start_writing()

    def _promote(self, name: str) -> None:
        self._must_write()
        self._generation(name)
        draft = self._root / "CURRENT.new"
        with draft.open("w", encoding="ascii") as file:
            file.write(name + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._root / "CURRENT")

    def _drop(self, name: str) -> None:
        self._must_write()
        path = self._path(name)
        if self._current() == name:
            raise ValueError("the current generation answers and can't be dropped")
        with self._lock:
            opened = self._open.pop(name, None)
        if opened is not None:
            opened.close()
        if path.is_dir():
            doomed = path.with_name(f"{name}.dropped")  # no generation's name: gone at once
            path.replace(doomed)
            shutil.rmtree(doomed)

    def _answers(self) -> bool:
        name = self._current()
        return name is not None and (self._path(name) / "meta.json").is_file()

    def _close(self) -> None:
        with self._lock:
            opened = list(self._open.values())
            self._open.clear()
        for generation in opened:
            generation.close()

    def _search(self, question: Question) -> Answer:
        name = self._current()
        if name is None:
            raise UnknownGeneration("no generation is current")
        generation = self._generation(name)
        try:
            return generation.ask(question)
        except ValueError:
            # Tantivy's message quotes the query.
            raise EngineUnavailable("the embedded index could not answer") from None


class _Generation:
    """One open Tantivy index; thread-safe."""

    def __init__(self, path: Path, writer_memory: int) -> None:
        self._path = path
        self._place = _place(path)
        self._memory = writer_memory
        try:
            self.index = tantivy.Index.open(str(path))
        except ValueError:
            raise EngineUnavailable("the index can't be opened") from None
        register(self.index)
        self.index.config_reader("manual")
        self.queries = QueryBuilder(self.index.schema)
        self._writer: tantivy.IndexWriter | None = None
        # What the writer holds beyond the last commit: version, or None for deleted.
        self._ahead: dict[str, int | None] = {}
        self._lost = False
        self._seen: tuple[int, int, int] | None = None
        self._writing = threading.RLock()
        self._reading = threading.Lock()

    def is_same(self, path: Path) -> bool:
        """Whether the directory is still the one opened (and not dropped, or made anew)."""
        return self._place == _place(path)

    def searcher(self) -> tantivy.Searcher:
        """The state of the last commit by whichever process."""
        with self._reading:
            try:
                meta = (self._path / "meta.json").stat()
                seen = (meta.st_mtime_ns, meta.st_ino, meta.st_size)
                if seen != self._seen:
                    self.index.reload()
                    self._seen = seen
                return self.index.searcher()
            except FileNotFoundError:
                raise UnknownGeneration(self._path.name) from None
            except ValueError:
                raise EngineUnavailable("the index can't be read") from None

    def ask(self, question: Question) -> Answer:
        """Raises ValueError if Tantivy fails."""
        return Search(self.index, self.queries, self.searcher(), question).answer()

    def start_writing(self) -> tantivy.IndexWriter:
        """Take the writer's lock. Raises WriterTaken."""
        with self._writing:
            if self._writer is None:
                try:
                    self._writer = self.index.writer(self._memory, 1)
                except ValueError as error:
                    if "LockBusy" in str(error):
                        raise WriterTaken(
                            f"another process writes the index generation {self._path.name}; only one may"
                        ) from None
                    raise EngineUnavailable("the index can't be written") from None
            return self._writer

    def upsert(self, documents: Sequence[IndexDocument]) -> None:
        """As the port says; found after `commit`."""
        newest: dict[str, IndexDocument] = {}
        for source in documents:
            if source.id not in newest or newest[source.id].version < source.version:
                newest[source.id] = source
        with self._writing:
            known = self._versions(list(newest))
            wanted = [source for name, source in newest.items() if known.get(name, -1) < source.version]
            made = [(source, document(source)) for source in wanted]
            writer = self.start_writing()
            try:
                for source, ready in made:
                    if source.id in known:
                        writer.delete_documents_by_term(ID, source.id)
                    writer.add_document(ready)
                    self._ahead[source.id] = source.version
            except ValueError:
                self._abandon()

    def delete(self, versions: Sequence[tuple[str, int]]) -> None:
        """As the port says; gone after `commit`."""
        with self._writing:
            known = self._versions([name for name, _ in versions])
            writer = self.start_writing()
            try:
                for name, version in versions:
                    if known.get(name, version + 1) <= version:
                        writer.delete_documents_by_term(ID, name)
                        self._ahead[name] = None
            except ValueError:
                self._abandon()

    def commit(self) -> None:
        """Make what was written durable. Raises EngineUnavailable if some of it was lost."""
        with self._writing:
            if self._lost:
                self._lost = False
                raise EngineUnavailable("work since the last refresh was lost; repeat it")
            if self._writer is None or not self._ahead:
                return
            try:
                self._writer.commit()
            except ValueError:
                self._abandon()
            self._ahead.clear()

    def close(self) -> None:
        """Let go of the writer's lock, once running merges are done."""
        with self._writing:
            if self._writer is not None:
                writer, self._writer = self._writer, None
                writer.wait_merging_threads()

    def _versions(self, names: list[str]) -> dict[str, int]:
        """The highest version of each document that is there, committed or not."""
        found: dict[str, int] = {}
        unknown = [name for name in names if name not in self._ahead]
        if unknown:
            searcher = self.searcher()
            query = self.queries.any_of(ID, unknown)
            hits = searcher.search(query, len(unknown), count=False, order_by_field=ID).hits
            stored = searcher.fast_field_values(VERSION, [address for _, address in hits])
            found = {name: int(version or 0) for (name, _), version in zip(hits, stored, strict=True)}
        for name in names:
            version = self._ahead.get(name)
            if version is not None:
                found[name] = version
        return found

    def _abandon(self) -> None:
        """A writer that failed is of no use; what it held is lost and the next refresh says so."""
        self._writer = None
        self._ahead.clear()
        self._lost = True
        raise EngineUnavailable("the index could not be written; repeat the work since the last refresh")


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
