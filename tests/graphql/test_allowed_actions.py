"""`allowedActions` and `maskedFields` of files and histories say what is so: each is held against real attempts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.company import ROLES, Company
from tests.graphql.conftest import PDF, as_seen, assigned, stored_file

STATES = ("pending", "stored", "withdrawn", "of a customer", "archived")


def _registered(company: Company, by: str, **parent: str) -> Any:
    return company.change(
        by, "createEvidence", "evidence { id version uploadUrl }",
        **parent, kind="CONTRACT", fileName="合同.pdf", mediaType="application/pdf", size=len(PDF),
    )  # fmt: skip


def _archived(company: Company, case: str) -> None:
    for person, mutation, values in (
        ("agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄出新泵"}),
        ("manager", "recordCaseStep", {"kind": "CUSTOMER_FEEDBACK", "text": "满意", "satisfaction": 5}),
        ("manager", "closeCase", {"resolution": "换货完成"}),
        ("supervisor", "reviewCase", {"decision": "APPROVE", "opinion": "处理及时"}),
        ("supervisor", "archiveCase", {}),
    ):
        version = as_seen(company, person, "case", case, "version")["version"]
        company.change(person, mutation, "case { state }", id=case, version=version, **values)
    company.eventually(lambda: as_seen(company, "agent", "case", case, "state")["state"] == "ARCHIVED")


def _file(company: Company, state: str) -> str:
    """A file of the clerk's in this state."""
    customer = company.new_customer()["id"]
    case = assigned(company, customer, "agent")["id"]
    if state == "pending":
        return str(_registered(company, "clerk", case=case)["id"])
    parent = {"customer": customer} if state == "of a customer" else {"case": case}
    stored = str(stored_file(company, **parent)["id"])
    if state == "withdrawn":
        version = as_seen(company, "clerk", "evidence", stored, "version")["version"]
        company.change("clerk", "withdrawEvidence", "evidence { id }", id=stored, version=version, reason="放错了")
    if state == "archived":
        settled = "evidence { nodes { textState } }"
        company.eventually(
            lambda: as_seen(company, "agent", "case", case, settled)["evidence"]["nodes"][0]["textState"] != "WAITING"
        )
        _archived(company, case)
    return stored


def _accepted(company: Company, person: str, evidence: str) -> list[str]:
    """What is really accepted, tried one after the other; each attempt is one that succeeds or is refused."""
    found = []
    url = f"{company.url}/files/{evidence}"
    headers = company.headers(person)
    if httpx.put(url, content=PDF, headers=headers, timeout=60).status_code == 204:
        found.append("UPLOAD")
    if httpx.get(url, headers=headers).status_code == 200 and "UPLOAD" not in found:
        found.append("DOWNLOAD")
    version = (as_seen(company, person, "evidence", evidence, "version") or {"version": 0})["version"]
    answer = company.ask(
        person, "mutation($i: WithdrawEvidenceInput!) { withdrawEvidence(input: $i) { userErrors { code } } }",
        i={"id": evidence, "version": version, "reason": "放错了"},
    )  # fmt: skip
    if "errors" not in answer and not answer["data"]["withdrawEvidence"]["userErrors"]:
        found.append("WITHDRAW")
    return found


@pytest.mark.parametrize("state", STATES)
def test_what_may_be_done_with_a_file_is_what_is_accepted(company: Company, state: str) -> None:
    people = [person for person in ROLES if person != "admin"]
    told: dict[str, list[str]] = {}
    done: dict[str, list[str]] = {}
    evidence = _file(company, state)
    for person in people:
        seen = as_seen(company, person, "evidence", evidence, "allowedActions")
        told[person] = seen["allowedActions"] if seen else []
        done[person] = _accepted(company, person, evidence)
        if done[person] not in ([], ["DOWNLOAD"]):
            evidence = _file(company, state)  # what succeeded has changed this one
    assert told == done
    assert as_seen(company, "admin", "evidence", evidence, "allowedActions") is None
    expected = {
        "pending": {"clerk": ["UPLOAD", "WITHDRAW"], "supervisor": ["WITHDRAW"]},
        "archived": {person: ["DOWNLOAD"] for person in ("agent", "manager", "supervisor")},
        "withdrawn": {},
    }
    if state in expected:
        assert {person: actions for person, actions in told.items() if actions} == expected[state]


def test_a_customers_own_file_may_be_withdrawn_by_whom_the_customer_says(company: Company) -> None:
    customer = company.new_customer()["id"]
    assigned(company, customer, "agent")
    for person, may in (("clerk", True), ("supervisor", True), ("manager", False), ("agent", False)):
        actions = as_seen(company, person, "customer", customer, "allowedActions")["allowedActions"]
        assert ("WITHDRAW_EVIDENCE" in actions) == may, person


MASKED = "maskedFields { field visibility kind }"


def _fields(found: Any) -> dict[str, str]:
    return {entry["field"]: entry["visibility"] for entry in found["maskedFields"]}


def test_files_pages_and_histories_list_what_is_masked(company: Company) -> None:
    case = assigned(company, company.new_customer()["id"], "agent")["id"]
    company.change("agent", "recordCaseStep", "case { id }", id=case, kind="INTERNAL_NOTE", text="客户电话 13812341234")
    stored_file(company, case)
    fields = f"events {{ nodes {{ {MASKED} }} }} evidence {{ nodes {{ {MASKED} }} }}"
    texts = ("fileName", "sha256", "withdrawalReason", "text", "pages")
    for person, narrative, negotiation in (
        ("agent", None, None), ("clerk", "PARTIAL", "HIDDEN"), ("auditor", "PARTIAL", "PARTIAL"),
    ):  # fmt: skip
        seen = as_seen(company, person, "case", case, fields)
        (file,) = seen["evidence"]["nodes"]
        assert _fields(file) == (dict.fromkeys(texts, narrative) if narrative else {})
        events = {"text": narrative, "internalText": negotiation} if narrative else {}
        assert seen["events"]["nodes"]
        assert all(_fields(event) == events for event in seen["events"]["nodes"])
