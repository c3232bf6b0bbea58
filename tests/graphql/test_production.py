"""As it runs in production: two processes on one port, and production settings.

Both processes answer as one does: sessions, rights and cursors are nobody's own (P14). What graphql-cop looks for (its
checks, written anew) is not there (P3, P4).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.company import Company, environment_of
from tests.fixtures.engines import free_port
from tests.graphql.conftest import employed

ASKED = 12
"""How often each question is asked, each time over a new connection: both processes get some."""


@pytest.fixture(scope="module")
def pair(company: Company) -> Iterator[str]:
    """The address of a second API of the same system, in two processes."""
    settings = company.settings.model_copy(update={"port": free_port(), "env": "production"})
    log = (settings.data_dir / "pair.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--workers", "2"],
        env=environment_of(settings), stdout=log, stderr=log,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len(_listeners(process.pid)) < 2 or not _ready(settings.url):
            assert process.poll() is None
            assert time.monotonic() < deadline, "the processes did not start"
            time.sleep(0.2)
        yield settings.url
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz").status_code == 200
    return False


def _listeners(pid: int) -> list[int]:
    """Processes that the supervisor started to serve."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_bytes()
            if int(fields[1]) == pid and b"spawn_main" in command:
                found.append(int(path.parent.name))
    return found


def ask(url: str, headers: dict[str, str], document: str, **variables: object) -> dict[str, object]:
    with httpx.Client() as client:  # a new connection each time
        body = {"query": document, "variables": variables}
        found: dict[str, object] = client.post(f"{url}/graphql", json=body, headers=headers).json()
        return found


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are told apart by /proc")


def test_both_processes_serve(pair: str, company: Company) -> None:
    ids = {ask(pair, company.headers("manager"), "{ viewer { id } }")["data"]["viewer"]["id"] for _ in range(ASKED)}  # type: ignore[index]
    assert ids == {company.users["manager"]}


def test_a_cursor_of_one_opens_in_the_other(pair: str, company: Company) -> None:
    for _ in range(3):
        company.new_customer(name="两个进程水务有限公司")
    page = "query($after: String) { customers(first: 1, after: $after) { nodes { id } pageInfo { endCursor } } }"
    headers = company.headers("manager")
    first = ask(pair, headers, page)["data"]["customers"]["pageInfo"]["endCursor"]  # type: ignore[index]
    seen = {str(ask(pair, headers, page, after=first)["data"]["customers"]["nodes"]) for _ in range(ASKED)}  # type: ignore[index]
    assert len(seen) == 1


def test_a_revoked_right_is_gone_in_both_at_the_next_question(pair: str, company: Company) -> None:
    name, user = employed(company, ["SUPERVISOR"])
    headers = company.headers(name)
    for _ in range(ASKED):
        assert ask(pair, headers, "{ cases(first: 1) { totalCount } }")["data"]["cases"]["totalCount"] is not None  # type: ignore[index]
    company.change("admin", "disableUser", "user { id }", id=user["id"], version=user["version"])
    codes = {ask(pair, headers, "{ viewer { id } }")["errors"][0]["extensions"]["code"] for _ in range(ASKED)}  # type: ignore[index]
    assert codes == {"UNAUTHENTICATED"}


# What graphql-cop looks for


def posted(url: str, headers: dict[str, str], **options: object) -> httpx.Response:
    with httpx.Client() as client:
        return client.post(f"{url}/graphql", headers=headers, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("question", [
    "{ __schema { types { name fields { name } } } }",
    '{ __type(name: "User") { name } }',
    "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }",
])  # fmt: skip
def test_the_schema_is_not_told(pair: str, company: Company, question: str) -> None:
    answer = ask(pair, company.headers("manager"), question)
    assert answer.get("data") is None
    assert "name" not in str(answer.get("data"))


@pytest.mark.parametrize("typo", ["{ viewr { id } }", "{ viewer { idd } }", "{ customers(frist: 1) { nodes { id } } }"])
def test_no_typo_is_answered_with_a_name(pair: str, company: Company, typo: str) -> None:
    assert "Did you mean" not in str(ask(pair, company.headers("manager"), typo))


def test_there_is_no_console_and_nothing_is_answered_by_get(pair: str, company: Company) -> None:
    for path in ("/graphql", "/graphiql", "/graphql?query={viewer{id}}", "/graphql?query=mutation{signOut{done}}"):
        answer = httpx.get(f"{pair}{path}", headers=company.headers("manager"))
        assert answer.status_code in (404, 405)
        assert "graphiql" not in answer.text.lower()


@pytest.mark.parametrize(
    "media", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"]
)
def test_no_form_can_send_a_document(pair: str, company: Company, media: str) -> None:
    headers = {**company.headers("manager"), "content-type": media}
    answer = posted(pair, headers, content=b"query={viewer{id}}")
    assert answer.status_code == 415
    assert "data" not in answer.json()


def test_documents_do_not_come_in_batches(pair: str, company: Company) -> None:
    answer = posted(pair, company.headers("manager"), json=[{"query": "{ viewer { id } }"}] * 10)
    assert answer.status_code == 400
    assert "data" not in answer.json()


@pytest.mark.parametrize("document", [
    "{" + " ".join(f"a{number}: viewer {{ id }}" for number in range(101)) + "}",
    "{ viewer { id " + "@include(if: true) " * 150 + "} }",
    "{ viewer { " + "id " * 1_000 + "} }",
    "{ viewer { " + "@aa " * 50 + "id } }",
])  # fmt: skip
def test_overloading_is_refused(pair: str, company: Company, document: str) -> None:
    assert "data" not in ask(pair, company.headers("manager"), document)


def test_answers_carry_no_trace(pair: str, company: Company) -> None:
    answer = ask(pair, company.headers("manager"), "{ viewer { id } }")
    assert set(answer["extensions"]) == {"cost"}  # type: ignore[call-overload]
    broken = posted(pair, company.headers("manager"), content=b"{")
    assert "Traceback" not in broken.text
