"""What every request has: an id in its answer and in the log, and the language that was asked for (P7)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, employed, stored_file


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


EMPTY = 'mutation { createCustomer(input: {kind: PERSON, name: "甲", channels: []}) { userErrors { code message } } }'


@pytest.mark.parametrize(
    ("own", "asked", "english"),
    [
        ("en", None, True),
        ("zh-CN", None, False),
        ("en", "zh-CN", False),
        ("zh-CN", "en-GB", True),
        ("en", "fr, de;q=0.5", True),
        ("zh-CN", "fr", False),
        ("zh-CN", "fr;q=0.9, zh;q=0.2, en;q=0.8", True),
        ("en", "*", True),
        ("en", "en;q=0, ;;q=x", True),
    ],
)
def test_texts_come_in_the_language_that_is_asked_for_or_in_the_users_own(
    company: Company, own: str, asked: str | None, english: bool
) -> None:
    name, user = employed(company, ["ACCOUNT_MANAGER"])
    company.change("admin", "updateUser", "user { id }", id=user["id"], version=user["version"], locale=own)
    headers = {"authorization": f"Bearer {company.token(name)}", **({"accept-language": asked} if asked else {})}

    def post(document: str) -> Any:
        return company.client.post(f"{company.url}/graphql", json={"query": document}, headers=headers).json()

    texts = [error["message"] for error in post(EMPTY)["data"]["createCustomer"]["userErrors"]]
    texts += [error["message"] for error in post("{ auditEntries { nodes { id } } }")["errors"]]
    texts.append(httpx.get(f"{company.url}/files/nothing", headers=headers).json()["errors"][0]["message"])
    assert all(text.isascii() == english for text in texts), texts
    assert len(texts) >= 4


def test_who_is_not_signed_in_yet_is_answered_in_chinese_unless_they_ask(company: Company) -> None:
    for asked, english in ((None, False), ("en", True)):
        headers = {"accept-language": asked} if asked else {}
        answer = company.client.post(f"{company.url}/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
        assert answer.json()["errors"][0]["message"].isascii() == english
