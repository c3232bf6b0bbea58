"""Files that can't be, and uploads that go wrong, change nothing and leave no object (P19, P15)."""

from __future__ import annotations

import io
import socket
import zipfile
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service.clock import new_id, now
from tests.fixtures.company import Company
from tests.graphql.conftest import PDF, Stores, problems

# Files


def _registered(company: Company, case: dict[str, Any], size: int, **values: Any) -> dict[str, Any]:
    given = {"kind": "CONTRACT", "fileName": "合同.pdf", "mediaType": "application/pdf", "size": size, **values}
    found: dict[str, Any] = company.change(
        "clerk", "createEvidence", "evidence { id uploadUrl version }", case=case["id"], **given
    )
    return found


def _put(company: Company, evidence: dict[str, Any], content: bytes) -> httpx.Response:
    return httpx.put(evidence["uploadUrl"], content=content, headers=company.headers("clerk"), timeout=60)


def _code(answer: httpx.Response) -> tuple[str, str | None]:
    (error,) = answer.json()["errors"]
    assert error["message"]
    return error["code"], error["field"]


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"size": 0}, "EMPTY_FILE", "size"),
        ({"size": -1}, "EMPTY_FILE", "size"),
        ({"size": 2_147_483_647}, "FILE_TOO_LARGE", "size"),
        ({"fileName": "合同.zip"}, "FILE_TYPE_REFUSED", "mediaType"),
        ({"mediaType": "text/html"}, "FILE_TYPE_REFUSED", "mediaType"),
        ({"fileName": "合同.png"}, "FILE_TYPE_REFUSED", "mediaType"),
        ({"fileName": ""}, "INVALID_FORMAT", "fileName"),
        ({"sha256": "abc"}, "INVALID_FORMAT", "sha256"),
        ({"case": new_id("cus")}, "INVALID_ID", "case"),
        ({"case": new_id("cas")}, "NOT_FOUND", "case"),
        ({"paper": {"room": "长" * 1_000}}, "TOO_LONG", "paper.room"),
    ],
)
def test_a_file_that_can_not_be_is_not_registered(
    company: Company, stores: Stores, case: dict[str, Any], values: dict[str, Any], code: str, field: str
) -> None:
    before = stores.everything()
    given = {"case": case["id"], "kind": "CONTRACT", "fileName": "合同.pdf", "mediaType": "application/pdf", "size": 10}
    assert problems(company, "clerk", "createEvidence", **{**given, **values}) == [(code, field)]
    assert stores.everything() == before


def test_a_zip_named_pdf_is_refused_and_leaves_no_object(
    company: Company, stores: Stores, case: dict[str, Any]
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("合同.txt", "不是 PDF")
    content = buffer.getvalue()
    evidence = _registered(company, case, len(content))
    answer = _put(company, evidence, content)
    assert (answer.status_code, _code(answer)) == (415, ("FILE_TYPE_REFUSED", "mediaType"))
    document = stores.one("evidence", evidence["id"])
    assert document["state"] == "FAILED"
    assert "object" not in document
    again = _put(company, evidence, content)
    assert (again.status_code, _code(again)) == (422, ("NOT_ALLOWED_IN_STATE", "state"))
    assert stores.one("evidence", evidence["id"]) == document


@pytest.mark.parametrize(
    ("content", "status", "code", "field"),
    [
        (b"", 422, "EMPTY_FILE", "body"),
        (PDF + b"\n", 422, "LENGTH_MISMATCH", "size"),
        (PDF[:-1], 422, "LENGTH_MISMATCH", "size"),
    ],
    ids=["empty", "larger than announced", "smaller than announced"],
)
def test_bytes_of_another_length_are_refused_and_the_right_ones_still_come(
    company: Company, stores: Stores, case: dict[str, Any], content: bytes, status: int, code: str, field: str
) -> None:
    evidence = _registered(company, case, len(PDF))
    before = stores.everything()
    answer = _put(company, evidence, content)
    assert (answer.status_code, _code(answer)) == (status, (code, field))
    assert stores.everything() == before
    assert _put(company, evidence, PDF).status_code == 204


def test_bytes_with_another_checksum_are_refused(company: Company, stores: Stores, case: dict[str, Any]) -> None:
    evidence = _registered(company, case, len(PDF), sha256="0" * 64)
    answer = _put(company, evidence, PDF)
    assert (answer.status_code, _code(answer)) == (422, ("CHECKSUM_MISMATCH", "sha256"))
    assert "object" not in stores.one("evidence", evidence["id"])


def test_an_upload_that_comes_too_late_is_refused(company: Company, stores: Stores, case: dict[str, Any]) -> None:
    evidence = _registered(company, case, len(PDF))
    stores.change("evidence", evidence["id"], {"$set": {"expires_at": now() - timedelta(seconds=1)}})
    answer = _put(company, evidence, PDF)
    assert (answer.status_code, _code(answer)) in (
        (410, ("UPLOAD_EXPIRED", "expiresAt")),
        (422, ("NOT_ALLOWED_IN_STATE", "state")),  # the worker was there first
    )


def test_an_upload_to_nothing_or_by_nobody_is_refused(company: Company) -> None:
    nowhere = f"{company.url}/files/{new_id('evd')}"
    answer = httpx.put(nowhere, content=PDF, headers=company.headers("clerk"), timeout=60)
    assert (answer.status_code, _code(answer)) == (404, ("NOT_FOUND", "id"))
    answer = httpx.put(nowhere, content=PDF, timeout=60)
    assert (answer.status_code, _code(answer)) == (401, ("UNAUTHENTICATED", None))


def test_an_upload_without_a_length_is_refused(company: Company, stores: Stores, case: dict[str, Any]) -> None:
    evidence = _registered(company, case, len(PDF))
    before = stores.everything()
    chunks = iter([PDF])
    answer = httpx.put(evidence["uploadUrl"], content=chunks, headers=company.headers("clerk"), timeout=60)
    assert (answer.status_code, _code(answer)) == (411, ("REQUIRED", "Content-Length"))
    assert stores.everything() == before


def test_an_upload_that_is_cut_off_leaves_it_awaited(company: Company, stores: Stores, case: dict[str, Any]) -> None:
    content = PDF + b"%" + b"x" * 3_000_000
    evidence = _registered(company, case, len(content))
    before = stores.everything()
    parts = urlsplit(evidence["uploadUrl"])
    head = (
        f"PUT {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {company.token('clerk')}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        connection.sendall(head.encode() + content[:1_500_000])
        company.eventually(lambda: "upload" in stores.one("evidence", evidence["id"]))
    company.eventually(lambda: "upload" not in stores.one("evidence", evidence["id"]))
    assert stores.everything() == before
    assert _put(company, evidence, content).status_code == 204


def test_a_second_put_to_a_finished_upload_changes_nothing(
    company: Company, stores: Stores, case: dict[str, Any]
) -> None:
    evidence = _registered(company, case, len(PDF))
    assert _put(company, evidence, PDF).status_code == 204
    before = stores.everything()
    for content in (PDF, PDF[:-1] + b"X"):
        answer = _put(company, evidence, content)
        assert (answer.status_code, _code(answer)) == (409, ("ALREADY_UPLOADED", "state"))
    assert stores.everything() == before
