"""Revealing a masked field: with a reason, recorded before it leaves, counted, told to the owner, for five minutes (B3)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.access.declared import Level, Sensitivity
from service.clock import SetClock, clock_set, new_id
from service.compliance.rules import require_masked
from service.errors import Invalid
from tests.fixtures.company import Company, dumped
from tests.graphql.conftest import Stores, as_seen, assigned, employed, new_id_card, new_phone
from tests.graphql.test_bulk_reading import InProcess, code_of

RETURNS = "revealed { record field until values { place part text } }"
REASON = "核对身份证号,工单核查"
SEE = "identityNumbers { value } channels { value } dateOfBirth maskedFields { field }"


@pytest.fixture
def file(company: Company) -> dict[str, Any]:
    """A customer of the manager's, for one test, with a case of the agent's."""
    phone, card = new_phone(), new_id_card()
    customer = company.new_customer(
        kind="PERSON", name="欧阳若兰", dateOfBirth="1990-03-07",
        channels=[{"kind": "PHONE", "value": phone, "label": "手机"}],
        identityNumbers=[{"kind": "ID_CARD", "value": card}],
        bankAccounts=[{"bank": "示例银行", "number": "6200000000000000018", "holder": "欧阳若兰"}],
        contacts=[{"name": "钱小姐"}, {"name": "赵先生", "phone": "13812341234"}],
        attributes=[{"key": "industry", "value": "water"}, {"key": "memo", "value": "致电 13812341234"}],
    )  # fmt: skip
    case = assigned(company, customer["id"], "agent", description="电话 13812341234", disputedAmount="12800.00")
    return {"id": customer["id"], "case": case["id"], "phone": phone, "card": card}


def reveal(company: Company, person: str, record: str, field: str, reason: str | None = REASON) -> Any:
    return company.attempt(person, "revealField", RETURNS, id=record, field=field, reason=reason)


def entries_of(stores: Stores, record: str) -> list[dict[str, Any]]:
    found = stores.find("journal", {"facets.action": "field.reveal", "facets.records": record}, sort=[("_id", 1)])
    return [json.loads(bytes(entry["entry"])) for entry in found]


def problems_of(payload: Any) -> list[tuple[str, str | None]]:
    assert payload["revealed"] is None
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


def test_a_masked_number_is_revealed_to_who_asks_and_to_nobody_else(
    company: Company, stores: Stores, file: dict[str, Any]
) -> None:
    """B3: in the answer, and in ordinary queries of that person; of other fields and records nothing."""
    before = as_seen(company, "compliance", "customer", file["id"], SEE)
    assert file["card"] not in dumped(before)
    payload = reveal(company, "compliance", file["id"], "identityNumbers")
    assert payload["userErrors"] == []
    revealed = payload["revealed"]
    assert (revealed["record"], revealed["field"]) == (file["id"], "identityNumbers")
    parts = {value["part"]: value["text"] for value in revealed["values"]}
    assert (parts["kind"], parts["value"]) == ("ID_CARD", file["card"])
    left = datetime.fromisoformat(revealed["until"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
    # Then ordinary queries show it, and nothing else than before
    seen = as_seen(company, "compliance", "customer", file["id"], SEE)
    assert seen["identityNumbers"] == [{"value": file["card"]}]
    assert (seen["channels"], seen["dateOfBirth"]) == (before["channels"], before["dateOfBirth"])
    gone = {entry["field"] for entry in before["maskedFields"]} - {entry["field"] for entry in seen["maskedFields"]}
    assert gone == {"identityNumbers"}
    listed = company.data("compliance", f"{{ customers(first: 3) {{ nodes {{ id {SEE} }} }} }}")["customers"]["nodes"]
    assert [node["id"] for node in listed if file["card"] in dumped(node)] == [file["id"]]
    # Others see what they saw
    for person in ("auditor", "manager", "supervisor", "clerk"):
        assert file["card"] not in dumped(as_seen(company, person, "customer", file["id"], SEE))
    # And the entry names record, field and reason, no value
    (entry,) = entries_of(stores, file["id"])
    assert (entry["actor"], entry["reason"]) == (company.users["compliance"], REASON)
    assert entry["details"] == {"field": "identityNumbers"}
    assert file["card"] not in dumped(entry)
    read = stores.find(
        "journal",
        {"facets.action": "record.read", "facets.actor": company.users["compliance"], "facets.records": file["id"]},
    )
    assert len(read) == 2, "what the revealed field showed in the two queries is recorded, too"


def test_the_owner_is_told_and_nobody_else(company: Company, file: dict[str, Any]) -> None:
    reveal(company, "auditor", file["case"], "disputedAmount")
    notices = "{ notices(first: 200) { nodes { kind record field by reason } } }"
    mine = [n for n in company.data("manager", notices)["notices"]["nodes"] if n["record"] == file["case"]]
    by = company.users["auditor"]
    assert mine == [{"kind": "REVEALED", "record": file["case"], "field": "disputedAmount", "by": by, "reason": REASON}]
    for person in ("other_manager", "supervisor", "agent", "compliance", "auditor", "admin"):
        assert file["case"] not in dumped(company.data(person, notices))


@pytest.mark.parametrize(
    ("name", "field", "texts"),
    [
        ("id", "channels", ["PHONE", "{phone}", "手机"]),
        ("id", "dateOfBirth", ["1990-03-07"]),
        ("id", "bankAccounts", ["示例银行", "6200000000000000018", "欧阳若兰"]),
        ("id", "contacts.phone", ["+8613812341234"]),
        ("id", "attributes.memo", ["致电 13812341234"]),
        ("id", "addresses", []),
        ("case", "description", ["电话 13812341234"]),
        ("case", "disputedAmount", ["12800.00"]),
    ],
)
def test_each_kind_of_field_comes_as_text(
    company: Company, file: dict[str, Any], name: str, field: str, texts: list[str]
) -> None:
    payload = reveal(company, "auditor", file[name], field)
    assert payload["userErrors"] == []
    found = payload["revealed"]["values"]
    assert [value["text"] for value in found] == [text.format(phone=f"+86{file['phone']}") for text in texts]
    assert [value["place"] for value in found] == [1 if field == "contacts.phone" else 0] * len(texts)
    # And each is shown in an ordinary query, in the same words
    fields = {
        "channels": "channels { value }", "bankAccounts": "bankAccounts { number }", "contacts.phone": "contacts { phone }",
        "attributes.memo": "attributes { key value visibility }", "addresses": "addresses { text }",
    }.get(field, field)  # fmt: skip
    seen = as_seen(company, "auditor", "case" if name == "case" else "customer", file[name], fields)
    assert dumped(seen).count("*") == 0 or field == "attributes.memo"
    assert not texts or texts[-1 if len(texts) == 1 else 1].format(phone=f"+86{file['phone']}") in dumped(seen)


def test_again_within_the_five_minutes_needs_no_reason(company: Company, stores: Stores, file: dict[str, Any]) -> None:
    first = reveal(company, "compliance", file["id"], "dateOfBirth")["revealed"]
    again = reveal(company, "compliance", file["id"], "dateOfBirth", None)["revealed"]
    assert again == first
    assert [entry.get("reason") for entry in entries_of(stores, file["id"])] == [REASON, None], "each time is an entry"
    notices = "{ notices(first: 200) { nodes { record } } }"
    assert dumped(company.data("manager", notices)).count(file["id"]) == 1
    # For another field, and for another person, it is needed
    assert problems_of(reveal(company, "compliance", file["id"], "channels", None)) == [("REQUIRED", "reason")]
    assert problems_of(reveal(company, "auditor", file["id"], "dateOfBirth", None)) == [("REQUIRED", "reason")]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("", "REQUIRED"),
        ("  ", "REQUIRED"),
        ("ok", "VALIDATION"),
        ("查" * 501, "TOO_LONG"),
        ("核对 13812341234", "VALIDATION"),
    ],
)
def test_no_reason_no_value(company: Company, stores: Stores, file: dict[str, Any], reason: str, code: str) -> None:
    before = stores.everything()
    assert problems_of(reveal(company, "compliance", file["id"], "channels", reason)) == [(code, "reason")]
    assert stores.everything() == before


@pytest.mark.parametrize("person", ["agent", "manager", "supervisor", "clerk", "admin", "other_manager"])
def test_no_other_role_reveals_anything(company: Company, stores: Stores, file: dict[str, Any], person: str) -> None:
    """P15: refused before anything is looked at; written down; nothing changed."""
    before = stores.everything()
    given = {"field": "identityNumbers", "reason": REASON}
    for record in (file["id"], file["case"], new_id("cus"), "nonsense"):
        assert company.refused(person, "revealField", "revealed { record }", id=record, **given) == "NOT_PERMITTED"
    newest, *_ = stores.refusals(company.users[person])
    assert newest["details"]["steps"] == ["field.reveal"]
    assert stores.everything() == before
    assert file["card"] not in dumped(company.ask(person, f'{{ customer(id: "{file["id"]}") {{ {SEE} }} }}'))


def test_what_is_no_masked_field_is_one_error_whether_or_not_the_record_exists(
    company: Company, stores: Stores, file: dict[str, Any]
) -> None:
    before = stores.everything()
    for field in ("nothing", "id", "owner", "version", "tags", "attributes", "attributes.nothing", "identity_numbers",
                  "contacts", "sealed", "", "channels.value", "disputedAmount"):  # fmt: skip
        there = reveal(company, "compliance", file["id"], field)
        absent = reveal(company, "compliance", new_id("cus"), field)
        assert problems_of(there) == [("VALIDATION", "field")], field
        assert there == absent
    # What is seen in full already is none, either; and what there is not is not found
    assert problems_of(reveal(company, "compliance", file["id"], "name")) == [("VALIDATION", "field")]
    assert problems_of(reveal(company, "compliance", new_id("cus"), "channels")) == [("NOT_FOUND", "id")]
    for record in (company.users["manager"], new_id("pag"), "cus_x", file["id"].upper(), ""):
        assert problems_of(reveal(company, "compliance", record, "channels")) == [("INVALID_ID", "id")]
    assert stores.everything() == before


@pytest.mark.parametrize(
    ("level", "may"), [(Level.HIDDEN, False), (Level.BLIND, True), (Level.PARTIAL, True), (Level.FULL, False)]
)
def test_what_is_hidden_stays_hidden(level: Level, *, may: bool) -> None:
    view: Any = SimpleNamespace(row={Sensitivity.CONTACT: level})
    if may:
        require_masked(view, Sensitivity.CONTACT)
    else:
        with pytest.raises(Invalid):
            require_masked(view, Sensitivity.CONTACT)


def test_an_answer_that_is_cut_off_was_recorded_all_the_same(
    company: Company, stores: Stores, file: dict[str, Any]
) -> None:
    """P23: whoever hangs up the moment the answer comes has not been there unseen."""
    document = f"mutation($i: RevealFieldInput!) {{ revealField(input: $i) {{ {RETURNS} }} }}"
    given = {"id": file["id"], "field": "identityNumbers", "reason": REASON}
    body = json.dumps({"query": document, "variables": {"i": given}}).encode()
    address = urlsplit(company.url)
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {company.token('auditor')}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(1), "the first byte of the answer"
        assert len(entries_of(stores, file["id"])) == 1, "the entry was there before it"
    assert file["id"] in dumped(company.data("manager", "{ notices(first: 200) { nodes { record } } }"))


def test_revealing_opens_no_question(company: Company, file: dict[str, Any]) -> None:
    """What is shown of one record may still not be searched by."""
    reveal(company, "auditor", file["id"], "channels")
    answer = company.ask("auditor", '{ customers(query: "欧阳") { nodes { id } } }')
    assert code_of(answer) == "QUESTION_REFUSED"


@pytest.fixture
def inside(company: Company) -> Iterator[tuple[InProcess, SetClock]]:
    """Another process of the same system, whose clock the test moves."""
    with clock_set(datetime.now(UTC).replace(microsecond=0), seed=7) as clock:
        found = InProcess(company, "192.0.2.77")
        try:
            yield found, clock
        finally:
            found.close()


def test_after_five_minutes_it_is_masked_again_in_every_process(
    company: Company, file: dict[str, Any], inside: tuple[InProcess, SetClock]
) -> None:
    application, clock = inside
    name, _ = employed(company, ["COMPLIANCE"])
    see = f'{{ customer(id: "{file["id"]}") {{ {SEE} }} }}'
    assert file["card"] not in dumped(application.ask(name, see))
    # Revealed in one process, it is seen in the other at the next query
    assert reveal(company, name, file["id"], "identityNumbers")["revealed"]
    assert file["card"] in dumped(application.ask(name, see))
    clock.advance(timedelta(minutes=4, seconds=30))
    assert file["card"] in dumped(application.ask(name, see))
    clock.advance(timedelta(minutes=1))
    assert file["card"] not in dumped(application.ask(name, see))
