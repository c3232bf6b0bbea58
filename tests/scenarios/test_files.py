"""A file's life over HTTP, on a real mongod and a real S3: announced, sent, read, handed out, withdrawn, locked."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from service.access.view import View
from service.clock import new_id, now
from service.crypto import CiphertextError
from service.errors import Code, Invalid, NotPermitted
from service.evidence.model import EVIDENCE, PAGES, READ
from service.evidence.reading import Reader
from service.evidence.service import page_texts
from service.evidence.texts import EvidenceTexts
from service.journal.model import JOURNAL
from service.storage import ObjectTrouble, StoredObject
from tests.scenarios.files_world import LIMIT, MIB, World, a_pdf, codes

pytestmark = pytest.mark.asyncio


async def test_a_file_of_many_segments_comes_back_byte_for_byte_whole_and_by_range(world: World) -> None:
    body = a_pdf(9 * MIB + 12345)

    view = await world.stored(body, sha256=hashlib.sha256(body).hexdigest())

    whole = await world.got(view.id)
    assert (whole.status_code, whole.content) == (200, body)
    assert whole.headers["content-type"] == "application/pdf"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert whole.headers["cache-control"] == "no-store"
    assert whole.headers["content-disposition"] == (
        "attachment; filename=\"__ __.pdf\"; filename*=UTF-8''%E5%90%88%E5%90%8C%20%E6%89%AB%E6%8F%8F.pdf"
    )
    for first, last in ((0, 0), (MIB - 60, MIB + 60), (5 * MIB, 7 * MIB), (len(body) - 1, len(body) - 1)):
        part = await world.got(view.id, Range=f"bytes={first}-{last}")
        assert (part.status_code, part.content) == (206, body[first : last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(body)}"
    assert (await world.got(view.id, Range="bytes=-500")).content == body[-500:]
    outside = await world.got(view.id, Range=f"bytes={len(body)}-")
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{len(body)}")
    other = await world.got(view.id, Range="bytes=0-9", If_Range='"something else"')
    assert (other.status_code, len(other.content)) == (200, len(body))
    assert (await world.actions(view.id)).count("evidence.download") == 1


async def test_nothing_readable_lies_in_the_store_or_the_database(world: World) -> None:
    body = a_pdf(text="UNMISTAKABLE")
    view = await world.stored(body)

    stored = (await world.document(view.id))["object"]
    sealed = b"".join([c async for c in world.objects.get(StoredObject(stored["key"], stored["version_id"]), 0, 10**6)])

    assert hashlib.sha256(sealed).hexdigest() == stored["ciphertext_sha256"]
    assert len(sealed) == stored["ciphertext_size"]
    assert b"UNMISTAKABLE" not in sealed
    assert b"%PDF" not in sealed
    assert "合同" not in str(await world.document(view.id))
    assert hashlib.sha256(body).hexdigest() not in str(await world.document(view.id))


async def test_every_step_has_its_entry_and_the_case_its_event_and_index_work(world: World) -> None:
    view = await world.stored(a_pdf())

    assert await world.actions(view.id) == ["evidence.create", "evidence.upload"]
    entries = await world.database.collection(JOURNAL).find({"facets.records": view.id}, sort=[("_id", 1)])
    assert json.loads(bytes(entries[0]["entry"]))["records"][0]["id"] == view.id
    assert all(entry["progress"]["index"] == [world.case] for entry in entries)
    events = await world.database.collection("case_events").find({"case": world.case}, sort=[("sequence", 1)])
    assert events[-1]["kind"] == "EVIDENCE_ADDED"
    assert events[-1]["details"] == {"evidence": view.id}


@pytest.mark.parametrize("by", ["stranger", "auditor", "clerk"])
async def test_who_may_not_download_is_answered_as_if_there_were_nothing(world: World, by: str) -> None:
    view = await world.stored(a_pdf())
    before = await world.everything()

    refused = await world.got(view.id, by)
    absent = await world.got(new_id("evd"), by)
    foreign = await world.got(world.case, by)

    assert refused.status_code == absent.status_code == foreign.status_code == 404
    assert refused.content == absent.content == foreign.content
    assert dict(refused.headers) == dict(absent.headers)
    assert await world.everything() == before


async def test_no_token_no_file_and_a_token_in_the_url_or_a_cookie_is_none(world: World) -> None:
    view = await world.stored(a_pdf())
    bare = world.client

    asked = [
        await bare.get(f"/files/{view.id}"),
        await bare.get(f"/files/{view.id}?access_token=agent"),
        await bare.get(f"/files/{view.id}", headers={"Cookie": "authorization=Bearer agent"}),
        await bare.get(f"/files/{view.id}", headers={"Authorization": "Bearer forged"}),
        await bare.put(f"/files/{view.id}?token=agent", content=b"x"),
    ]

    assert [(response.status_code, codes(response)) for response in asked] == [(401, ["UNAUTHENTICATED"])] * 5


async def test_only_who_announced_a_file_sends_it(world: World) -> None:
    body = a_pdf()
    view = await world.announced(body)

    for by in ("manager", "supervisor", "clerk", "stranger"):
        assert (await world.sent(view.id, body, by)).status_code == 404
    assert (await world.document(view.id))["state"] == "PENDING"
    assert world.room.upload_url(view) == f"http://files.test/files/{view.id}"
    assert world.versions() == []


async def test_a_finished_upload_takes_no_second_file(world: World) -> None:
    view = await world.stored(a_pdf())
    before = await world.document(view.id)

    again = await world.sent(view.id, a_pdf())

    assert (again.status_code, codes(again)) == (409, ["ALREADY_UPLOADED"])
    assert await world.document(view.id) == before
    assert len(world.versions()) == 1


async def test_of_two_uploads_at_once_one_is_stored_and_the_other_refused(world: World) -> None:
    body = a_pdf(3 * MIB)
    view = await world.announced(body)

    answers = await asyncio.gather(*(world.sent(view.id, body) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers)[0] == 204
    assert {answer.status_code for answer in answers} <= {204, 409, 422}
    assert sum(answer.status_code == 204 for answer in answers) == 1
    assert len(world.versions()) == 1


@pytest.mark.parametrize(
    ("sent", "announced", "status", "code", "state"),
    [
        (b"", 500, 422, "EMPTY_FILE", "PENDING"),
        (a_pdf(2000), 1999, 422, "LENGTH_MISMATCH", "PENDING"),
        (a_pdf(2000), 2001, 422, "LENGTH_MISMATCH", "PENDING"),
        (b"PK\x03\x04" + b"\0" * 1996, 2000, 415, "FILE_TYPE_REFUSED", "FAILED"),
    ],
)
async def test_wrong_bytes_get_their_code_and_leave_nothing_stored(
    world: World, sent: bytes, announced: int, status: int, code: str, state: str
) -> None:
    view = await world.announced(b"x" * announced)

    answer = await world.sent(view.id, sent)

    assert (answer.status_code, codes(answer)) == (status, [code])
    assert (await world.document(view.id))["state"] == state
    assert "upload" not in await world.document(view.id)
    assert world.versions() == []


async def test_a_wrong_checksum_fails_for_good(world: World) -> None:
    body = a_pdf()
    view = await world.announced(body, sha256="0" * 64)

    assert codes(await world.sent(view.id, body)) == ["CHECKSUM_MISMATCH"]
    assert (await world.document(view.id))["state"] == "FAILED"
    assert await world.actions(view.id) == ["evidence.create", "evidence.refuse"]
    assert world.versions() == []


async def test_an_upload_cut_off_may_be_tried_again(world: World) -> None:
    body = a_pdf(2 * MIB)
    view = await world.announced(body)

    async def half() -> AsyncIterator[bytes]:
        yield body[:MIB]

    cut = await world.sent(view.id, half(), **{"Content-Length": str(len(body))})

    assert codes(cut) == ["LENGTH_MISMATCH"]
    assert world.versions() == []
    assert (await world.sent(view.id, body)).status_code == 204
    assert (await world.got(view.id)).content == body


async def test_a_length_must_be_told(world: World) -> None:
    view = await world.announced(a_pdf())

    async def unknown() -> AsyncIterator[bytes]:
        yield a_pdf()

    assert (await world.sent(view.id, unknown())).status_code == 411


async def test_what_may_not_be_announced_is_refused_and_changes_nothing(world: World) -> None:
    before = await world.everything()
    wrong: list[tuple[dict[str, Any], Code]] = [
        ({"size": LIMIT + 1}, Code.FILE_TOO_LARGE),
        ({"size": 0}, Code.EMPTY_FILE),
        ({"media_type": "application/zip"}, Code.FILE_TYPE_REFUSED),
        ({"file_name": "a.exe"}, Code.FILE_TYPE_REFUSED),
        ({"sha256": "short"}, Code.INVALID_FORMAT),
        ({"customer": world.customer}, Code.TOO_MANY),
        ({"case": new_id("cas")}, Code.NOT_FOUND),
    ]
    for values, code in wrong:
        with pytest.raises(Invalid) as refused:
            await world.announced(b"x" * 10, **values)
        assert [problem.code for problem in refused.value.problems] == [code]
    with pytest.raises(NotPermitted):
        await world.room.create(
            world.by("supervisor"),
            {
                "case": world.case,
                "file_name": "a.pdf",
                "kind": "OTHER",
                "size": 9,
                "media_type": "application/pdf",
            },
        )
    assert await world.everything() == before


async def test_what_nobody_sends_expires_with_what_a_dead_upload_left(world: World) -> None:
    view = await world.announced(a_pdf())
    stray = await world.objects.put("evidence/stray", io.BytesIO(b"stray"), 5)
    past = now() - timedelta(minutes=1)
    left = {"token": "t", "key": stray.key, "version_id": stray.version_id, "until": past}
    await world.database.collection(EVIDENCE).update_one(
        {"_id": view.id}, {"$set": {"expires_at": past, "upload": left}}
    )

    late = await world.sent(view.id, a_pdf())
    expired = await world.room.expire()

    assert (late.status_code, codes(late)) == (410, ["UPLOAD_EXPIRED"])
    assert expired == 1
    assert (await world.document(view.id))["state"] == "FAILED"
    assert world.versions() == []
    assert await world.room.unsettled(world.case) == []
    assert await world.room.expire() == 0


async def _text(world: World, person: str, file: View) -> str:
    return page_texts((await world.room.pages(world.by(person), [file]))[file.id]) or ""


async def test_a_word_inside_the_file_becomes_text_for_whoever_may_read_it(world: World) -> None:
    view = await world.stored(a_pdf(text="Quartz valve, call 13812341234"))
    assert await world.room.unsettled(world.case) == [view.id]
    assert await world.room.waiting_count() == 1

    async with Reader() as reader:
        texts = EvidenceTexts(world.room, reader)
        assert await world.jobs.run_once({READ: texts.read})

    read = await world.room.get(world.by("agent"), view.id)
    assert read is not None
    assert (read.shown("text_state"), read.shown("page_count"), read.shown("text_reason")) == (
        "READ",
        1,
        None,
    )
    assert "13812341234" in await _text(world, "agent", read)
    masked = await world.room.get(world.by("clerk"), view.id)
    assert masked is not None
    shown = await _text(world, "clerk", masked)
    assert "Quartz" in shown
    assert "13812341234" not in shown
    scans = (await world.room.sealed_for_index([world.case]))[world.case]
    assert "Quartz" in scans[0][1][0].values()["text"]
    assert (await world.actions(view.id))[-1] == "evidence.text"
    assert "Quartz" not in str(await world.database.collection(PAGES).find({}))
    assert await world.room.unsettled(world.case) == []


async def test_a_broken_file_is_kept_and_marked_and_nothing_stops(world: World) -> None:
    body = b"%PDF-1.7\n" + b"not a document at all\n" * 50
    view = await world.stored(body)

    async with Reader() as reader:
        assert await world.jobs.run_once({READ: EvidenceTexts(world.room, reader).read})

    document = await world.document(view.id)
    assert (document["text_state"], document["text_reason"]) == ("UNREADABLE", "DAMAGED")
    assert (await world.got(view.id)).content == body


async def test_an_object_cut_or_changed_is_never_passed_on_as_complete(world: World) -> None:
    body = a_pdf(3 * MIB)
    view = await world.stored(body)
    stored = (await world.document(view.id))["object"]
    place = StoredObject(stored["key"], stored["version_id"])
    sealed = b"".join([chunk async for chunk in world.objects.get(place, 0, 4 * MIB)])
    for forged in (sealed[: 2 * MIB], sealed[:MIB] + sealed[:MIB] + sealed[2 * MIB :], b"\0" * len(sealed)):
        other = await world.objects.put(stored["key"], io.BytesIO(forged), len(forged))
        await world.database.collection(EVIDENCE).update_one(
            {"_id": view.id}, {"$set": {"object.version_id": other.version_id}}
        )
        download = await world.room.download(world.by("agent"), view.id)
        assert download is not None
        got = b""
        with pytest.raises((CiphertextError, ObjectTrouble)):
            async for chunk in download.chunks:
                got += chunk
        assert len(got) < len(body)
        assert body.startswith(got)


async def test_a_withdrawn_file_is_gone_for_everyone_with_its_reason_kept(world: World) -> None:
    view = await world.stored(a_pdf())
    with pytest.raises(NotPermitted):
        await world.room.withdraw(world.by("agent"), view.id, 2, "wrong file")
    with pytest.raises(Invalid, match="CONFLICT"):
        await world.room.withdraw(world.by("clerk"), view.id, 1, "wrong file")

    withdrawn = await world.room.withdraw(world.by("clerk"), view.id, 2, "wrong file")

    assert withdrawn is not None
    assert withdrawn.shown("withdrawal_reason") == "wrong file"
    assert (await world.got(view.id)).status_code == 404
    case = await world.cases.get(world.by("agent"), world.case)
    assert case is not None
    assert await world.room.of_case(world.by("agent"), case, None, 10) == []
    assert await world.room.of_case(world.by("agent"), case, None, 10, include_withdrawn=True) != []
    assert await world.room.sealed_for_index([world.case]) == {}
    assert (await world.actions(view.id))[-1] == "evidence.withdraw"


async def test_the_archive_locks_every_version_and_reads_each_lock_back(world: World) -> None:
    kept, wrong = await world.stored(a_pdf()), await world.stored(a_pdf())
    await world.room.withdraw(world.by("clerk"), wrong.id, 2, "wrong file")
    until = now() + timedelta(seconds=5)

    locked = await world.room.lock_all(world.case, until)

    assert {evidence for evidence, _, _ in locked} == {kept.id, wrong.id}
    assert all(mode == "COMPLIANCE" and held >= until for _, mode, held in locked)
    assert await world.room.lock_all(world.case, until) == locked
    stored = (await world.document(kept.id))["object"]
    with pytest.raises(ObjectTrouble):
        await world.objects.delete(StoredObject(stored["key"], stored["version_id"]))
    assert (await world.got(kept.id)).status_code == 200


async def test_if_the_download_cannot_be_recorded_no_byte_leaves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    view = await world.stored(a_pdf())

    async def broken(*_: Any) -> None:
        raise RuntimeError("the journal can't be written")

    monkeypatch.setattr(world.room.shelf.journal.repository, "insert_alone", broken)
    with pytest.raises(RuntimeError):
        await world.got(view.id)
