"""The demo is loaded through the services, once, the same every time, and as its people would have done it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import stat
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import gmtime
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from pydantic import SecretStr

from infra.demo import REFERENCE, SEED, TOUR_SCAN, make_content, seeding
from infra.demo.drawing import DrawingFailed, Drawn, drawing
from infra.demo.seeding import MARKER, MARKERS, SeedReport, seed_demo
from infra.local import Endpoints
from service.access.policy import Role
from service.cases.model import CaseState
from service.config import Settings
from service.crypto import Keyring
from service.errors import Invalid
from service.evidence.model import READ
from service.system import System, open_system

SCALE = 0.03
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Loaded:
    """A system with the demo in it, and what loading told."""

    system: System
    accounts_file: Path
    told: list[str] = field(default_factory=list)
    report: SeedReport = field(default_factory=lambda: SeedReport("PRESENT"))

    async def load(self) -> SeedReport:
        self.report = await seed_demo(
            self.system, scale=SCALE, report=self.told.append, accounts_file=self.accounts_file
        )
        return self.report

    async def every(self, collection: str) -> list[dict[str, Any]]:
        return await self.system.database.collection(collection).find({}, sort=[("_id", 1)])


Opening = Callable[[], Awaitable[Loaded]]


@asynccontextmanager
async def small(seed: int, scale: float, keys: Iterable[str]) -> AsyncIterator[Drawn]:
    """Small files in the scans' place: how they are drawn is another test's."""
    drawn: dict[str, asyncio.Future[bytes]] = {}
    for scan in make_content(seed, scale).scans:
        page, format = io.BytesIO(), "PDF" if scan.media_type == "application/pdf" else "JPEG"
        Image.new("L", (32, 32), int(scan.key[-2:])).save(page, format, creationDate=gmtime(0), modDate=gmtime(0))
        drawn[scan.key] = asyncio.get_running_loop().create_future()
        drawn[scan.key].set_result(page.getvalue())
    assert list(keys) == list(drawn)
    yield drawn


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opening(
    mongo_server: str, s3_server: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Opening]:
    """Opens empty, prepared systems on the real servers."""
    systems: list[System] = []

    async def opened() -> Loaded:
        name = f"demo-{secrets.token_hex(8)}"
        settings = Settings(
            mongo_url=SecretStr(mongo_server),
            database=name,
            s3_endpoint=s3_server.s3_endpoint,
            s3_access_key=SecretStr(s3_server.s3_access_key),
            s3_secret_key=SecretStr(s3_server.s3_secret_key),
            s3_bucket=name,
            data_dir=tmp_path_factory.mktemp("demo"),
        )
        Keyring.create(settings.keyring_path)
        system = open_system(settings)
        systems.append(system)
        await system.prepare()
        return Loaded(system, settings.data_dir / "demo.json")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(seeding, "drawing", small)
        yield opened
    for system in systems:
        await system.database.drop()
        await system.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(opening: Opening) -> Loaded:
    """One loaded system for the tests that only look."""
    found = await opening()
    assert (await found.load()).state == "LOADED"
    return found


async def opened_records(loaded: Loaded) -> dict[str, Any]:
    """Every customer, case, event and file as its service opens it, by id."""
    system = loaded.system
    customers = await system.customers.sealed_for_index([d["_id"] for d in await loaded.every("customers")])
    cases = await system.cases.sealed_for_index([d["_id"] for d in await loaded.every("cases")])
    ids = [case.id for case in cases]
    histories = await system.cases.history.sealed_for_index(ids)
    files = await system.evidence.sealed_for_index(ids)
    records = [*customers.values(), *cases]
    records += [event for history in histories.values() for event in history]
    records += [file for found in files.values() for file, _ in found]
    return {record.id: record.values() for record in records}


async def test_given_the_same_seed_then_two_systems_hold_the_same_records(loaded: Loaded, opening: Opening) -> None:
    first, second = loaded, await opening()
    before = os.umask(0)  # the file's mode is its own, whatever the shell says
    try:
        assert (await second.load()).state == "LOADED"
    finally:
        os.umask(before)
    assert stat.S_IMODE(second.accounts_file.stat().st_mode) == 0o600

    for collection in ("customers", "cases", "case_events", "evidence", "users", "departments", "templates", "jobs"):
        here, there = await first.every(collection), await second.every(collection)
        assert here
        assert [document["_id"] for document in here] == [document["_id"] for document in there]
    numbers = [
        {d["number"]: (d["_id"], d["state"], d["nodes"]) for d in await s.every("cases")} for s in (first, second)
    ]
    assert numbers[0] == numbers[1]
    records = await opened_records(first)
    assert len(records) > 500
    assert records == await opened_records(second)
    # What must not repeat, doesn't.
    assert first.report.accounts[0].password != second.report.accounts[0].password
    assert (await first.every("keys"))[0]["versions"] != (await second.every("keys"))[0]["versions"]


async def test_the_loaded_demo_stands_as_its_stories_end(loaded: Loaded) -> None:
    report, content = loaded.report, make_content(scale=SCALE)

    assert (report.customers, report.cases, report.scans) == (12, 60, 40)
    cases = await loaded.every("cases")
    wanted = Counter(life.standing for life in content.case_lives)
    states = Counter(case["state"] for case in cases)
    # A returned case is to be handled again or is in handling again; an archived one whose scan was not read yet is
    # still to be sealed.
    assert states["HANDLING"] + states["ASSIGNED"] == wanted["HANDLING"] + wanted["RETURNED"] + wanted["ASSIGNED"]
    assert states["ARCHIVED"] + states["REVIEWED"] == wanted["ARCHIVED"] + wanted["REVIEWED"]
    assert all(states[name] == wanted[name] for name in ("RAISED", "ANSWERED", "CLOSED"))
    assert states["ARCHIVED"] > 5
    # Numbers follow the order of raising, every stamp is the story's, and nothing was written as of today.
    by_number = sorted(cases, key=lambda case: str(case["number"]))
    assert [case["raised_at"] for case in by_number] == [life.raised.at for life in content.case_lives]
    for case in cases:
        assert case["raised_at"] <= case["updated_at"] <= REFERENCE
        if case["state"] == CaseState.ARCHIVED.value:
            assert case["closed_at"] < case["archived_at"] < case["retain_until"]
            assert case["retain_until"].year == case["closed_at"].year + 3
    entries = await loaded.every("journal")
    steps = [
        e["facets"] for e in entries if e["facets"]["action"].partition(".")[0] in ("case", "customer", "evidence")
    ]
    assert len(steps) > 500
    assert max(step["at"] for step in steps) <= REFERENCE


async def test_every_scan_is_stored_and_the_tours_is_the_first_to_be_read(loaded: Loaded) -> None:
    content = make_content(scale=SCALE)

    files = await loaded.every("evidence")
    assert {(file["state"], file["text_state"]) for file in files} == {("STORED", "WAITING")}
    assert len(files) == len(content.scans)
    far = REFERENCE + timedelta(days=3650)
    job = await loaded.system.jobs.repository.claim([READ], far, timedelta(minutes=5), "wrk_test")
    assert job is not None
    records = await opened_records(loaded)
    assert records[job.payload["evidence"]]["file_name"] == content.scan(TOUR_SCAN).file_name
    assert len(files) == await loaded.system.evidence.waiting_count()


async def test_one_account_per_role_is_told_to_its_reader_alone(loaded: Loaded) -> None:
    assert stat.S_IMODE(loaded.accounts_file.stat().st_mode) == 0o600
    assert [path.name for path in loaded.accounts_file.parent.glob("*demo*")] == ["demo.json"]
    written = json.loads(loaded.accounts_file.read_text("utf-8"))
    assert written["url"] == loaded.system.settings.url
    assert [account["role"] for account in written["accounts"]] == [role.value for role in Role]
    password = written["accounts"][0]["password"]
    assert password not in repr(loaded.report)
    assert not any(password in sentence for sentence in loaded.told)
    identity = loaded.system.identity
    for account in written["accounts"]:
        tokens = await identity.sign_in(account["email"], account["password"], source="127.0.0.1", request_id="")
        assert Role(account["role"]) in tokens.user.roles
    with pytest.raises(Invalid):  # what stands in the repository opens no door
        await identity.sign_in(written["accounts"][0]["email"], f"qiyue-{SEED}", source="127.0.0.1", request_id="")


async def test_given_customers_already_then_nothing_is_loaded(loaded: Loaded) -> None:
    before = {name: len(await loaded.every(name)) for name in ("customers", "users", "journal")}

    assert (await loaded.load()).state == "PRESENT"
    assert loaded.told[-1] == "There are customers already: no demo data is loaded."
    await loaded.system.database.collection(MARKERS).delete_many({"_id": MARKER})
    assert (await loaded.load()).state == "PRESENT"
    assert {name: len(await loaded.every(name)) for name in before} == before


async def test_given_a_load_that_was_cut_short_then_the_next_one_says_what_to_do(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = await opening()

    async def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("the plug was pulled")

    with monkeypatch.context() as cut:
        cut.setattr(loaded.system.archive, "archive", broken)
        with pytest.raises(ConnectionError, match="the plug was pulled"):
            await loaded.load()
    assert not loaded.accounts_file.exists()
    cases = await loaded.every("cases")

    assert (await loaded.load()).state == "UNFINISHED"
    assert "make reset" in loaded.told[-1]
    assert await loaded.every("cases") == cases


async def test_scans_are_drawn_by_a_process_of_their_own_to_the_same_bytes() -> None:
    content = make_content(scale=SCALE)
    async with drawing(SEED, SCALE, (scan.key for scan in content.scans)) as drawn:
        first = await drawn[TOUR_SCAN]
    assert first == content.scan(TOUR_SCAN).draw()


async def test_given_a_drawing_process_that_dies_then_whoever_waits_for_a_scan_is_told() -> None:
    async with drawing(SEED, float("nan"), [TOUR_SCAN]) as drawn:
        with pytest.raises(DrawingFailed):
            await asyncio.wait_for(drawn[TOUR_SCAN], timeout=60)
