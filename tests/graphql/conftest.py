"""What the tests of the API share: a look into the stores, to prove that a refused request changed nothing."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from bson import json_util
from stdnum.cn import ric

from infra.demo import make_content
from service.system import System
from tests.fixtures.company import PASSWORD, PEOPLE, Company

# Written by signing in, by reading, and by the worker: not what a request of a person changes.
VOLATILE = {
    "buckets",
    "journal",
    "sessions",
    "jobs",
    "attempts",
    "epoch",
    "epochs",
    "counters",
    "sign_in_attempts",
    "sign_in_sources",
    "outside_sign_ins",
    "reading_counts",
}
NO_CHANGE = ("record.read", "refused", "customer.lookup", "case.lookup", "search", "evidence.download")
FIND = "query($f: CustomerFilter) { customers(filter: $f) { nodes { id channels { value } } totalCount } }"
_counter = itertools.count(time.time_ns() // 1_000_000 % 1_000_000)


@dataclass
class Stores:
    """The stores behind the API."""

    runner: asyncio.Runner
    system: System

    def find(self, collection: str, where: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        """Documents as they are stored."""
        return self.runner.run(self.system.database.collection(collection).find(where, **options))

    def one(self, collection: str, identifier: str) -> dict[str, Any]:
        """A document that must be there."""
        (found,) = self.find(collection, {"_id": identifier})
        return found

    def change(self, collection: str, identifier: str, change: dict[str, Any]) -> None:
        """Writes past the services, as somebody in the database could."""
        assert self.runner.run(self.system.database.collection(collection).update_one({"_id": identifier}, change))

    def everything(self) -> dict[str, str]:
        """A hash of every stored document, and the ids of the journal's entries about changes."""
        self._wait_for_worker()
        names = self.runner.run(self.system.database.native.list_collection_names())
        found = {}
        for name in sorted(set(names) - VOLATILE):
            if name.startswith("system."):
                continue
            for document in self.find(name, {}):
                text = json_util.dumps(document, sort_keys=True).encode()
                found[f"{name}/{document['_id']}"] = hashlib.sha256(text).hexdigest()
        changes = {"facets.action": {"$nin": list(NO_CHANGE), "$not": {"$regex": "^(session|user.sign)"}}}
        for entry in self.find("journal", changes, projection={"facets.action": 1}):
            found[f"journal/{entry['_id']}"] = entry["facets"]["action"]
        return found

    def refusals(self, actor: str) -> list[dict[str, Any]]:
        """Entries about what this user was refused, newest first."""
        where = {"facets.actor": actor, "facets.action": "refused"}
        return [json.loads(bytes(entry["entry"])) for entry in self.find("journal", where, sort=[("_id", -1)], limit=5)]

    def _wait_for_worker(self) -> None:
        deadline = time.monotonic() + 60
        while self.find("evidence", {"text_state": "WAITING", "withdrawn_at": None}, limit=1):
            assert time.monotonic() < deadline, "the worker did not read a text"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def stores(company: Company) -> Iterator[Stores]:
    """The stores, open for a module's time."""
    for person in PEOPLE:
        company.token(person)  # signing in is written on the account; let it not look like a change
    with company.inside() as (runner, system):
        yield Stores(runner, system)


def new_phone() -> str:
    """A mainland mobile number that nobody has."""
    return f"139{next(_counter):08d}"


def new_id_card() -> str:
    """A resident ID number with a right checksum that nobody has."""
    number = next(_counter)
    start = f"110105{1950 + number // 336_000 % 50}{1 + number // 28_000 % 12:02d}{1 + number // 1_000 % 28:02d}{number % 1_000:03d}"
    return start + ric.calc_check_digit(f"{start}0")  # the digit that is asked for is not looked at


@pytest.fixture(scope="module")
def world(company: Company) -> dict[str, Any]:
    """A customer of the manager's with everything in their file, a case of the agent's, a registered file."""
    phone, card = new_phone(), new_id_card()
    customer = company.new_customer(
        kind="PERSON", name="欧阳若兰", dateOfBirth="1990-03-07", tags=["vip"],
        channels=[{"kind": "PHONE", "value": phone}, {"kind": "EMAIL", "value": "ruolan@example.com"}],
        identityNumbers=[{"kind": "ID_CARD", "value": card}],
        bankAccounts=[{"bank": "示例银行", "number": "6200000000000000018", "holder": "欧阳若兰"}],
        addresses=[{"text": "江苏省苏州市工业园区星湖街328号"}],
        contacts=[{"name": "钱小姐", "title": "采购", "phone": "13812341234", "email": "qian@example.com"}],
    )  # fmt: skip
    case = assigned(company, customer["id"], "agent")
    evidence = company.change(
        "clerk", "createEvidence", "evidence { id version }",
        case=case["id"], kind="CONTRACT", fileName="合同.pdf", mediaType="application/pdf", size=100,
    )  # fmt: skip
    return {"customer": customer, "case": case, "evidence": evidence, "phone": phone, "card": card}


@pytest.fixture(scope="module")
def ids(company: Company, world: dict[str, Any]) -> dict[str, str]:
    """One record of each type, each with a past and with everything in it."""
    customer, case = world["customer"], world["case"]
    company.change(
        "manager", "updateCustomer", "customer { id }", id=customer["id"], version=customer["version"], tags=["重点"]
    )
    scan = next(scan for scan in make_content().scans if scan.media_type == "application/pdf")
    body = scan.draw()
    evidence = company.change(
        "clerk", "createEvidence", "evidence { id uploadUrl }",
        case=case["id"], kind="CONTRACT", fileName="全部字段.pdf", mediaType=scan.media_type, size=len(body),
        paper={"room": "A-102", "cabinet": "3", "box": "17", "barcode": "QY-0001"},
    )  # fmt: skip
    headers = {**company.headers("clerk"), "content-type": scan.media_type}
    assert httpx.put(evidence["uploadUrl"], content=body, headers=headers, timeout=60).status_code == 204
    read = "query($i: ID!) { evidence(id: $i) { textState } }"
    company.eventually(
        lambda: company.data("agent", read, i=evidence["id"])["evidence"]["textState"] == "READ", seconds=120
    )
    event = company.data("agent", "query($i: ID!) { case(id: $i) { events { nodes { id } } } }", i=case["id"])
    entry = company.data("auditor", "{ auditEntries(first: 1) { nodes { id } } }")["auditEntries"]["nodes"][0]
    template = company.data("admin", "{ customerTemplates { id } }")["customerTemplates"][0]
    return {
        "Customer": customer["id"],
        "Case": case["id"],
        "CaseEvent": event["case"]["events"]["nodes"][0]["id"],
        "Evidence": evidence["id"],
        "User": company.users["agent"],
        "Department": company.departments["east"],
        "Template": template["id"],
        "AuditEntry": entry["id"],
    }


def assigned(company: Company, customer: str, agent: str, **values: Any) -> Any:
    raised = company.new_case(customer, **values)
    return company.change(
        "supervisor", "assignCase", "case { id version state }",
        id=raised["id"], version=raised["version"], assignee=company.users[agent],
    )  # fmt: skip


def as_seen(company: Company, person: str, name: str, identifier: str, fields: str = "id") -> Any:
    return company.data(person, f"query($i: ID!) {{ {name}(id: $i) {{ {fields} }} }}", i=identifier)[name]


@pytest.fixture(scope="module")
def customer(company: Company) -> dict[str, Any]:
    """A customer that every refused change leaves as it is."""
    found: dict[str, Any] = company.new_customer(name="不变水务有限公司")
    return found


@pytest.fixture(scope="module")
def case(company: Company, customer: dict[str, Any]) -> dict[str, Any]:
    """A case of theirs, assigned."""
    raised = company.new_case(customer["id"])
    found: dict[str, Any] = company.change(
        "supervisor", "assignCase", "case { id version state }",
        id=raised["id"], version=raised["version"], assignee=company.users["agent"],
    )  # fmt: skip
    return found


RETURNS = {
    "createCustomer": "customer { id }",
    "updateCustomer": "customer { id }",
    "assignCustomer": "customer { id }",
    "createEvidence": "evidence { id }",
    "withdrawEvidence": "evidence { id }",
    "createUser": "user { id }",
    "publishTemplate": "template { id }",
}


def problems(company: Company, person: str, mutation: str, **values: Any) -> list[tuple[str, str | None]]:
    """Codes and fields of a mutation that must be refused."""
    returns = RETURNS.get(mutation, "case { id }")
    payload = company.attempt(person, mutation, returns, **values)
    assert payload[returns.split()[0]] is None
    assert all(error["message"] for error in payload["userErrors"])
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


def employed(company: Company, roles: list[str], department: str = "east") -> tuple[str, dict[str, Any]]:
    """Somebody new, for a test that takes something away from them: whose token to ask for, and their record."""
    name = f"temp{time.time_ns()}"
    user = company.change(
        "admin", "createUser", "user { id version }", email=f"{name}@example.com", name="临时工",
        roles=roles, department=company.departments[department], password=PASSWORD,
    )  # fmt: skip
    return name, user


def signed_in(company: Company, name: str, password: str = PASSWORD) -> str | None:
    """A session of its own for this person, or None when they may not sign in."""
    answer = company.ask(
        None, "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken } userErrors { code } } }",
        i={"email": f"{name}@example.com", "password": password},
    )  # fmt: skip
    session = answer["data"]["signIn"]["session"]
    return str(session["accessToken"]) if session else None


def lives(company: Company, token: str | None) -> bool:
    """Whether a token still opens the door."""
    headers = {"authorization": f"Bearer {token}"}
    answer = company.client.post(f"{company.url}/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
    return "errors" not in answer.json()


PDF = b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def stored_file(company: Company, case: str | None = None, *, customer: str | None = None, by: str = "clerk") -> Any:
    """A file of a case or of a customer, with its bytes."""
    parent = {"case": case} if case else {"customer": customer}
    evidence = company.change(
        by, "createEvidence", "evidence { id version uploadUrl }",
        **parent, kind="CONTRACT", fileName="合同.pdf", mediaType="application/pdf", size=len(PDF),
    )  # fmt: skip
    sent = httpx.put(evidence["uploadUrl"], content=PDF, headers=company.headers(by), timeout=60)
    assert sent.status_code == 204, sent.text
    return evidence


def step(company: Company, case: dict[str, Any], person: str, mutation: str, **values: Any) -> dict[str, Any]:
    """One further step of a case that must succeed; the case after it."""
    given = {"id": case["id"], "version": case["version"], **values}
    found: dict[str, Any] = company.change(person, mutation, "case { id version state }", **given)
    return found


def closed(company: Company, case: dict[str, Any]) -> dict[str, Any]:
    """An assigned case of the agent's: handled, answered, closed."""
    case = step(company, case, "agent", "recordCaseStep", kind="MEASURE", text="寄出替换件")
    case = step(company, case, "manager", "recordCaseStep", kind="CUSTOMER_FEEDBACK", text="满意", satisfaction=5)
    return step(company, case, "manager", "closeCase", resolution="已换货")


def archived(company: Company, customer: str, **values: Any) -> dict[str, Any]:
    """A case that went all its way."""
    case = closed(company, assigned(company, customer, "agent", **values))
    case = step(company, case, "supervisor", "reviewCase", decision="APPROVE", opinion="同意")
    return step(company, case, "supervisor", "archiveCase")
