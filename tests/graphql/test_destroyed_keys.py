"""A customer's key is destroyed: no process opens anything of theirs in its next answer (P14, P18).

The API runs in a process of its own and has the key in memory; the destruction happens in another one. Whoever asks
afterwards is answered as with a damaged record: what is open is there, what was sealed is null with an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bson import Binary

from infra.local import Endpoints
from service.access.actor import SYSTEM, Caller
from tests.fixtures.company import Company, running_company, settings_on
from tests.graphql.conftest import Stores, as_seen, assigned, stored_file

LIST = "query($f: CustomerFilter) { customers(filter: $f) { nodes { id name channels { value } tags } } }"


@pytest.fixture(scope="module")
def company(mongo_server: str, s3_server: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company of its own: what is destroyed here is missing in no other test."""
    with running_company(settings_on(tmp_path_factory.mktemp("destroying"), mongo_server, s3_server)) as company:
        yield company


def _destroy(stores: Stores, customer: str) -> None:
    system = stores.system

    async def destroy() -> None:
        await system.epoch.refresh()
        caller = Caller(SYSTEM, await system.policies.current())
        await system.database.transact(lambda unit: system.keys.destroy(caller, unit, customer))

    stores.runner.run(destroy())


def test_a_destroyed_key_opens_nothing_in_another_processs_next_answer(company: Company, stores: Stores) -> None:
    lost, kept = (company.new_customer(name=f"将销毁{n}有限公司", tags=["shredded"]) for n in "甲乙")
    case = assigned(company, lost["id"], "agent", title="将销毁的案件")
    evidence = stored_file(company, case["id"])
    company.eventually(lambda: stores.one("evidence", evidence["id"])["text_state"] != "WAITING", seconds=60)
    address = f"{company.url}/files/{evidence['id']}"
    # Given a process that has just opened all of it
    assert as_seen(company, "agent", "case", case["id"], "title") == {"title": "将销毁的案件"}
    assert company.client.get(address, headers=company.headers("agent")).status_code == 200
    former = company.data(
        "manager", "query($i: ID!) { customer(id: $i) { revisions { nodes { customer { name } } } } }", i=lost["id"]
    )
    assert former["customer"]["revisions"]["nodes"][0]["customer"]["name"] == lost["name"]
    # When the key is destroyed elsewhere
    _destroy(stores, lost["id"])
    # Then its very next answers hold nothing of it, and everything of the others
    answer = company.ask("manager", LIST, f={"tag": "shredded"})
    nodes = {node["id"]: node for node in answer["data"]["customers"]["nodes"]}
    assert nodes[kept["id"]]["name"] == kept["name"]
    assert nodes[lost["id"]] == {"id": lost["id"], "name": None, "channels": None, "tags": ["shredded"]}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INTERNAL"}
    answer = company.ask("agent", "query($i: ID!) { case(id: $i) { title state } }", i=case["id"])
    assert answer["data"]["case"] == {"title": None, "state": "ASSIGNED"}
    received = company.client.get(address, headers=company.headers("agent"))
    assert (received.status_code, b"%PDF" in received.content) == (503, False)
    answer = company.ask(
        "manager", "query($i: ID!) { customer(id: $i) { revisions { nodes { customer { name } } } } }", i=lost["id"]
    )
    assert "将销毁" not in json.dumps(answer, ensure_ascii=False)
    # And one entry tells it
    entries = stores.find("journal", {"facets.action": "key.destroy", "facets.records": lost["id"]})
    assert len(entries) == 1


def test_a_truncated_or_flipped_wrapped_key_is_named_in_the_log_and_changes_nothing(
    company: Company, stores: Stores
) -> None:
    log = company.settings.data_dir / "serve.log"
    for number, damaged in enumerate((lambda wrapped: wrapped[:30], lambda w: w[:-1] + bytes([w[-1] ^ 1]))):
        customer = company.new_customer(name=f"坏钥匙{number}有限公司", tags=["badkey"])
        former = bytes(stores.one("keys", customer["id"])["versions"][0]["wrapped"])
        broken: dict[str, Any] = {"$set": {"versions.0.wrapped": Binary(damaged(former))}}
        stores.change("keys", customer["id"], broken)
        stores.change("epoch", "epoch", {"$inc": {"value": 1}})
        before = stores.everything()
        answer = company.ask("manager", "query($i: ID!) { customer(id: $i) { name tags } }", i=customer["id"])
        assert answer["data"]["customer"] == {"name": None, "tags": ["badkey"]}
        # A change that would need the key is refused as a whole
        change = {"id": customer["id"], "version": 1, "name": "改名有限公司"}
        told = company.refused("manager", "updateCustomer", "customer { id }", **change)
        assert told == "INTERNAL"
        assert stores.everything() == before
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if customer["id"] in line]
        named = [line for line in lines if line["event"] == "a data key can't be unwrapped"]
        assert named
        assert {(line["owner"], line["version"]) for line in named} == {(customer["id"], 1)}
        assert former.hex() not in log.read_text("utf-8")
