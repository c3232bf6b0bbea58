"""Accounts that an outside issuer's groups make and change, and sign-ins by it under attack (R66, P8, P14, P15)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
import pytest_asyncio
import time_machine

from service.access.policy import Role
from service.clock import now
from service.errors import Code, Invalid, NotSignedIn, Refused
from service.identity.groups import Groups
from service.identity.issuer import Issuer, IssuerSettings
from service.identity.model import OUTSIDE_SIGN_INS, SESSIONS, USERS, Tokens
from service.identity.outside import OutsideAccounts
from service.identity.outside_repository import INDEXES
from service.identity.outside_sign_in import SESSION_LIFE, UNDER_WAY_MOST, OutsideSignIn
from service.journal.model import JOURNAL
from service.journal.service import Journal
from tests.fixtures.issuer import ALGORITHM, AUDIENCE, CLIENT, SECRET, SUBJECT, TestIssuer, new_rsa, running_issuer
from tests.unit.identity.conftest import SOURCE, World
from tests.unit.identity.test_issuer import hs256, made, pem, rs256

REDIRECT = "https://anjuan.example/oidc/callback"
GROUPS = json.dumps({
    "auditors": "AUDITOR", "agents": "AGENT@sales", "leads": ["SUPERVISOR@sales", "AGENT@sales"], "admins": "ADMIN",
    "lost": "CLERK", "elsewhere": "CLERK@nowhere",
})  # fmt: skip


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    """An issuer of the test's own."""
    with running_issuer() as found:
        yield found


@dataclass
class Outside:
    """A process to which the issuer's people come."""

    world: World
    issuer: TestIssuer
    accounts: OutsideAccounts
    sign_in: OutsideSignIn

    async def away(self, browser: str | None = None) -> tuple[str, str]:
        """A sign-in begun: where the browser is sent, and its cookie."""
        departure = await self.sign_in.begin(browser, SOURCE)
        return departure.address, departure.browser

    async def back(self, address: str, browser: str | None, **changes: str | None) -> str:
        """The browser comes back to this address; `changes` are the attacker's."""
        given: dict[str, Any] = {"iss": None, **dict(parse_qsl(urlsplit(address).query)), **changes}
        return await self.sign_in.finish(
            state=given["state"], code=given["code"], issuer=given["iss"], browser=browser, source=SOURCE
        )

    async def signed_in(self) -> Tokens:
        """A whole sign-in."""
        address, browser = await self.away()
        code = await self.back(self.issuer.consent(address), browser)
        return await self.sign_in.redeem(code, source=SOURCE, request_id="req_test")

    async def refused_on_the_way_back(self, address: str, browser: str | None, **changes: str | None) -> None:
        with pytest.raises(Refused) as refused:
            await self.back(address, browser, **changes)
        assert (refused.value.problem.code, refused.value.problem.params) == (Code.SIGN_IN_REFUSED, {})

    async def refused_at_the_end(self, code: str) -> None:
        with pytest.raises(Invalid) as refused:
            await self.sign_in.redeem(code, source=SOURCE, request_id="req_test")
        assert [problem.code for problem in refused.value.problems] == [Code.SIGN_IN_REFUSED]

    async def account(self) -> dict[str, Any]:
        found = await self.world.database.collection(USERS).find_one({"external.subject": SUBJECT})
        assert found is not None
        return found


@pytest_asyncio.fixture
async def outside(world: World, issuer: TestIssuer) -> AsyncIterator[Outside]:
    """One configured."""
    await world.database.ensure(INDEXES)
    door = Issuer(IssuerSettings(issuer.url, AUDIENCE, CLIENT, SECRET))
    accounts = OutsideAccounts(world.database, world.identity, Journal(world.database), door, Groups(GROUPS))
    world.identity.open_door(accounts)
    yield Outside(world, issuer, accounts, OutsideSignIn(door, accounts, REDIRECT))
    await door.close()


def at(seconds: int) -> dict[str, int]:
    """Issued so many seconds after a minute ago."""
    issued = int(time.time()) - 60 + seconds
    return {"iat": issued, "exp": issued + 600}


# Access tokens


async def test_the_first_token_makes_the_account_and_the_journal_tells(outside: Outside) -> None:
    token = outside.issuer.token()
    caller = await outside.world.here.caller(token)
    again = await outside.world.here.caller(outside.issuer.token())

    user = await outside.account()
    assert (caller.actor.id, caller.actor.name, caller.actor.session) == (user["_id"], "孙外", None)
    assert caller.actor.roles == {Role.AUDITOR}
    assert again.actor == caller.actor
    assert user["password"] is None
    found = await outside.world.database.collection(JOURNAL).find({"facets.records": user["_id"]})
    (entry,) = [json.loads(bytes(one["entry"])) for one in found]
    assert (entry["action"], entry["actor"], entry["source"]) == ("user.join", user["_id"], SOURCE)
    assert "sun@example.com" not in bytes(found[0]["entry"]).decode()


async def test_nobody_signs_in_by_password_to_an_account_from_outside(outside: Outside) -> None:
    await outside.world.here.caller(outside.issuer.token())
    for password in ("", "None", "null", "violet anvil 37 rivers"):
        with pytest.raises(Invalid):
            await outside.world.sign_in("sun@example.com", password)


async def test_other_groups_are_other_rights_at_the_next_token(outside: Outside) -> None:
    first = outside.issuer.token(groups=["leads", "unknown"], **at(0))
    caller = await outside.world.here.caller(first)
    assert caller.actor.roles == {Role.SUPERVISOR, Role.AGENT}
    assert caller.actor.department is not None

    second = await outside.world.here.caller(outside.issuer.token(groups=["agents"], **at(1)))

    assert second.actor.roles == {Role.AGENT}
    assert (await outside.world.here.caller(first)).actor.roles == {Role.AGENT}, "an older token brings nothing back"
    silent = await outside.world.here.caller(outside.issuer.token(groups=..., **at(2)))
    assert silent.actor.roles == {Role.AGENT}
    assert (await outside.world.actions())[-1] == "user.regroup"


async def test_who_is_in_no_group_is_out_with_every_older_token_and_session(outside: Outside) -> None:
    """P14: at the next query, in every process."""
    outside.issuer.person = at(0)
    tokens, older = await outside.signed_in(), outside.issuer.token(**at(1))
    elsewhere = outside.world.process()
    assert await elsewhere.caller(tokens.access_token)
    assert await outside.world.here.caller(older)

    with pytest.raises(NotSignedIn):
        await outside.world.here.caller(outside.issuer.token(groups=[], **at(2)))

    with pytest.raises(NotSignedIn):
        await outside.world.here.caller(older)
    with pytest.raises(NotSignedIn):
        await elsewhere.caller(tokens.access_token)
    assert (await outside.world.actions())[-1] == "user.leave"
    # Who comes back has what they had.
    assert (await outside.world.here.caller(outside.issuer.token(**at(3)))).actor.roles == {Role.AUDITOR}


async def test_nobody_gets_an_account_without_a_role_or_with_anothers_address(outside: Outside) -> None:
    """An address proves nothing: no account is taken over by one (P15: nothing changes)."""
    before = await outside.world.everything()
    for changes in (
        {"groups": []}, {"groups": ["strangers"]}, {"groups": ...}, {"groups": ["lost"]}, {"groups": ["elsewhere"]},
        {"email": ...}, {"email": "no address"}, {"email_verified": False}, {"email": "agent@example.com"},
        {"email": "ADMIN@example.com"},
    ):  # fmt: skip
        with pytest.raises(NotSignedIn):
            await outside.world.here.caller(outside.issuer.token(**changes))
        assert await outside.world.everything() == before, changes


async def test_what_an_administrator_disabled_stays_disabled(outside: Outside) -> None:
    token = outside.issuer.token(**at(0))
    caller = await outside.world.here.caller(token)
    admin = await outside.world.signed_in("admin@example.com")
    await outside.world.identity.disable_user(admin, caller.actor.id, 1)
    for given in (token, outside.issuer.token(groups=["admins"], **at(1))):
        with pytest.raises(NotSignedIn):
            await outside.world.here.caller(given)


async def test_groups_that_can_not_be_meant_are_named() -> None:
    for text, named in (("{", "no JSON"), ("[]", "no JSON"), ('{"g": "KING"}', "'g'"), ('{"g": [7]}', "'g'")):
        with pytest.raises(LookupError, match=named):
            Groups(text)


# Signing in


async def test_a_sign_in_ends_in_a_session_of_ours_and_nothing_changes_before(outside: Outside) -> None:
    before = await outside.world.everything()
    address, browser = await outside.away()
    asked = dict(parse_qsl(urlsplit(address).query))
    code = await outside.back(outside.issuer.consent(address), browser)
    assert await outside.world.everything() == before, "P4: no GET changes an account, a session or the journal"

    tokens = await outside.sign_in.redeem(code, source=SOURCE, request_id="req_test")

    assert asked["redirect_uri"] == REDIRECT
    assert asked["scope"] == "openid profile email"
    caller = await outside.world.here.caller(tokens.access_token)
    assert caller.actor.roles == {Role.AUDITOR}
    assert await outside.world.refresh(tokens.refresh_token)
    assert (await outside.world.actions())[-3:] == ["user.join", "session.start", "session.refresh"]
    (session,) = await outside.world.identity.sessions(caller)
    assert session.source == SOURCE
    await outside.refused_at_the_end(code)


async def test_no_secret_of_a_sign_in_stands_in_the_database(outside: Outside) -> None:
    address, browser = await outside.away()
    code = await outside.back(outside.issuer.consent(address), browser)
    await outside.away()
    stored = repr(await outside.world.database.collection(OUTSIDE_SIGN_INS).find({}))
    for secret in (browser, code, dict(parse_qsl(urlsplit(address).query))["state"]):
        assert secret not in stored


async def test_a_state_opens_once_for_its_own_browser_and_for_ten_minutes(outside: Outside) -> None:
    address, browser = await outside.away()
    back = outside.issuer.consent(address)
    _, others = await outside.away()
    # Login CSRF: the attacker's answer in the victim's browser, with another cookie or none
    for cookie in (others, None, "", "x" * 43):
        await outside.refused_on_the_way_back(back, cookie)
    for state in ("", "x" * 43, "é" * 43, "$ne", None):
        await outside.refused_on_the_way_back(back, browser, state=state)
    assert await outside.back(back, browser)
    await outside.refused_on_the_way_back(back, browser)  # replay
    address, browser = await outside.away()
    back = outside.issuer.consent(address)
    with time_machine.travel(now() + timedelta(minutes=11), tick=True):
        await outside.refused_on_the_way_back(back, browser)


async def test_two_tabs_of_one_browser_do_not_disturb_each_other(outside: Outside) -> None:
    first, browser = await outside.away()
    second, same = await outside.away(browser)
    assert browser == same
    assert (await outside.away("made up by somebody"))[1] != "made up by somebody"
    for address in (second, first):
        assert await outside.back(outside.issuer.consent(address), browser)


async def test_an_answer_of_another_issuer_is_refused_before_its_code_is_sent_anywhere(outside: Outside) -> None:
    """Mix-up (RFC 9207)."""
    address, browser = await outside.away()
    await outside.refused_on_the_way_back(outside.issuer.consent(address, iss="https://evil.example"), browser)
    assert outside.issuer.asked["/token"] == 0
    address, browser = await outside.away()
    assert await outside.back(outside.issuer.consent(address, iss=outside.issuer.url), browser)


async def test_an_issuer_that_names_itself_must_do_so_in_each_answer(outside: Outside) -> None:
    outside.issuer.discovery = {"authorization_response_iss_parameter_supported": True}
    address, browser = await outside.away()
    await outside.refused_on_the_way_back(outside.issuer.consent(address), browser)
    assert outside.issuer.asked["/token"] == 0


async def test_a_code_is_good_once_and_only_with_its_verifier(outside: Outside) -> None:
    """Code replay and injection: the issuer compares S256 of what we keep (RFC 7636)."""
    address, browser = await outside.away()
    stolen = dict(parse_qsl(urlsplit(outside.issuer.consent(address)).query))["code"]
    mine, my_browser = await outside.away()
    await outside.refused_on_the_way_back(outside.issuer.consent(mine), my_browser, code=stolen)
    used = outside.issuer.consent(address)
    assert await outside.back(used, browser)
    again, browser = await outside.away()
    code = dict(parse_qsl(urlsplit(used).query))["code"]
    await outside.refused_on_the_way_back(outside.issuer.consent(again), browser, code=code)
    again, browser = await outside.away()
    for nothing in (None, "", "x" * 5_000):
        await outside.refused_on_the_way_back(outside.issuer.consent(again), browser, code=nothing)


FORGED: dict[str, Any] = {
    "another nonce": lambda i, c: made(i, {"typ": "JWT"}, {**c, "nonce": "n"}),
    "no nonce": lambda i, c: made(i, {"typ": "JWT"}, {n: v for n, v in c.items() if n != "nonce"}),
    "a nonce in a list": lambda i, c: made(i, {"typ": "JWT"}, {**c, "nonce": [c["nonce"]]}),
    "another client": lambda i, c: made(i, {"typ": "JWT"}, {**c, "aud": "another-client"}),
    "our API's audience": lambda i, c: made(i, {"typ": "JWT"}, {**c, "aud": AUDIENCE}),
    "several clients, party unnamed": lambda i, c: made(i, {"typ": "JWT"}, {**c, "aud": [CLIENT, "another"]}),
    "made for another party": lambda i, c: made(i, {"typ": "JWT"}, {**c, "azp": "another"}),
    "another issuer": lambda i, c: made(i, {"typ": "JWT"}, {**c, "iss": "https://evil.example"}),
    "expired": lambda i, c: made(i, {"typ": "JWT"}, {**c, "iat": c["iat"] - 900, "exp": c["iat"] - 600}),
    "unsigned": lambda i, c: made(i, {"typ": "JWT", "alg": "none"}, c, lambda _: b""),
    "HS256 with the public key": lambda i, c: made(i, {"typ": "JWT", "alg": "HS256"}, c, hs256(pem(i))),
    "HS256 with our secret": lambda i, c: made(i, {"typ": "JWT", "alg": "HS256"}, c, hs256(SECRET.encode())),
    "a stranger's": lambda i, c: made(i, {"typ": "JWT"}, c, rs256(new_rsa())),
    "an access token": lambda i, c: made(i, {"typ": "at+jwt"}, c),
    "another access token's hash": lambda i, c: made(i, {"typ": "JWT"}, {**c, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "no token": lambda i, c: None,
    "an object": lambda i, c: {},
}  # fmt: skip


async def test_a_forged_id_token_signs_nobody_in(outside: Outside) -> None:
    before = await outside.world.everything()
    for name, forge in FORGED.items():
        outside.issuer.id_token = lambda claims, forge=forge: forge(outside.issuer, claims)  # type: ignore[misc]
        address, browser = await outside.away()
        asked = outside.issuer.asked["/token"]
        await outside.refused_on_the_way_back(outside.issuer.consent(address), browser)
        assert outside.issuer.asked["/token"] == asked + 1, name
    assert await outside.world.everything() == before
    assert await outside.world.database.collection(OUTSIDE_SIGN_INS).find({"stage": "DONE"}) == []
    outside.issuer.id_token = None
    assert await outside.signed_in(), "the one that all of them start from is accepted"


async def test_an_id_token_without_a_key_id_needs_an_issuer_with_a_single_key(outside: Outside) -> None:
    outside.issuer.id_token = lambda claims: made(outside.issuer, {"typ": "JWT", "kid": ...}, claims)
    assert await outside.signed_in()
    outside.issuer.keys = {**outside.issuer.keys, "o2": new_rsa()}
    outside.sign_in._issuer.keys._begun = outside.sign_in._issuer.keys._fetched = float("-inf")
    address, browser = await outside.away()
    await outside.refused_on_the_way_back(outside.issuer.consent(address), browser)


async def test_an_id_token_is_no_access_token(outside: Outside) -> None:
    claims = outside.issuer.claims(aud=CLIENT, nonce="n")
    token = jwt.encode(claims, outside.issuer.keys["o1"], ALGORITHM, {"kid": "o1"})
    with pytest.raises(NotSignedIn):
        await outside.world.here.caller(token)


async def test_groups_come_from_userinfo_where_the_id_token_has_none_and_only_of_the_same_person(
    outside: Outside,
) -> None:
    outside.issuer.person = {"groups": ...}
    outside.issuer.userinfo = {"sub": SUBJECT, "groups": ["auditors"]}
    tokens = await outside.signed_in()
    assert tokens.user.roles == [Role.AUDITOR]
    outside.issuer.userinfo = {"sub": "somebody else", "groups": ["admins"]}
    address, browser = await outside.away()
    await outside.refused_on_the_way_back(outside.issuer.consent(address), browser)


async def test_our_own_code_lives_for_a_minute_and_is_nothing_else(outside: Outside) -> None:
    address, browser = await outside.away()
    code = await outside.back(outside.issuer.consent(address), browser)
    state = dict(parse_qsl(urlsplit(address).query))["state"]
    for wrong in ("", "sc_", code[3:], f"sc_{state}", code[:-1], code + "A", code.upper(), "sc_" + "é" * 43):
        await outside.refused_at_the_end(wrong)
    with time_machine.travel(now() + timedelta(seconds=61), tick=True):
        await outside.refused_at_the_end(code)
    assert await outside.world.database.collection(SESSIONS).find({}) == []


async def test_after_half_a_day_the_issuer_is_asked_again_however_often_tokens_are_renewed(outside: Outside) -> None:
    tokens = await outside.signed_in()
    for hours in (5, 10, 11):
        with time_machine.travel(now() + timedelta(hours=hours), tick=True):
            tokens = await outside.world.refresh(tokens.refresh_token)
    with time_machine.travel(now() + SESSION_LIFE, tick=True), pytest.raises(Invalid):
        await outside.world.refresh(tokens.refresh_token)


async def test_an_issuer_out_of_reach_is_not_asked_for_each_that_comes(outside: Outside) -> None:
    outside.issuer.discovery = {"issuer": "https://evil.example"}
    for _ in range(20):
        with pytest.raises(Refused):
            await outside.away()
    assert outside.issuer.asked["/.well-known/openid-configuration"] == 1


async def test_who_has_no_role_is_told_nothing_at_the_end(outside: Outside) -> None:
    outside.issuer.person = {"groups": ["strangers"]}
    before = await outside.world.everything()
    address, browser = await outside.away()
    await outside.refused_at_the_end(await outside.back(outside.issuer.consent(address), browser))
    assert await outside.world.everything() == before


async def test_one_source_begins_a_bounded_number_of_sign_ins(outside: Outside) -> None:
    for _ in range(UNDER_WAY_MOST):
        await outside.away()
    with pytest.raises(Refused) as refused:
        await outside.away()
    assert refused.value.problem.code is Code.THROTTLED
    assert (await outside.sign_in.begin(None, "203.0.113.7")).address.startswith(outside.issuer.url)


async def test_an_issuer_that_does_not_answer_is_one_refusal(outside: Outside) -> None:
    outside.issuer.discovery = {"issuer": "https://evil.example", "pad": urlencode({"a": "b"})}
    with pytest.raises(Refused) as refused:
        await outside.away()
    assert refused.value.problem.code is Code.SIGN_IN_REFUSED
