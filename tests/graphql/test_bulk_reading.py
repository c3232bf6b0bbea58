"""Bulk readers are stopped within N+1 records, also slow ones and split accounts, however they ask (P30, R70).

The attacker's side: somebody with a right to every record of a department wants to carry them off. Limits are small here:
30 records in ten minutes, 60 in an hour, 100 in a day, and twice as many for one network source. Where time must pass, the
application runs in this process under a clock of its own, on the same database as the API's process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from infra.local import Endpoints
from service.app import create_app
from service.clock import SetClock, clock_set
from tests.fixtures.company import PASSWORD, PEOPLE, Company, dumped, running_company, settings_on
from tests.graphql.conftest import Stores, as_seen, assigned, employed, lives, signed_in, stored_file
from tests.graphql.sockets import Client

TEN_MINUTES, HOUR, DAY, FACTOR = 30, 60, 100, 2
ONE = "query($i: ID!) { customer(id: $i) { id channels { value } } }"
MANY = "query($n: Int!, $a: String) { customers(first: $n, after: $a) { nodes { id channels { value } } pageInfo { endCursor } } }"
SIGN_IN = "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken } } }"
_sources = itertools.count(1)


@pytest.fixture(scope="module")
def limited(mongo_server: str, s3_server: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company of its own with small limits, behind a proxy, so that each test comes from a source of its own."""
    settings = settings_on(tmp_path_factory.mktemp("limited"), mongo_server, s3_server).model_copy(
        update={
            "reading_limit_ten_minutes": TEN_MINUTES,
            "reading_limit_hour": HOUR,
            "reading_limit_day": DAY,
            "reading_limit_network_factor": FACTOR,
            "trusted_proxies": "127.0.0.1",
            "access_token_seconds": 3 * 86_400,
        }
    )
    with running_company(settings) as company:
        yield company


@pytest.fixture(scope="module")
def customers(limited: Company) -> list[str]:
    """More customers of one department than anybody may read in a day."""
    numbers = range(DAY + 20)
    return [
        limited.new_customer(name=f"批量水务{n}", channels=[{"kind": "PHONE", "value": f"138{n:08d}"}])["id"]
        for n in numbers
    ]


@pytest.fixture(scope="module")
def stores(limited: Company) -> Iterator[Stores]:
    for person in PEOPLE:
        limited.token(person)
    with limited.inside() as (runner, system):
        yield Stores(runner, system)


@pytest.fixture(autouse=True)
def source(limited: Company) -> str:
    """Where this test's requests come from."""
    found = f"198.51.{100 + next(_sources)}.7"
    limited.client.headers["x-forwarded-for"] = found
    return found


@pytest.fixture
def reader(limited: Company) -> tuple[str, str]:
    """Somebody new with a right to every record of the department: their name and id."""
    name, user = employed(limited, ["SUPERVISOR"])
    return name, user["id"]


def code_of(answer: dict[str, Any]) -> str | None:
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


def phones(answer: dict[str, Any]) -> int:
    return dumped(answer).count("+86")


def read_each(company: Company, person: str, customers: list[str]) -> tuple[int, dict[str, Any]]:
    """Reads one by one until something else than a phone comes: how many came, and the last answer."""
    for place, customer in enumerate(customers):
        answer = company.ask(person, ONE, i=customer)
        if not phones(answer):
            return place, answer
    return len(customers), answer


def recorded(stores: Stores, user: str) -> set[str]:
    """Ids of records that the journal says this user was shown."""
    where = {"facets.actor": user, "facets.action": {"$in": ["record.read", "evidence.download"]}}
    return {record for entry in stores.find("journal", where) for record in entry["facets"]["records"]}


def counted(stores: Stores, user: str) -> int:
    return sum(bucket["total"] for bucket in stores.find("reading_counts", {"subject": user}))


def alerts_about(company: Company, user: str) -> list[dict[str, Any]]:
    fields = "id version state kind actors source split window limit count withheld"
    document = f"query($a: ID!) {{ alerts(filter: {{actor: $a}}) {{ nodes {{ {fields} }} }} }}"
    found: list[dict[str, Any]] = company.data("compliance", document, a=user)["alerts"]["nodes"]
    return found


def rows_of(company: Company, alert: str) -> list[dict[str, Any]]:
    """The entries that an alert stands on, page by page."""
    document = """query($l: ID!, $a: String) { auditEntries(filter: {alert: $l}, first: 7, after: $a) {
        nodes { actor action records } pageInfo { hasNextPage endCursor } } }"""
    found, after = [], None
    while True:
        page = company.data("compliance", document, l=alert, a=after)["auditEntries"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


# Fast


def test_a_fast_reader_is_stopped_at_the_limit_and_locked(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str], source: str
) -> None:
    """P30: N records come, not one more; the account is locked, its sessions are dead, and COMPLIANCE has the rows."""
    name, user = reader
    session = signed_in(limited, name)
    # When each record is asked for by itself
    delivered, answer = read_each(limited, name, customers)
    # Then N come, and what comes instead of the next has no data at all
    assert delivered == TEN_MINUTES
    assert code_of(answer) == "ACCOUNT_LOCKED"
    assert "data" not in answer
    # And nobody of this account gets in any more
    assert code_of(limited.ask(name, "{ viewer { id } }")) == "UNAUTHENTICATED"
    assert not lives(limited, session)
    assert signed_in(limited, name) is None
    assert stores.one("users", user)["state"] == "LOCKED"
    # And what was withheld is not said to have been read
    assert recorded(stores, user) == set(customers[:TEN_MINUTES])
    # And there is one alert, with the rows
    (alert,) = alerts_about(limited, user)
    assert alert["state"] == "OPEN"
    assert (alert["actors"], alert["source"], alert["split"]) == ([user], source, False)
    assert (alert["window"], alert["limit"], alert["count"]) == ("TEN_MINUTES", TEN_MINUTES, TEN_MINUTES + 1)
    assert alert["withheld"] == [customers[TEN_MINUTES]]
    rows = rows_of(limited, alert["id"])
    assert {record for row in rows for record in row["records"]} == set(customers[:TEN_MINUTES])
    assert {row["actor"] for row in rows} == {user}
    # And the lock is an entry, of the system
    (entry,) = stores.find("journal", {"facets.action": "user.lock", "facets.records": user})
    assert entry["facets"]["actor"] == "system"
    assert alert["id"] in entry["facets"]["records"]
    assert json.loads(bytes(entry["entry"]))["details"]["reader"] == user


def test_a_page_that_would_go_beyond_does_not_leave(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str]
) -> None:
    name, user = reader
    assert phones(limited.ask(name, MANY, n=TEN_MINUTES - 5)) == TEN_MINUTES - 5
    token = limited.token(name)
    body = {"query": MANY, "variables": {"n": 200}}
    answer = limited.client.post(f"{limited.url}/graphql", json=body, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert b"+86" not in answer.content
    assert answer.json()["errors"][0]["extensions"]["code"] == "ACCOUNT_LOCKED"
    assert len(recorded(stores, user)) == TEN_MINUTES - 5


def test_many_at_once_get_no_more_than_one_by_one(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str]
) -> None:
    name, user = reader
    headers = {**limited.headers(name), **limited.client.headers}

    def read(customer: str) -> int:
        body = {"query": ONE, "variables": {"i": customer}}
        return phones(httpx.post(f"{limited.url}/graphql", json=body, headers=headers, timeout=30).json())

    with ThreadPoolExecutor(16) as threads:
        delivered = sum(threads.map(read, customers))
    assert delivered == TEN_MINUTES
    assert len(recorded(stores, user)) == TEN_MINUTES
    assert len(alerts_about(limited, user)) == 1


def test_a_page_that_is_looked_at_again_and_again_is_counted_once(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str]
) -> None:
    name, user = reader
    for _ in range(2 * TEN_MINUTES):
        assert phones(limited.ask(name, MANY, n=5)) == 5
    assert 5 <= counted(stores, user) <= 10, "once, or twice where ten minutes of the clock ended meanwhile"


def test_what_is_masked_or_open_is_not_counted(limited: Company, stores: Stores, customers: list[str]) -> None:
    """Whoever sees no value in full is no bulk reader of values."""
    for person in ("clerk", "auditor"):
        for _ in range(3):
            assert len(limited.data(person, MANY, n=TEN_MINUTES * 2)["customers"]["nodes"]) == TEN_MINUTES * 2
        assert counted(stores, limited.users[person]) == 0


# However it is asked


def test_every_way_of_asking_counts(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str]
) -> None:
    """Aliases, lists, relations, earlier states, single reads, subscriptions, downloads: one count."""
    name, user = reader
    fresh = [
        limited.new_customer(name=f"各种读法{n}", channels=[{"kind": "PHONE", "value": f"1390000{n:04d}"}])
        for n in range(8)
    ]
    case = assigned(limited, fresh[6]["id"], "agent")
    file = stored_file(limited, case["id"])
    total = 0

    def grew(by: int) -> None:
        nonlocal total
        total += by
        assert counted(stores, user) == total

    aliases = " ".join(
        f'a{n}: customer(id: "{one["id"]}") {{ channels {{ value }} }}' for n, one in enumerate(fresh[:3])
    )
    assert "+86139" in dumped(limited.data(name, f"{{ {aliases} }}"))
    grew(3)
    limited.data(name, ONE, i=fresh[3]["id"])
    grew(1)
    limited.data(name, "query($i: ID!) { node(id: $i) { ... on Customer { channels { value } } } }", i=fresh[4]["id"])
    grew(1)
    revisions = "revisions { nodes { customer { channels { value } } } }"
    as_seen(limited, name, "customer", fresh[5]["id"], revisions)
    grew(1)
    as_seen(limited, name, "case", case["id"], "customer { channels { value } }")
    grew(1)
    changed = limited.change(
        name, "updateCustomer", "customer { id channels { value } }", id=fresh[7]["id"], version=1, tags=["x"]
    )
    assert changed["channels"]
    grew(1)
    other = assigned(limited, limited.new_customer(channels=[{"kind": "PHONE", "value": "13911110001"}])["id"], "agent")
    with Client(limited, name) as client:
        client.subscribe(
            "subscription($i: ID!) { caseChanged(id: $i) { customer { channels { value } } } }", i=other["id"]
        )
        assert client.data()["caseChanged"]["customer"]["channels"]
        grew(1)
    download = httpx.get(f"{limited.url}/files/{file['id']}", headers=limited.headers(name))
    assert download.status_code == 200
    grew(1)
    # When all that is left is read, and one more, then it is over in each of these ways
    left = TEN_MINUTES - total
    delivered, answer = read_each(limited, name, customers)
    assert (delivered, code_of(answer)) == (left, "ACCOUNT_LOCKED")
    gone = httpx.get(f"{limited.url}/files/{file['id']}", headers=limited.headers(name))
    assert gone.status_code == 401
    with pytest.raises(ConnectionClosed):
        Client(limited, name)


def test_a_download_beyond_the_limit_gives_no_byte(
    limited: Company, customers: list[str], reader: tuple[str, str]
) -> None:
    name, user = reader
    case = assigned(limited, customers[0], "agent")
    file = stored_file(limited, case["id"])
    assert read_each(limited, name, customers[:TEN_MINUTES])[0] == TEN_MINUTES
    answer = httpx.get(f"{limited.url}/files/{file['id']}", headers=limited.headers(name))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "ACCOUNT_LOCKED")
    (alert,) = alerts_about(limited, user)
    assert alert["withheld"] == [file["id"]]


def test_a_subscription_delivers_nothing_beyond_and_ends(
    limited: Company, customers: list[str], reader: tuple[str, str]
) -> None:
    name, _ = reader
    case = assigned(limited, customers[DAY], "agent")
    with Client(limited, name) as client:
        assert read_each(limited, name, customers[:TEN_MINUTES])[0] == TEN_MINUTES
        client.subscribe(
            "subscription($i: ID!) { caseChanged(id: $i) { customer { channels { value } } } }", i=case["id"]
        )
        assert client.error() == "ACCOUNT_LOCKED"
        assert client.close_code() == 4401


def test_what_is_revealed_is_counted_too(limited: Company, stores: Stores, customers: list[str]) -> None:
    """B3: the right to reveal is no way around the limit; what is refused leaves neither entry nor notice."""
    name, user = employed(limited, ["COMPLIANCE"])
    answers = [
        limited.ask(
            name,
            "mutation($i: RevealFieldInput!) { revealField(input: $i) { revealed { values { text } } } }",
            i={"id": customer, "field": "channels", "reason": "逐个核对号码"},
        )
        for customer in customers[: TEN_MINUTES + 1]
    ]
    assert [phones(answer) for answer in answers] == [1] * TEN_MINUTES + [0]
    assert code_of(answers[-1]) == "ACCOUNT_LOCKED"
    assert code_of(limited.ask(name, "{ viewer { id } }")) == "UNAUTHENTICATED"
    beyond = customers[TEN_MINUTES]
    assert stores.find("journal", {"facets.action": "field.reveal", "facets.records": beyond}) == []
    assert stores.find("notices", {"record": beyond}) == []
    (alert,) = alerts_about(limited, user["id"])
    assert {record for row in rows_of(limited, alert["id"]) for record in row["records"]} == set(
        customers[:TEN_MINUTES]
    )


# Slow, split, spread


class InProcess:
    """The application in this process, at a time of its own."""

    def __init__(self, company: Company, source: str) -> None:
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(company.settings), client=(source, 1)),
            base_url="http://in.process",
        )
        self._tokens: dict[str, str] = {}

    def post(self, token: str | None, document: str, **variables: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = {"query": document, "variables": variables}

        async def posted() -> dict[str, Any]:
            found: dict[str, Any] = (await self._client.post("/graphql", json=body, headers=headers)).json()
            return found

        return self._runner.run(posted())

    def ask(self, person: str, document: str, **variables: Any) -> dict[str, Any]:
        if person not in self._tokens:
            given = {"email": f"{person}@example.com", "password": PASSWORD}
            session = self.post(None, SIGN_IN, i=given)["data"]["signIn"]["session"]
            self._tokens[person] = session["accessToken"]
        return self.post(self._tokens[person], document, **variables)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture
def slowly(limited: Company, source: str) -> Iterator[tuple[InProcess, SetClock]]:
    """An application whose clock the test moves: from a full hour of tomorrow on, for nothing is to expire meanwhile."""
    start = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    with ExitStack() as stack:
        clock = stack.enter_context(clock_set(start, seed=next(_sources)))
        inside = InProcess(limited, source)
        stack.callback(inside.close)
        yield inside, clock


def test_a_slow_reader_is_found_by_the_daily_window(
    limited: Company,
    stores: Stores,
    customers: list[str],
    reader: tuple[str, str],
    slowly: tuple[InProcess, SetClock],
) -> None:
    """P30: always below what ten minutes and an hour allow, all day long."""
    (name, user), (inside, clock) = reader, slowly
    assert limited.data(name, "{ viewer { id } }")
    delivered, answer = 0, {}
    for customer in customers:
        answer = inside.ask(name, ONE, i=customer)
        if not phones(answer):
            break
        delivered += 1
        clock.advance(timedelta(minutes=8))  # 7 or 8 an hour
    assert (delivered, code_of(answer)) == (DAY, "ACCOUNT_LOCKED")
    (alert,) = stores.find("alerts", {"actors": user})
    assert (alert["window"], alert["limit"], alert["count"]) == ("DAY", DAY, DAY + 1)
    assert clock.at - alert["since"] == timedelta(days=1)
    # And the lock holds in the other process, at its next query
    assert code_of(limited.ask(name, "{ viewer { id } }")) == "UNAUTHENTICATED"


def test_the_windows_slide(
    limited: Company,
    stores: Stores,
    customers: list[str],
    reader: tuple[str, str],
    slowly: tuple[InProcess, SetClock],
) -> None:
    (name, user), (inside, clock) = reader, slowly

    def read(first: int, count: int) -> list[str | None]:
        return [code_of(inside.ask(name, ONE, i=one)) for one in customers[first : first + count]]

    assert set(read(0, TEN_MINUTES)) == {None}
    clock.advance(timedelta(minutes=11))
    assert set(read(TEN_MINUTES, TEN_MINUTES)) == {None}, "ten minutes later they count no more there"
    clock.advance(timedelta(minutes=11))
    assert read(2 * TEN_MINUTES, 1) == ["ACCOUNT_LOCKED"], "but in the hour they do"
    (alert,) = stores.find("alerts", {"actors": user})
    assert (alert["window"], alert["count"]) == ("HOUR", HOUR + 1)


def test_split_accounts_of_one_source_are_counted_together(
    limited: Company, stores: Stores, customers: list[str], source: str
) -> None:
    """P30: each below its own limit; all that took part are locked, nobody else."""
    names, users = zip(
        *((name, user["id"]) for name, user in (employed(limited, ["SUPERVISOR"]) for _ in range(5))), strict=True
    )
    share = TEN_MINUTES - 5
    for name in names[:2]:
        assert phones(limited.ask(name, MANY, n=share)) == share
    limited.client.headers["x-forwarded-for"] = "203.0.113.9"  # the fourth is elsewhere
    assert phones(limited.ask(names[3], MANY, n=share)) == share
    limited.client.headers["x-forwarded-for"] = source
    assert limited.data(names[4], "{ viewer { id } }"), "the fifth is here, and reads nothing"
    answer = limited.ask(names[2], MANY, n=share)
    assert (code_of(answer), phones(answer)) == ("ACCOUNT_LOCKED", 0)
    states = [stores.one("users", user)["state"] for user in users]
    assert states == ["LOCKED", "LOCKED", "LOCKED", "ACTIVE", "ACTIVE"]
    for name in names[:3]:
        assert code_of(limited.ask(name, "{ viewer { id } }")) == "UNAUTHENTICATED"
    (alert,) = alerts_about(limited, users[0])
    assert sorted(alert["actors"]) == sorted(users[:3])
    assert (alert["split"], alert["source"], alert["limit"]) == (True, source, FACTOR * TEN_MINUTES)
    assert {row["actor"] for row in rows_of(limited, alert["id"])} == set(users[:2]), "the third was shown nothing"
    # When the next account tries from there, it gets nothing, and joins the alert
    answer = limited.ask(names[4], ONE, i=customers[0])
    assert (code_of(answer), phones(answer)) == ("ACCOUNT_LOCKED", 0)
    (joined,) = alerts_about(limited, users[4])
    assert (joined["id"], joined["version"]) == (alert["id"], alert["version"] + 1)


def test_processes_share_the_count(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str], source: str
) -> None:
    name, user = reader
    here = [InProcess(limited, source) for _ in range(2)]
    token = limited.token(name)
    try:
        for place in range(TEN_MINUTES):
            ask = (limited.ask, here[0].post, here[1].post)[place % 3]
            who = name if place % 3 == 0 else token
            assert phones(ask(who, ONE, i=customers[place])) == 1
        assert code_of(here[1].post(token, ONE, i=customers[TEN_MINUTES])) == "ACCOUNT_LOCKED"
        # The lock holds at the next query in every process.
        assert code_of(here[0].post(token, "{ viewer { id } }")) == "UNAUTHENTICATED"
        assert code_of(here[1].post(token, "{ viewer { id } }")) == "UNAUTHENTICATED"
        assert code_of(limited.ask(name, "{ viewer { id } }")) == "UNAUTHENTICATED"
    finally:
        for one in here:
            one.close()
    assert recorded(stores, user) == set(customers[:TEN_MINUTES])


# Afterwards


def test_only_compliance_unlocks_and_what_is_read_then_is_counted_anew(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str]
) -> None:
    name, user = reader
    read_each(limited, name, customers)
    locked = stores.one("users", user)
    # An administrator has no way around it
    for mutation, values in (
        ("updateUser", {"state": "ACTIVE"}),
        ("updateUser", {"state": "DISABLED"}),
        ("updateUser", {"state": "LOCKED"}),
        ("disableUser", {}),
    ):
        payload = limited.attempt("admin", mutation, "user { id }", id=user, version=locked["version"], **values)
        wanted = "VALIDATION" if values.get("state") == "LOCKED" else "NOT_ALLOWED_IN_STATE"
        assert [error["code"] for error in payload["userErrors"]] == [wanted], (mutation, values)
    # Nor has anybody else
    given = {"id": user, "version": locked["version"], "reason": "误报,已与本人核实"}
    for person in ("admin", "auditor", "supervisor", "manager", "agent", "clerk"):
        assert limited.refused(person, "unlockUser", "user { id }", **given) == "NOT_PERMITTED"
    assert stores.one("users", user) == locked
    for wrong, code in (({"reason": "ok"}, "VALIDATION"), ({"reason": " "}, "REQUIRED"), ({"version": 0}, "CONFLICT")):
        payload = limited.attempt("compliance", "unlockUser", "user { id }", **{**given, **wrong})
        assert [error["code"] for error in payload["userErrors"]] == [code]
    assert stores.one("users", user) == locked
    # When COMPLIANCE unlocks it, it is counted from nothing
    found = limited.change("compliance", "unlockUser", "user { state version }", **given)
    assert found == {"state": "ACTIVE", "version": locked["version"] + 1}
    del limited._tokens[name]
    limited.client.headers["x-forwarded-for"] = "203.0.113.10"  # where it was, the network has its own count
    assert read_each(limited, name, customers[TEN_MINUTES : 2 * TEN_MINUTES])[0] == TEN_MINUTES
    payload = limited.attempt("compliance", "unlockUser", "user { id }", **{**given, "version": found["version"]})
    assert [error["code"] for error in payload["userErrors"]] == ["NOT_ALLOWED_IN_STATE"]
    (entry,) = stores.find("journal", {"facets.action": "user.unlock", "facets.records": user})
    assert json.loads(bytes(entry["entry"]))["reason"] == given["reason"]


def test_an_alert_is_for_compliance_and_closed_with_what_was_found(
    limited: Company, stores: Stores, customers: list[str], reader: tuple[str, str]
) -> None:
    name, user = reader
    read_each(limited, name, customers)
    (alert,) = alerts_about(limited, user)
    given = {"id": alert["id"], "version": alert["version"], "note": "本人承认导出客户资料"}
    for person in ("auditor", "admin", "supervisor", "manager", "agent", "clerk"):
        assert code_of(limited.ask(person, "{ alerts { nodes { id } } }")) == "NOT_PERMITTED"
        rows = f'{{ auditEntries(filter: {{alert: "{alert["id"]}"}}) {{ nodes {{ id }} }} }}'
        assert code_of(limited.ask(person, rows)) == "NOT_PERMITTED"
        assert limited.refused(person, "acknowledgeAlert", "alert { id }", **given) == "NOT_PERMITTED"
    for wrong, code in (
        ({"note": ""}, "REQUIRED"),
        ({"note": "致电 13812341234"}, "VALIDATION"),
        ({"version": 9}, "CONFLICT"),
    ):
        payload = limited.attempt("compliance", "acknowledgeAlert", "alert { id }", **{**given, **wrong})
        assert [error["code"] for error in payload["userErrors"]] == [code]
    key = {"idempotencyKey": alert["id"]}
    done = limited.change(
        "compliance", "acknowledgeAlert", "alert { state note acknowledgedBy version }", **given, **key
    )
    by = limited.users["compliance"]
    assert done == {"state": "ACKNOWLEDGED", "note": given["note"], "acknowledgedBy": by, "version": 2}
    assert limited.change("compliance", "acknowledgeAlert", "alert { version }", **given, **key) == {"version": 2}
    payload = limited.attempt("compliance", "acknowledgeAlert", "alert { id }", **{**given, "version": 2})
    assert [error["code"] for error in payload["userErrors"]] == ["NOT_ALLOWED_IN_STATE"]
    states = "query($s: [AlertState!]) { alerts(filter: {states: $s}, first: 200) { nodes { id } } }"
    assert alert["id"] in dumped(limited.data("compliance", states, s=["ACKNOWLEDGED"]))
    assert alert["id"] not in dumped(limited.data("compliance", states, s=["OPEN"]))
    assert stores.one("users", user)["state"] == "LOCKED", "it stays locked until it is unlocked"
