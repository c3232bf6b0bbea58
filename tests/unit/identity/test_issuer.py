"""Forged tokens of an outside issuer, from the attacker's side; its keys are fetched at most once a minute (P8, P9)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.errors import NotSignedIn
from service.identity import issuer_keys
from service.identity.issuer import Issuer, IssuerSettings, IssuerTrouble
from service.identity.issuer_keys import typed_keys
from tests.fixtures.issuer import AUDIENCE, CLIENT, SECRET, SUBJECT, TestIssuer, new_rsa, public_jwk, running_issuer

JWKS = "/jwks"
STRANGER = new_rsa()


@pytest.fixture(scope="module")
def shared() -> Iterator[TestIssuer]:
    """One issuer for tokens that change nothing."""
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def outside() -> Iterator[TestIssuer]:
    """An issuer of the test's own."""
    with running_issuer() as issuer:
        yield issuer


def opened(issuer: TestIssuer, **changes: Any) -> Issuer:
    return Issuer(IssuerSettings(**{
        "issuer": issuer.url, "audience": AUDIENCE, "client_id": CLIENT, "client_secret": SECRET, **changes,
    }))  # fmt: skip


@pytest_asyncio.fixture
async def door(outside: TestIssuer) -> AsyncIterator[Issuer]:
    """What verifies."""
    found = opened(outside)
    yield found
    await found.close()


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(
    issuer: TestIssuer, header: dict[str, Any], claims: object, sign: Callable[[bytes], bytes] | None = None
) -> str:
    """Compact serialisation of whatever it is given, signed by the issuer's own key unless told otherwise."""
    good = {"alg": "RS256", "kid": "o1", "typ": "at+jwt"}
    whole = {name: value for name, value in {**good, **header}.items() if value is not ...}
    text = f"{part(whole)}.{part(claims)}".encode()
    signed = sign(text) if sign else jwt.get_algorithm_by_name("RS256").sign(text, issuer.keys["o1"])
    return f"{text.decode()}.{part(signed)}"


def pem(issuer: TestIssuer) -> bytes:
    return issuer.keys["o1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256(key: bytes) -> Callable[[bytes], bytes]:
    return lambda text: hmac.new(key, text, hashlib.sha256).digest()


def rs256(key: Any) -> Callable[[bytes], bytes]:
    return lambda text: bytes(jwt.get_algorithm_by_name("RS256").sign(text, key))


AT = int(time.time())
Hostile = Callable[[TestIssuer], str]
HEADERS: dict[str, Hostile] = {
    "unsigned": lambda i: made(i, {"alg": "none"}, i.claims(), lambda _: b""),
    "unsigned, in capitals": lambda i: made(i, {"alg": "NONE"}, i.claims(), lambda _: b""),
    "no signature": lambda i: i.token().rsplit(".", 1)[0] + ".",
    "another token's signature": lambda i: i.token().rsplit(".", 1)[0] + "." + i.token().rsplit(".", 1)[1],
    "HS256 with the public key": lambda i: made(i, {"alg": "HS256"}, i.claims(), hs256(pem(i))),
    "HS256 under the name RS256": lambda i: made(i, {}, i.claims(), hs256(pem(i))),
    "HS256 with an empty key": lambda i: made(i, {"alg": "HS256"}, i.claims(), hs256(b"")),
    "RS512 of the right key": lambda i: jwt.encode(i.claims(), i.keys["o1"], "RS512", {"kid": "o1", "typ": "at+jwt"}),
    "PS256 of the right key": lambda i: jwt.encode(i.claims(), i.keys["o1"], "PS256", {"kid": "o1", "typ": "at+jwt"}),
    "alg missing": lambda i: made(i, {"alg": ...}, i.claims()),
    "alg in a list": lambda i: made(i, {"alg": ["RS256"]}, i.claims()),
    "a stranger's signature": lambda i: made(i, {}, i.claims(), rs256(STRANGER)),
    "a stranger's key in the header": lambda i: made(
        i, {"jwk": public_jwk(STRANGER, "o1")}, i.claims(), rs256(STRANGER)
    ),
    "a stranger's key by address": lambda i: made(i, {"jku": "https://evil.example/jwks"}, i.claims()),
    "a stranger's certificate by address": lambda i: made(i, {"x5u": "https://evil.example/x5"}, i.claims()),
    "a certificate in the header": lambda i: made(i, {"x5c": ["MIIB"]}, i.claims()),
    "crit": lambda i: made(i, {"crit": ["exp"], "exp": 1}, i.claims()),
    "b64 off": lambda i: made(i, {"b64": False, "crit": ["b64"]}, i.claims()),
    "kid missing": lambda i: made(i, {"kid": ...}, i.claims()),
    "kid null": lambda i: made(i, {"kid": None}, i.claims()),
    "kid in a list": lambda i: made(i, {"kid": ["o1"]}, i.claims()),
    "kid unknown": lambda i: made(i, {"kid": "o2"}, i.claims()),
    "kid as long as a book": lambda i: made(i, {"kid": "o" * 300}, i.claims()),
    "a logout token": lambda i: made(i, {"typ": "logout+jwt"}, i.claims()),
    "nested JSON without end": lambda i: f"{part(b'[' * 2000)}.{part(i.claims())}.AA",
    "not ASCII": lambda i: i.token()[:-1] + "é",
    "padded": lambda i: i.token() + "==",
    "megabytes": lambda i: i.token(pad="x" * 1_000_000),
}  # fmt: skip
CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "the issuer with a slash": {"iss": "http://127.0.0.1/"},
    "the issuer in a list": {"iss": ["http://127.0.0.1"]},
    "another audience": {"aud": "another-api"},
    "an ID token of ours": {"aud": CLIENT},
    "other audiences": {"aud": ["another-api", CLIENT]},
    "an audience that begins alike": {"aud": AUDIENCE + "-2"},
    "the audience inside an object": {"aud": {AUDIENCE: 1}},
    "expired": {"iat": AT - 900, "exp": AT - 600},
    "expired just beyond the leeway": {"iat": AT - 900, "exp": AT - 31},
    "issued tomorrow": {"iat": AT + 86_400, "exp": AT + 86_700},
    "not yet valid": {"nbf": AT + 3_600},
    "lives for a week": {"exp": AT + 7 * 86_400},
    "expires before it was issued": {"exp": AT - 20, "iat": AT - 10},
    "exp as text": {"exp": str(AT + 300)},
    "exp true": {"exp": True},
    "exp infinite": {"exp": float("inf")},
    "iat before all time": {"iat": -1},
    "subject a query": {"sub": {"$ne": ""}},
    "subject empty": {"sub": ""},
    "subject as long as a book": {"sub": "s" * 300},
    "jti a number": {"jti": 7},
    "groups a text": {"groups": "admins"},
    "a thousand and one groups": {"groups": ["auditors"] * 1_001},
}
CLAIMS |= {f"without {name}": {name: ...} for name in ("exp", "aud", "iss", "iat", "jti", "sub")}


def with_claims(changes: dict[str, Any]) -> Hostile:
    return lambda issuer: made(issuer, {}, issuer.claims(**changes))


HOSTILE = HEADERS | {name: with_claims(changes) for name, changes in CLAIMS.items()}


def test_the_corpus_has_forty_tokens_at_least() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused_without_a_reason(shared: TestIssuer, name: str) -> None:
    door = opened(shared)
    try:
        with pytest.raises(NotSignedIn) as trouble:
            await door.access(HOSTILE[name](shared))
        assert str(trouble.value) == "UNAUTHENTICATED"
        assert trouble.value.__cause__ is None
    finally:
        await door.close()


async def test_the_token_that_all_of_them_start_from_is_accepted(outside: TestIssuer, door: Issuer) -> None:
    for token in (
        outside.token(), made(outside, {}, outside.claims()), outside.token(aud=["account", AUDIENCE]),
        made(outside, {"typ": "JWT"}, outside.claims()), made(outside, {"typ": ...}, outside.claims()),
    ):  # fmt: skip
        person = await door.access(token)
        assert (person.issuer, person.subject, person.groups) == (outside.url, SUBJECT, ("auditors",))
    assert (person.email, person.name) == ("sun@example.com", "孙外")
    assert (await door.access(outside.token(groups=...))).groups is None
    assert (await door.access(outside.token(email_verified=False))).email is None


async def test_without_an_audience_no_token_opens_anything(outside: TestIssuer) -> None:
    door = opened(outside, audience=None)
    with pytest.raises(NotSignedIn):
        await door.access(outside.token())
    await door.close()


async def test_made_up_key_ids_fetch_the_keys_once_a_minute(
    outside: TestIssuer, door: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P9: whoever floods makes one fetch a minute, and holds up nobody whose key is known."""
    await door.access(outside.token())
    assert outside.asked[JWKS] == 1
    clock = [time.monotonic()]
    monkeypatch.setattr(issuer_keys, "monotonic", lambda: clock[0])

    async def flood() -> None:
        forged = [made(outside, {"kid": f"k{number}"}, outside.claims()) for number in range(50)]
        told = await asyncio.gather(*(door.access(token) for token in forged), return_exceptions=True)
        assert all(isinstance(one, NotSignedIn) for one in told)

    await flood()
    assert outside.asked[JWKS] == 1
    for minute in range(1, 4):
        clock[0] += 61
        await flood()
        await flood()
        assert outside.asked[JWKS] == 1 + minute
        assert await door.access(outside.token())


async def test_a_known_key_does_not_wait_for_a_fetch(
    outside: TestIssuer, door: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.access(outside.token())
    clock = [time.monotonic() + 61]
    monkeypatch.setattr(issuer_keys, "monotonic", lambda: clock[0])
    outside.slow_seconds = 2
    unknown = asyncio.create_task(door.access(made(outside, {"kid": "k"}, outside.claims())))
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    assert await door.access(outside.token())
    assert time.perf_counter() - began < 1
    with pytest.raises(NotSignedIn):
        await unknown


async def test_a_key_of_the_issuers_is_taken_up_and_a_withdrawn_one_is_dropped(
    outside: TestIssuer, door: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = outside.token()
    await door.access(old)
    clock = [time.monotonic()]
    monkeypatch.setattr(issuer_keys, "monotonic", lambda: clock[0])
    outside.keys["o2"] = new_rsa()
    clock[0] += 61
    assert await door.access(outside.token(kid="o2"))
    assert await door.access(old)
    del outside.keys["o1"]
    clock[0] += 901
    await door.access(outside.token(kid="o2"))
    await asyncio.sleep(0.3)  # fetched in the background
    with pytest.raises(NotSignedIn):
        await door.access(old)


async def test_an_issuer_out_of_reach_stops_nobody_for_an_hour_and_everybody_then(
    outside: TestIssuer, door: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = outside.token()
    await door.access(token)
    clock = [time.monotonic()]
    monkeypatch.setattr(issuer_keys, "monotonic", lambda: clock[0])
    outside.jwks = lambda _: ["no JWK Set"]
    clock[0] += 1_000
    assert await door.access(token)
    clock[0] += 3_000
    with pytest.raises(NotSignedIn):
        await door.access(token)


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"issuer": ...},
        {"jwks_uri": "http://evil.example/jwks"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"jwks_uri": 7},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "http://evil.example/"},
        {"pad": "x" * 600_000},
    ],
)
async def test_a_discovery_document_that_lies_is_not_believed(
    outside: TestIssuer, door: Issuer, lie: dict[str, Any]
) -> None:
    outside.discovery = {name: None if value is ... else value for name, value in lie.items()}
    with pytest.raises(IssuerTrouble):
        await door.provider()
    with pytest.raises(NotSignedIn):
        await door.access(outside.token())
    assert outside.asked[JWKS] == 0


def test_only_public_keys_of_the_algorithm_are_keys() -> None:
    good = public_jwk(STRANGER, "good")
    edwards = Ed25519PrivateKey.generate().public_key()
    jwks = [
        good,
        public_jwk(STRANGER, "encryption", use="enc"),
        public_jwk(STRANGER, "another algorithm", alg="RS512"),
        {**good, "kid": "private", "d": "AQAB"},
        public_jwk(new_rsa(1024), "short"),
        json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(edwards)) | {"kid": "edwards"},
        json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
        | {"kid": "curve"},
        {"kty": "oct", "kid": "symmetric", "k": "AAAA"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        public_jwk(STRANGER, "twice"),
        public_jwk(STRANGER, "twice"),
        {**good, "kid": None},
        "no object",
    ]
    assert list(typed_keys({"keys": jwks}, "RS256")) == ["good"]
    assert list(typed_keys({"keys": jwks}, "EdDSA")) == ["edwards"]
    assert list(typed_keys({"keys": jwks}, "ES256")) == []
    for nonsense in ({}, {"keys": {}}, {"keys": [good] * 51}):
        with pytest.raises(ValueError, match="JWK"):
            typed_keys(nonsense, "RS256")
