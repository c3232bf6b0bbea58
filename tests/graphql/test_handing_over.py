"""A customer is handed over while people work with it: owner, department and reach are the same everywhere after.

Design "Who sees what": the customer's owner keeps OWNER wherever the case is; SUPERVISOR and CLERK see the customers
of their department's cases.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.access.actor import Actor, Caller
from service.access.policy import Role
from service.errors import Code, Invalid
from tests.fixtures.company import CASE_FIELDS, Company
from tests.graphql.conftest import Stores, archived, as_seen, assigned


def _hand_over(company: Company, customer: dict[str, Any]) -> None:
    company.change(
        "supervisor", "assignCustomer", "customer { id }",
        id=customer["id"], version=customer["version"], owner=company.users["other_manager"],
    )  # fmt: skip


def test_cases_that_are_raised_while_their_customer_is_handed_over_get_its_new_owner(
    company: Company, stores: Stores
) -> None:
    # Given fifteen customers; when four cases of each are raised while it is handed over
    for person in ("manager", "supervisor"):
        company.token(person)
    customers = [company.new_customer(name=f"移交{number}水务有限公司") for number in range(15)]

    def raise_one(customer: str) -> Any:
        given = {"customer": customer, "title": "漏水", "description": "要求换货", **CASE_FIELDS}
        return company.attempt("manager", "raiseCase", "case { id }", **given)

    with ThreadPoolExecutor(5) as threads:
        for customer in customers:
            raised = [threads.submit(raise_one, customer["id"]) for _ in range(4)]
            threads.submit(_hand_over, company, customer).result()
            for payload in (future.result() for future in raised):
                assert payload["case"] or [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]
    # Then each case has its customer's owner and department
    for customer in customers:
        stored = stores.one("customers", customer["id"])
        assert stored["owner"] == company.users["other_manager"]
        for case in stores.find("cases", {"customer": customer["id"]}):
            assert (case["owner"], case["department"]) == (stored["owner"], stored["department"])


def _manager(company: Company) -> Actor:
    return Actor(company.users["manager"], "陈思雨", frozenset({Role.ACCOUNT_MANAGER}), company.departments["east"])


@pytest.mark.parametrize("what", ["evidence", "case"])
def test_nothing_is_filed_by_somebody_who_lost_the_customer_meanwhile(
    company: Company, stores: Stores, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    # Given a manager who was found to reach the customer
    customer, system = company.new_customer(name="丢失水务有限公司"), stores.system
    look = system.customers.get

    async def look_and_lose(caller: Caller, identifier: str) -> Any:
        found = await look(caller, identifier)
        _hand_over(company, customer)  # when it is handed over at this moment
        return found

    monkeypatch.setattr(system.customers, "get", look_and_lose)

    async def file() -> Any:
        caller = Caller(_manager(company), await system.policies.current())
        if what == "case":
            values = {"customer": customer["id"], "title": "漏水", "description": "换货", **CASE_FIELDS}
            return await system.cases.raise_case(caller, values)
        announced = {"file_name": "x.pdf", "kind": "OTHER", "media_type": "application/pdf", "size": 9}
        return await system.evidence.create(caller, {"customer": customer["id"], **announced})

    # Then nothing is stored
    with pytest.raises(Invalid) as refused:
        stores.runner.run(file())
    assert [(problem.code, problem.field) for problem in refused.value.problems] == [(Code.NOT_FOUND, "customer")]
    collection = "cases" if what == "case" else "evidence"
    assert stores.find(collection, {"customer": customer["id"]}) == []


def test_a_case_that_nobody_handles_yet_follows_its_customer_into_another_department(
    company: Company, stores: Stores
) -> None:
    # Given a customer with a case that nobody handles, and one that the agent handles
    customer = company.new_customer(name="随行水务有限公司")
    waiting, handled = company.new_case(customer["id"]), assigned(company, customer["id"], "agent")
    # When the customer goes to another department
    customer["version"] = stores.one("customers", customer["id"])["version"]
    _hand_over(company, customer)
    # Then the first is that department's, the second stays where it is handled
    south, east = company.departments["south"], company.departments["east"]
    assert stores.one("cases", waiting["id"])["department"] == south
    assert stores.one("cases", handled["id"])["department"] == east
    assert as_seen(company, "other_supervisor", "case", waiting["id"])
    assert as_seen(company, "supervisor", "case", waiting["id"]) is None
    assert as_seen(company, "supervisor", "case", handled["id"])
    # And the customer is within reach of both departments, through the file and through the case
    assert stores.one("customers", customer["id"])["departments"] == sorted([east, south])
    assert as_seen(company, "other_clerk", "customer", customer["id"])
    assert as_seen(company, "clerk", "customer", customer["id"])


def test_a_department_that_keeps_no_case_of_a_customer_loses_it_with_the_file(company: Company) -> None:
    customer = company.new_customer(name="全走水务有限公司")
    company.new_case(customer["id"])
    assert as_seen(company, "clerk", "customer", customer["id"])
    _hand_over(company, customer)
    assert as_seen(company, "clerk", "customer", customer["id"]) is None


def test_the_entry_of_a_hand_over_is_found_by_each_of_the_cases(company: Company) -> None:
    customer = company.new_customer(name="留痕水务有限公司")
    cases = [company.new_case(customer["id"]) for _ in range(2)]
    _hand_over(company, customer)
    ask = "query($r: ID!) { auditEntries(filter: { record: $r }, first: 1) { nodes { action records } } }"
    for case in cases:
        entry = company.data("auditor", ask, r=case["id"])["auditEntries"]["nodes"][0]
        assert entry["action"] == "customer.assign"
        assert entry["records"][0] == customer["id"]
        assert set(entry["records"][1:]) == {case["id"] for case in cases}


def test_of_an_archived_case_nothing_follows_but_who_reaches_it(company: Company, stores: Stores) -> None:
    """Access stands beside what is sealed: the customer's owner keeps OWNER wherever the case is."""
    customer = company.new_customer(name="归档水务有限公司")
    case = archived(company, customer["id"])
    assert case["state"] == "ARCHIVED"
    before, events = stores.one("cases", case["id"]), stores.find("case_events", {"case": case["id"]})
    customer["version"] = stores.one("customers", customer["id"])["version"]
    _hand_over(company, customer)
    after = stores.one("cases", case["id"])
    moved = {name for name in after if after[name] != before[name]}
    assert moved == {"owner", "search_version"}
    assert after["owner"] == company.users["other_manager"]
    assert stores.find("case_events", {"case": case["id"]}) == events
    assert as_seen(company, "other_manager", "case", case["id"], "state") == {"state": "ARCHIVED"}
    assert as_seen(company, "manager", "case", case["id"]) is None
