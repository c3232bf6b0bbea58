"""Signing keys are rotated while clients work, on several processes: nobody is refused (P9)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from service.crypto.signing import announce_signing_key, rotate_signing_key
from tests.fixtures.company import PASSWORD, Company, another_process, environment_of
from tests.graphql.conftest import Stores, employed

SIGN_IN = "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken refreshToken } } }"
REFRESH = "mutation($i: RefreshSessionInput!) { refreshSession(input: $i) { session { accessToken refreshToken } } }"
CLIENTS = 4


@pytest.fixture
def second(company: Company) -> Iterator[Company]:
    """Another process of the API on the same stores and the same keyring."""
    with another_process(company) as other:
        yield other


def anjuan(company: Company, *arguments: str) -> str:
    command = [sys.executable, "-m", "service.cli", *arguments]
    done = subprocess.run(command, env=environment_of(company.settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rotations_under_load_refuse_nobody(company: Company, second: Company, stores: Stores) -> None:
    # Given clients who renew their tokens at one process and use them at the other, without a pause
    over, kids, refused, answered = threading.Event(), set[str](), list[str](), [0] * CLIENTS
    urls = [f"{one.url}/graphql" for one in (company, second)]
    people = [employed(company, ["CLERK"])[0] for _ in range(CLIENTS)]

    def post(client: httpx.Client, url: str, document: str, token: str = "", **values: Any) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = client.post(url, json={"query": document, "variables": {"i": values}}, headers=headers)
        if answer.status_code != 200 or "errors" in answer.json():
            refused.append(answer.text)
        return answer.json().get("data") or {}

    def work(number: int) -> None:
        with httpx.Client(timeout=30) as client:
            begun = post(client, urls[0], SIGN_IN, email=f"{people[number]}@example.com", password=PASSWORD)
            session, turn = begun["signIn"]["session"], number
            while not over.is_set() and not refused:
                turn += 1
                made = post(client, urls[turn % 2], REFRESH, refreshToken=session["refreshToken"])
                former, session = session, made["refreshSession"]["session"]
                kids.add(jwt.get_unverified_header(session["accessToken"])["kid"])
                for token in (former["accessToken"], session["accessToken"]):
                    for url in reversed(urls):
                        seen = post(client, url, "{ viewer { id } }", token)
                        answered[number] += bool(seen.get("viewer"))

    # When the key is rotated three times, once announced before
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(work, number) for number in range(CLIENTS)]
        try:
            company.eventually(lambda: all(answered) or refused)
            for change in (rotate_signing_key, announce_signing_key, rotate_signing_key):
                time.sleep(0.5)
                change(company.settings.keyring_path)
            anjuan(company, "rotate-signing-key")
            time.sleep(1)
        finally:
            over.set()
        for one in running:
            one.result()
    # Then every request was answered, with tokens of all keys
    assert not refused, refused[:3]
    assert min(answered) > 20
    assert len(kids) == 4
    entries = stores.find("journal", {"facets.action": {"$regex": "^signing_key"}})
    assert [entry["facets"]["action"] for entry in entries] == ["signing_key.rotate"]


def test_a_leaked_key_opens_no_door_once_it_is_retired_at_once(company: Company) -> None:
    name, _ = employed(company, ["CLERK"])
    token = company.token(name)
    assert "errors" not in company.ask(name, "{ viewer { id } }"), "the process remembers this token"
    rotate_signing_key(company.settings.keyring_path)

    anjuan(company, "rotate-signing-key", "--retire-old", "--at-once")

    answer = httpx.post(
        f"{company.url}/graphql", json={"query": "{ viewer { id } }"}, headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    company._tokens.clear()  # everybody signs in anew
    assert company.data(name, "{ viewer { id } }")["viewer"]


def test_a_key_whose_tokens_live_is_not_retired(company: Company) -> None:
    command = [sys.executable, "-m", "service.cli", "rotate-signing-key"]
    environment = environment_of(company.settings)
    rotate_signing_key(company.settings.keyring_path)
    done = subprocess.run([*command, "--retire-old"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "may live for another" in done.stderr
    assert "Traceback" not in done.stderr
