"""What every request has: an id in its answer and in the log, and the language that was asked for (P7)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, stored_file


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/graphql", 415),
        ("DELETE", "/graphql", 405),
        ("GET", "/files/evd_nothing", 401),
        ("PUT", "/files/evd_nothing", 401),
        ("GET", "/healthz", 200),
        ("GET", "/nowhere", 404),
    ],
)
def test_every_answer_has_the_requests_id(company: Company, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, f"{company.url}{path}", headers={"x-request-id": "trace-0123456789"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, "trace-0123456789")
    answer = httpx.request(method, f"{company.url}{path}")
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_file_that_can_not_be_read_tells_the_requests_id_and_nothing_else(
    company: Company, stores: Stores, case: dict[str, Any]
) -> None:
    evidence = stored_file(company, case["id"])
    stores.everything()  # the worker has read it
    document = stores.one("evidence", evidence["id"])
    sealed = bytes(document["sealed"]["NARRATIVE"])
    tampered = {"sealed.NARRATIVE": sealed[:-1] + bytes([sealed[-1] ^ 1])}
    for change, status, trouble in (
        ({"$set": tampered}, 503, "CiphertextError"),
        ({"$set": {"sealed": document["sealed"]}, "$unset": {"object.ciphertext_sha256": ""}}, 500, "KeyError"),
    ):
        stores.change("evidence", evidence["id"], change)
        answer = httpx.get(f"{company.url}/files/{evidence['id']}", headers=company.headers("agent"))
        request = answer.headers["x-request-id"]
        assert answer.status_code == status
        (error,) = answer.json()["errors"]
        assert (error["code"], error["field"]) == ("INTERNAL", None)
        assert request in error["message"]
        log = (company.settings.data_dir / "serve.log").read_text("utf-8")
        (line,) = [line for line in log.splitlines() if request in line]
        assert trouble in line
        for secret in ("Traceback", "ciphertext_sha256", sealed.hex()):
            assert secret not in log
