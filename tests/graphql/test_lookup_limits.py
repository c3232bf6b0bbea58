"""An attacker who may look for whole numbers can't try them all (B2): each is written down, and there is a limit.

The system under test is the company's own with small limits, opened twice as two processes would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from schema.context import Context
from schema.errors import presented, record_refusals
from schema.root import core
from service.access.actor import Actor, Caller
from service.access.policy import Role
from service.clock import clock_set, new_id, now
from service.system import System, open_system
from tests.fixtures.company import Company, dumped
from tests.fixtures.paths import operations_of, read
from tests.graphql.conftest import new_id_card, new_phone

A_MINUTE, A_DAY = 5, 12


class Attacker:
    """Somebody new, with the rights of a role, who asks two processes with small limits."""

    def __init__(self, company: Company, runner: asyncio.Runner, systems: list[System], role: str) -> None:
        self.id = new_id("usr")
        self.runner, self.systems = runner, systems
        self._actor = Actor(self.id, "某人", frozenset({Role(role)}), company.departments["east"])

    def caller(self) -> Caller:
        policy = self.runner.run(self.systems[0].policies.current())
        return Caller(self._actor, policy, request_id="request", source="127.0.0.1", locale="en")

    def ask(self, document: str, process: int = 0) -> tuple[Any, list[dict[str, Any]]]:
        """Data and errors, both as they are served."""
        context = Context(self.systems[process], self.caller(), "request", "127.0.0.1", "en")

        async def asked() -> Any:
            result = await read(operations_of(core), document).run(context, {})
            await record_refusals(result.errors or [], context)
            await context.parts.journal.record_reads(context.signed_in)
            return result

        result = self.runner.run(asked())
        return result.data, [presented(error, context) for error in result.errors or ()]

    def entries(self, action: str) -> list[dict[str, Any]]:
        where = {"facets.actor": self.id, "facets.action": action}
        found = self.runner.run(self.systems[0].database.collection("journal").find(where, sort=[("_id", 1)]))
        return [json.loads(bytes(entry["entry"])) for entry in found]


@pytest.fixture(scope="module")
def systems(company: Company) -> Iterator[tuple[asyncio.Runner, list[System]]]:
    small = company.settings.model_copy(update={"lookups_per_minute": A_MINUTE, "lookups_per_day": A_DAY})

    async def opened() -> list[System]:
        found = [open_system(small) for _ in range(2)]
        for system in found:
            await system.epoch.refresh()
        return found

    with asyncio.Runner() as runner:
        both = runner.run(opened())
        yield runner, both
        for system in both:
            runner.run(system.close())


@pytest.fixture
def attacker(company: Company, systems: tuple[asyncio.Runner, list[System]]) -> Attacker:
    return Attacker(company, *systems, "CLERK")


def _tries(phones: list[str]) -> str:
    tries = (
        f'p{n}: customers(filter: {{phone: {{eq: "{phone}"}}}}) {{ totalCount }}' for n, phone in enumerate(phones)
    )
    return "{ " + " ".join(tries) + " }"


def test_aliases_of_one_document_share_the_limit_and_beyond_it_all_answers_are_alike(
    company: Company, attacker: Attacker
) -> None:
    # Given a customer among twenty numbers that the attacker tries at once
    phones = [new_phone() for _ in range(20)]
    company.new_customer(channels=[{"kind": "PHONE", "value": phones[0]}])
    company.new_customer(channels=[{"kind": "PHONE", "value": phones[15]}])
    # When they are asked one after another, the sixteenth as good a guess as the first
    answers = [attacker.ask(_tries([phone]), process=n % 2) for n, phone in enumerate(phones)]
    # Then five are answered, and of the others nothing tells one from another
    assert [data["p0"]["totalCount"] for data, _ in answers[:A_MINUTE]] == [1, 0, 0, 0, 0]
    assert all(data is None for data, _ in answers[A_MINUTE:])
    told = {
        dumped({**error, "extensions": {**error["extensions"], "retryAfter": 0}, "message": ""})
        for _, (error,) in answers[A_MINUTE:]
    }
    assert len(told) == 1
    _, (error,) = answers[15]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("THROTTLED", "phone")
    assert 0 < error["extensions"]["retryAfter"] <= 60 / A_MINUTE
    # And the auditor finds every try, none with its number
    refused, looked_up = attacker.entries("refused"), attacker.entries("customer.lookup")
    assert len(looked_up) == 20
    assert {entry["details"]["levels"]["CONTACT"] for entry in looked_up} == {"PARTIAL"}
    assert [entry["details"]["throttled"] for entry in refused] == [["phone"]] * 15
    assert not any(phone in dumped([*refused, *looked_up]) for phone in phones)


def test_many_at_once_in_two_processes_draw_from_one_bucket(attacker: Attacker) -> None:
    async def draw() -> list[int]:
        waits = (attacker.systems[n % 2].customers.lookups.wait(caller) for n in range(40))
        return list(await asyncio.gather(*waits))

    caller = attacker.caller()
    assert attacker.runner.run(draw()).count(0) == A_MINUTE


def test_one_document_with_a_hundred_guesses_gets_no_more_than_one_with_one(attacker: Attacker) -> None:
    _, errors = attacker.ask(_tries([new_phone() for _ in range(40)]))
    assert {error["extensions"]["code"] for error in errors} == {"THROTTLED"}
    assert attacker.runner.run(attacker.systems[1].customers.lookups.wait(attacker.caller())) > 0


def test_a_page_and_its_total_are_one_look(attacker: Attacker) -> None:
    phone = new_phone()
    document = (
        f'{{ customers(filter: {{phone: {{eq: "{phone}"}}}}) {{ nodes {{ id }} totalCount edges {{ cursor }} }} }}'
    )
    for _ in range(A_MINUTE):
        _, errors = attacker.ask(document)
        assert errors == []


def test_the_patient_attacker_meets_the_day(attacker: Attacker) -> None:
    """As much as the minute allows, minute by minute: the day's bucket ends it."""
    lookups, caller, begun = attacker.systems[0].customers.lookups, attacker.caller(), now()

    async def allowed(after: timedelta, tries: int) -> int:
        with clock_set(begun + after):
            return [await lookups.wait(caller) for _ in range(tries)].count(0)

    minutes = [attacker.runner.run(allowed(timedelta(minutes=minute), A_MINUTE)) for minute in range(10)]
    assert sum(minutes) == A_DAY
    # And after a day there is a day's worth again, not more at once than a minute's
    assert attacker.runner.run(allowed(timedelta(days=1, minutes=10), A_DAY)) == A_MINUTE


def test_beyond_the_limit_nobody_is_told_of_duplicates_either(
    company: Company, systems: tuple[asyncio.Runner, list[System]]
) -> None:
    """DUPLICATE is an oracle like any lookup. Without the right to look, the record is stored and the supervisor told."""
    supervisor = Attacker(company, *systems, "SUPERVISOR")
    runner, (system, _) = systems
    card = new_id_card()
    numbers = {"identity_numbers": [{"kind": "ID_CARD", "value": card}]}
    company.new_customer(kind="PERSON", identityNumbers=[{"kind": "ID_CARD", "value": card}])
    given: dict[str, Any] = {
        "kind": "PERSON", "name": "探", "channels": [{"kind": "PHONE", "value": "0512-62881234"}],
        "owner": company.users["manager"], "attributes": [{"key": "industry", "value": "water"}], **numbers,
    }  # fmt: skip

    def attempt() -> str:
        try:
            return runner.run(system.customers.create(supervisor.caller(), given)).id
        except Exception as error:
            return str(error)

    outcomes = [attempt() for _ in range(A_MINUTE + 2)]
    assert outcomes[:A_MINUTE] == ["DUPLICATE(identityNumbers)"] * A_MINUTE
    for stored in outcomes[A_MINUTE:]:
        assert stored.startswith("cus_")
        assert runner.run(system.database.collection("duplicates").find({"customer": stored}))
        (document,) = runner.run(system.database.collection("customers").find({"_id": stored}))
        assert "unique" not in document
