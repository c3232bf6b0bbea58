"""Forged access tokens, from the attacker's side: none is accepted, and none says why (P8, RFC 8725)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import clock_set, new_id, now
from service.errors import NotSignedIn
from service.identity.tokens import CLAIMS, AccessTokens
from tests.unit.identity.conftest import AUDIENCE, ISSUER, OwnKeys

KEYS = OwnKeys()
TOKENS = AccessTokens(KEYS, issuer=ISSUER, audience=AUDIENCE, seconds=600)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OURS = KEYS.keys["k1"]
PUBLIC_RAW = OURS.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
PUBLIC_PEM = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
HEADER = {"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"}


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims but for `changes`; a change to `...` leaves the claim out."""
    at = int(now().timestamp())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": new_id("usr"),
        "sid": new_id("ses"),
        "jti": new_id("tok"),
        "iat": at,
        "exp": at + 600,
        **changes,
    }
    return {name: value for name, value in good.items() if value is not ...}


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, payload: object, sign: Callable[[bytes], bytes] = OURS.sign) -> str:
    """Compact serialisation of whatever it is given: no library is asked for its opinion."""
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(sign(text.encode()))}"


def hs256(key: bytes) -> Callable[[bytes], bytes]:
    return lambda text: hmac.new(key, text, hashlib.sha256).digest()


def header(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**HEADER, **changes}.items() if value is not ...}


def soon(seconds: int) -> int:
    return int(now().timestamp()) + seconds


AT = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
with clock_set(AT):
    GOOD = signed(HEADER, claims())
    OTHER_BODY = signed(HEADER, claims()).split(".")[1]
HEAD, BODY, SIGNATURE = GOOD.split(".")
STRANGER = Ed25519PrivateKey.generate()
JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": part(STRANGER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
}

HOSTILE: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "three empty parts": lambda: "..",
    "one part": lambda: HEAD,
    "two parts": lambda: f"{HEAD}.{BODY}",
    "four parts": lambda: f"{GOOD}.{SIGNATURE}",
    "no signature": lambda: f"{HEAD}.{BODY}.",
    "truncated signature": lambda: GOOD[:-8],
    "truncated by one letter": lambda: GOOD[:-1],
    "longer signature": lambda: GOOD + "AAAA",
    "other letters for the same bits": lambda: GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
    "padded": lambda: GOOD + "==",
    "space before": lambda: " " + GOOD,
    "line feed after": lambda: GOOD + "\n",
    "scheme included": lambda: "Bearer " + GOOD,
    "not ASCII": lambda: GOOD[:-1] + "é",
    "lone surrogate": lambda: GOOD[:-1] + "\ud800",
    "swapped payload": lambda: f"{HEAD}.{OTHER_BODY}.{SIGNATURE}",
    "zero signature": lambda: f"{HEAD}.{BODY}.{part(bytes(64))}",
    "alg none": lambda: signed(header(alg="none"), claims(), lambda _: b""),
    "alg None": lambda: signed(header(alg="None"), claims(), lambda _: b""),
    "alg none, genuine signature": lambda: signed(header(alg="none"), claims()),
    "alg missing": lambda: signed(header(alg=...), claims()),
    "alg null": lambda: signed(header(alg=None), claims()),
    "alg in a list": lambda: signed(header(alg=["EdDSA"]), claims()),
    "alg in lower case": lambda: signed(header(alg="eddsa"), claims()),
    "alg Ed25519": lambda: signed(header(alg="Ed25519"), claims()),
    "HS256 with our public key": lambda: signed(header(alg="HS256"), claims(), hs256(PUBLIC_RAW)),
    "HS256 with our public key as PEM": lambda: signed(header(alg="HS256"), claims(), hs256(PUBLIC_PEM)),
    "HS256 with an empty key": lambda: signed(header(alg="HS256"), claims(), hs256(b"")),
    "HMAC under the name EdDSA": lambda: signed(HEADER, claims(), hs256(PUBLIC_RAW)),
    "RS256 of a stranger": lambda: jwt.encode(claims(), RSA, "RS256", {"kid": "k1", "typ": "at+jwt"}),
    "EdDSA of a stranger": lambda: signed(HEADER, claims(), STRANGER.sign),
    "stranger's key in the header": lambda: signed(header(jwk=JWK), claims(), STRANGER.sign),
    "stranger's key by address": lambda: signed(header(jku="https://evil.example/"), claims(), STRANGER.sign),
    "x5u": lambda: signed(header(x5u="https://evil.example/x5"), claims()),
    "crit": lambda: signed(header(crit=["b64"], b64=False), claims()),
    "unknown kid": lambda: signed(header(kid="k2"), claims()),
    "kid missing": lambda: signed(header(kid=...), claims()),
    "kid empty": lambda: signed(header(kid=""), claims()),
    "kid null": lambda: signed(header(kid=None), claims()),
    "kid in a list": lambda: signed(header(kid=["k1"]), claims()),
    "kid as path": lambda: signed(header(kid="../../dev/null"), claims(), hs256(b"")),
    "typ JWT": lambda: signed(header(typ="JWT"), claims()),
    "typ missing": lambda: signed(header(typ=...), claims()),
    "typ in upper case": lambda: signed(header(typ="AT+JWT"), claims()),
    "header a list": lambda: signed([HEADER], claims()),
    "header no JSON": lambda: signed(b"{", claims()),
    "header nested without end": lambda: signed(b"[" * 1400, claims()),
    "payload nested without end": lambda: signed(HEADER, b"[" * 1200),
    "payload a list": lambda: signed(HEADER, [claims()]),
    "payload no JSON": lambda: signed(HEADER, b"\xff\xfe"),
    "other issuer": lambda: signed(HEADER, claims(iss="anjuan2")),
    "issuer in a list": lambda: signed(HEADER, claims(iss=[ISSUER])),
    "other audience": lambda: signed(HEADER, claims(aud="another-api")),
    "audience in a list": lambda: signed(HEADER, claims(aud=[AUDIENCE, "another-api"])),
    "expired": lambda: signed(HEADER, claims(iat=soon(-700), exp=soon(-100))),
    "expired just beyond the leeway": lambda: signed(HEADER, claims(iat=soon(-606), exp=soon(-6))),
    "issued in the future": lambda: signed(HEADER, claims(iat=soon(60), exp=soon(600))),
    "lives too long": lambda: signed(HEADER, claims(exp=soon(86_400))),
    "expires before it was issued": lambda: signed(HEADER, claims(iat=soon(2), exp=soon(1))),
    "exp as text": lambda: signed(HEADER, claims(exp=str(soon(600)))),
    "exp true": lambda: signed(HEADER, claims(exp=True)),
    "exp infinite": lambda: signed(HEADER, claims(exp=float("inf"))),
    "exp not a number": lambda: signed(HEADER, claims(exp=float("nan"))),
    "exp beyond any date": lambda: signed(HEADER, claims(exp=10**300)),
    "iat fractional": lambda: signed(HEADER, claims(iat=now().timestamp() + 0.5)),
    "subject a session": lambda: signed(HEADER, claims(sub=new_id("ses"))),
    "subject a query": lambda: signed(HEADER, claims(sub={"$ne": ""})),
    "session a query": lambda: signed(HEADER, claims(sid={"$ne": ""})),
    "roles brought along": lambda: signed(HEADER, claims(roles=["ADMIN"])),
    "megabytes": lambda: signed(HEADER, claims(pad="x" * 1_000_000)),
}  # fmt: skip


def with_claim(name: str, value: object) -> Callable[[], str]:
    return lambda: signed(HEADER, claims(**{name: value}))


HOSTILE |= {f"without {name}": with_claim(name, ...) for name in sorted(CLAIMS)}
HOSTILE |= {f"{name} null": with_claim(name, None) for name in sorted(CLAIMS)}


@pytest.fixture(autouse=True, scope="module")
def standing_clock() -> Iterator[None]:
    """Every token is made and judged at one moment, so that none is refused for its age by accident."""
    with clock_set(AT):
        yield


def test_the_corpus_has_forty_tokens_at_least() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_is_refused_without_a_reason(name: str) -> None:
    with pytest.raises(NotSignedIn) as trouble:
        TOKENS.verify(HOSTILE[name]())

    assert str(trouble.value) == "UNAUTHENTICATED"
    assert trouble.value.__cause__ is None


def test_the_hand_made_token_that_all_of_them_start_from_is_accepted() -> None:
    good = claims()

    found = TOKENS.verify(signed(HEADER, good))
    TOKENS.verify(GOOD)

    assert (found.user, found.session) == (good["sub"], good["sid"])


def test_an_issued_token_has_exactly_our_header_and_claims() -> None:
    token, expires = TOKENS.issue(new_id("usr"), new_id("ses"))

    payload = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token) == HEADER
    assert set(payload) == CLAIMS
    assert payload["exp"] == int(expires.timestamp()) == payload["iat"] + 600
    assert TOKENS.issue("usr_x", "ses_x")[0] != TOKENS.issue("usr_x", "ses_x")[0]


def test_a_key_that_is_no_typed_public_key_verifies_nothing() -> None:
    class Untyped(OwnKeys):
        def verification_key(self, kid: str) -> Any:
            return PUBLIC_PEM

    untyped = AccessTokens(Untyped(KEYS.keys), issuer=ISSUER, audience=AUDIENCE, seconds=600)
    for token in (GOOD, HOSTILE["HS256 with our public key as PEM"]()):
        with pytest.raises(NotSignedIn):
            untyped.verify(token)


def test_tokens_signed_before_a_rotation_stay_good_until_their_key_is_withdrawn() -> None:
    keys = OwnKeys()
    tokens = AccessTokens(keys, issuer=ISSUER, audience=AUDIENCE, seconds=600)
    user = new_id("usr")
    old, _ = tokens.issue(user, new_id("ses"))

    keys.keys["k2"], keys.current = Ed25519PrivateKey.generate(), "k2"
    new, _ = tokens.issue(user, new_id("ses"))

    assert [tokens.verify(token).user for token in (old, new)] == [user, user]
    del keys.keys["k1"]
    assert tokens.verify(new).user == user
    with pytest.raises(NotSignedIn):
        tokens.verify(old)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_one_changed_letter_anywhere_is_refused(place: int, letter: str) -> None:
    if GOOD[place] == letter:
        return
    with pytest.raises(NotSignedIn):
        TOKENS.verify(GOOD[:place] + letter + GOOD[place + 1 :])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_as_header_or_payload_are_refused_quietly(head: bytes, body: bytes) -> None:
    for token in (signed(head, body), signed(HEADER, body)):
        with pytest.raises(NotSignedIn):
            TOKENS.verify(token)
