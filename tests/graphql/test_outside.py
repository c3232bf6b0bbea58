"""Signing in by a provider that others wrote, over HTTP, as a browser does (R66, P4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from oidc_provider_mock import run_server_in_thread
from pydantic import SecretStr

from tests.fixtures.company import Company, another_process
from tests.graphql.conftest import Stores, lives

GROUPS = json.dumps({"east-agents": "AGENT@east", "auditors": "AUDITOR"})
REDEEM = """mutation($i: RedeemSignInInput!) { redeemSignIn(input: $i) {
  session { accessToken user { id name roles email department { key } } } userErrors { code } } }"""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
CODE = re.compile(r'<code id="sign-in-code">(sc_[A-Za-z0-9_-]{43})</code>')


@pytest.fixture(scope="module")
def provider(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[str]:
    """`oidc-provider-mock` on a free port; its issuer."""
    monkeypatch_module.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with run_server_in_thread(require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    """For as long as the provider runs."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def door(company: Company, provider: str) -> Iterator[Company]:
    """A process of the API at which the provider's people sign in."""
    secret = SecretStr("s3cret")
    values = {"oidc_issuer": provider, "oidc_client_id": "anjuan", "oidc_client_secret": secret, "oidc_groups": GROUPS}
    with another_process(company, **values) as other:
        yield other


def person(provider: str, subject: str, *groups: str, **claims: Any) -> str:
    given = {
        "name": "钱外",
        "email": f"{subject}@example.org",
        "email_verified": True,
        "groups": list(groups),
        **claims,
    }
    assert httpx.put(f"{provider}/users/{subject}", json=given).status_code == 204
    return subject


def consented(address: str, subject: str) -> str:
    """The provider's form, sent by somebody: where their browser is sent back to."""
    answer = httpx.post(address, data={"sub": subject})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def shown_code(door: Company, browser: httpx.Client, subject: str) -> str:
    """A sign-in up to the code that the page shows."""
    away = browser.get(f"{door.url}/oidc/start")
    assert away.status_code == 303
    page = browser.get(consented(away.headers["location"], subject))
    assert page.status_code == 200, page.text
    found = CODE.search(page.text)
    assert found, page.text
    return found[1]


def redeemed(door: Company, code: str) -> Any:
    return door.ask(None, REDEEM, i={"code": code})["data"]["redeemSignIn"]


def test_a_colleague_signs_in_by_the_provider_and_changes_groups(door: Company, provider: str, stores: Stores) -> None:
    subject = person(provider, "qian", "east-agents")
    with httpx.Client() as browser:
        code = shown_code(door, browser, subject)
        session = redeemed(door, code)["session"]
        assert session["user"]["roles"] == ["AGENT"]
        assert (session["user"]["name"], session["user"]["email"]) == ("钱外", "qian@example.org")
        assert session["user"]["department"] == {"key": "east"}
        assert lives(door, session["accessToken"])
        assert redeemed(door, code) == {"session": None, "userErrors": [{"code": "SIGN_IN_REFUSED"}]}
        # The directory moves them; at their next sign-in they are what they are there, the same account.
        browser.cookies.clear()
        stores.change("users", session["user"]["id"], {"$set": {"external.as_of": LONG_AGO}})
        person(provider, subject, "auditors")
        again = redeemed(door, shown_code(door, browser, subject))["session"]
    assert again["user"]["id"] == session["user"]["id"]
    assert (again["user"]["roles"], again["user"]["department"]) == (["AUDITOR"], None)
    entries = stores.find("journal", {"facets.records": session["user"]["id"]}, sort=[("_id", 1)])
    assert [entry["facets"]["action"] for entry in entries] == ["user.join", "user.regroup"]


def test_a_stranger_of_the_provider_gets_nothing(door: Company, provider: str, stores: Stores) -> None:
    before = stores.everything()
    with httpx.Client() as browser:
        code = shown_code(door, browser, person(provider, "stranger", "kitchen"))
    assert redeemed(door, code) == {"session": None, "userErrors": [{"code": "SIGN_IN_REFUSED"}]}
    after = {name: value for name, value in stores.everything().items() if not name.startswith("outside_sign_ins/")}
    assert after == {name: value for name, value in before.items() if not name.startswith("outside_sign_ins/")}


def test_the_way_back_is_the_browsers_own_and_good_once(door: Company, provider: str) -> None:
    subject = person(provider, "zhao", "auditors")
    with httpx.Client() as attacker, httpx.Client() as victim:
        away = attacker.get(f"{door.url}/oidc/start")
        back = consented(away.headers["location"], subject)
        for other in (victim, httpx):
            refused = other.get(back)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "SIGN_IN_REFUSED")
            assert "location" not in refused.headers
        victim.get(f"{door.url}/oidc/start")
        assert victim.get(back).status_code == 403, "nor with a cookie of their own"
        assert attacker.head(back).status_code == 405, "a look ahead takes nothing"
        assert attacker.get(back).status_code == 200
        assert attacker.get(back).status_code == 403


def test_the_cookie_is_kept_from_pages_and_other_sites(door: Company) -> None:
    answer = httpx.get(f"{door.url}/oidc/start")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("anjuan-sign-in=")
    assert {"httponly", "samesite=lax", "path=/", "max-age=600"} <= {part.strip() for part in cookie.split(";")}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["return_to", "next", "redirect_uri", "redirect", "url", "return_url", "state"])
def test_nothing_that_a_request_says_decides_where_a_browser_goes(door: Company, provider: str, name: str) -> None:
    """Open redirects."""
    evil = {name: "https://evil.example/"}
    headers = {"referer": "https://evil.example/", "x-forwarded-host": "evil.example", "host": "evil.example"}
    away = httpx.get(f"{door.url}/oidc/start", params=evil, headers=headers)
    assert away.status_code == 303
    assert away.headers["location"].startswith(f"{provider}/oauth2/authorize?")
    assert "evil" not in away.headers["location"]
    back = httpx.get(f"{door.url}/oidc/callback", params={**evil, "code": "c"}, headers=headers)
    assert back.status_code == 403
    assert "evil" not in back.text + str(back.headers)


def test_what_the_provider_says_went_wrong_is_not_repeated(door: Company) -> None:
    with httpx.Client() as browser:
        away = browser.get(f"{door.url}/oidc/start")
        state = httpx.URL(away.headers["location"]).params["state"]
        error = {"state": state, "error": "access_denied", "error_description": "<script>alert(1)</script>"}
        refused = browser.get(f"{door.url}/oidc/callback", params=error)
    assert refused.status_code == 403
    assert "script" not in refused.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("path", ["start", "callback"])
def test_both_ways_are_for_reading_only(door: Company, method: str, path: str) -> None:
    assert httpx.request(method, f"{door.url}/oidc/{path}").status_code == 405


def test_without_an_issuer_there_is_no_such_door(company: Company) -> None:
    assert httpx.get(f"{company.url}/oidc/start").status_code == 404
    assert redeemed(company, "sc_" + "x" * 43) == {"session": None, "userErrors": [{"code": "SIGN_IN_REFUSED"}]}
