"""The way of a case over the API: required fields at every node, returns, stamps, and a sealing that was cut short
(R32–R35, R39, P25).
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest

from service.access.actor import Actor, Caller, IdempotencyMark
from service.access.policy import Role
from service.cases.model import CaseNode
from service.clock import now
from service.journal.model import Repeat
from service.storage import ObjectTrouble
from tests.fixtures.company import Company
from tests.graphql.conftest import Stores, as_seen, assigned, closed, problems, step

LABEL = {"zh": "字段", "en": "Field"}
CHECKED = [node.value for node in CaseNode if node is not CaseNode.RAISE]


@pytest.fixture(scope="module")
def strict(company: Company) -> str:
    """Key of a case template with one required field at each node."""
    company.change(
        "admin", "publishTemplate", "template { id }", of="CASE", key="strict", label=LABEL,
        categories=[{"key": "damaged_goods", "label": LABEL}],
        fields=[
            {"key": f"at_{node.lower()}", "type": "TEXT", "label": LABEL, "sensitivity": "NARRATIVE", "requiredAt": node}
            for node in CHECKED
        ],
    )  # fmt: skip
    return "strict"


def _fill(company: Company, case: dict[str, Any], node: str) -> dict[str, Any]:
    return step(company, case, "manager", "updateCase", attributes=[{"key": f"at_{node.lower()}", "value": "已填"}])


def test_no_node_is_passed_without_its_required_fields(company: Company, stores: Stores, strict: str) -> None:
    case = company.new_case(company.new_customer()["id"], template=strict, attributes=[])
    way: list[tuple[str, str, str, dict[str, Any]]] = [
        ("ASSIGN", "supervisor", "assignCase", {"assignee": company.users["agent"]}),
        ("HANDLE", "agent", "recordCaseStep", {"kind": "MEASURE", "text": "寄件"}),
        ("FEEDBACK", "manager", "recordCaseStep", {"kind": "CUSTOMER_FEEDBACK", "text": "好", "satisfaction": 5}),
        ("CLOSE", "manager", "closeCase", {"resolution": "已换货"}),
    ]
    for node, person, mutation, values in way:
        before = stores.everything()
        given = {"id": case["id"], "version": case["version"], **values}
        assert problems(company, person, mutation, **given) == [("REQUIRED", f"attributes.at_{node.lower()}")]
        assert stores.everything() == before
        case = step(company, _fill(company, case, node), person, mutation, **values)
    # What the review and the archive need can't be filled in now; the reviewer is told, and returns the case.
    review = {"id": case["id"], "version": case["version"], "opinion": "缺少内容"}
    assert problems(company, "supervisor", "reviewCase", decision="APPROVE", **review) == [
        ("REQUIRED", "attributes.at_review"),
        ("REQUIRED", "attributes.at_archive"),
    ]
    case = step(company, case, "supervisor", "reviewCase", decision="RETURN", opinion="缺少内容")
    case = closed(company, _fill(company, _fill(company, case, "REVIEW"), "ARCHIVE"))
    case = step(company, case, "supervisor", "reviewCase", decision="APPROVE", opinion="同意")
    assert step(company, case, "supervisor", "archiveCase")["state"] == "ARCHIVED"


def test_an_assignee_is_not_named_at_the_raising_without_what_assigning_needs(company: Company, strict: str) -> None:
    customer = company.new_customer()
    found = problems(
        company, "supervisor", "raiseCase", customer=customer["id"], title="漏水", description="换货",
        category="damaged_goods", template=strict, assignee=company.users["agent"],
    )  # fmt: skip
    assert found == [("REQUIRED", "attributes.at_assign")]


def test_what_a_passed_node_required_is_not_cleared_again(company: Company, strict: str) -> None:
    case = _fill(company, company.new_case(company.new_customer()["id"], template=strict, attributes=[]), "ASSIGN")
    case = step(company, case, "supervisor", "assignCase", assignee=company.users["agent"])
    found = problems(
        company, "manager", "updateCase", id=case["id"], version=case["version"],
        attributes=[{"key": "at_assign", "value": None}],
    )  # fmt: skip
    assert found == [("REQUIRED", "attributes.at_assign")]


FIELDS = "state version resolution closedAt allowedActions nodes { node doneAt }"


def test_a_returned_case_is_handled_again_before_it_is_answered(company: Company) -> None:
    case = closed(company, assigned(company, company.new_customer()["id"], "agent"))
    case = step(company, case, "supervisor", "reviewCase", decision="RETURN", opinion="请再处理")
    assert case["state"] == "ASSIGNED"
    seen = as_seen(company, "manager", "case", case["id"], FIELDS)
    assert (seen["resolution"], seen["closedAt"]) == (None, None)
    assert "RECORD_CUSTOMER_FEEDBACK" not in seen["allowedActions"]
    assert "CLOSE" not in seen["allowedActions"]
    done = {node["node"] for node in seen["nodes"] if node["doneAt"]}
    assert done == {"RAISE", "ASSIGN"}
    feedback = {"kind": "CUSTOMER_FEEDBACK", "text": "好", "satisfaction": 5}
    given = {"id": case["id"], "version": case["version"]}
    assert problems(company, "manager", "recordCaseStep", **given, **feedback) == [("NOT_ALLOWED_IN_STATE", "state")]
    assert problems(company, "manager", "closeCase", **given, resolution="好") == [("NOT_ALLOWED_IN_STATE", "state")]
    # The former resolution stays in the history.
    events = as_seen(company, "manager", "case", case["id"], "events { nodes { kind text } }")["events"]["nodes"]
    assert {"kind": "CLOSED", "text": "已换货"} in events
    assert closed(company, case)["state"] == "CLOSED"


def test_the_first_measure_stamps_the_handling(company: Company) -> None:
    case = assigned(company, company.new_customer()["id"], "agent")
    case = step(company, case, "agent", "recordCaseStep", kind="MEASURE", text="寄出替换件")
    first = as_seen(company, "agent", "case", case["id"], "nodes { node doneAt }")
    step(company, case, "agent", "recordCaseStep", kind="MEASURE", text="上门安装")
    assert as_seen(company, "agent", "case", case["id"], "nodes { node doneAt }") == first


def test_an_update_that_changes_nothing_leaves_the_version_alone(company: Company, stores: Stores) -> None:
    case = assigned(company, company.new_customer()["id"], "agent")
    before = stores.everything()
    same = step(company, case, "agent", "updateCase", title="水泵外壳开裂", product=None)
    assert same["version"] == case["version"]
    assert stores.everything() == before


# The archive


def _reviewed(company: Company) -> dict[str, Any]:
    case = closed(company, assigned(company, company.new_customer()["id"], "agent"))
    return step(company, case, "supervisor", "reviewCase", decision="APPROVE", opinion="同意")


@pytest.mark.parametrize("finished", ["by the same call", "by the worker"])
def test_the_same_call_again_continues_a_sealing_that_a_store_cut_short(
    company: Company, stores: Stores, monkeypatch: pytest.MonkeyPatch, finished: str
) -> None:
    # Given a reviewed case whose sealing fails after its doors were closed
    case, system, run = _reviewed(company), stores.system, stores.runner.run
    policy = run(system.policies.current())
    actor = Actor(company.users["supervisor"], "周敏", frozenset({Role.SUPERVISOR}), company.departments["east"])
    mark = IdempotencyMark(secrets.token_hex(32), "input")

    def archive() -> Any:
        return run(system.archive.archive(Caller(actor, policy).marked(mark), case["id"], case["version"]))

    async def fails(*_: Any) -> Any:
        raise ObjectTrouble("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(system.evidence, "lock_all", fails)
        with pytest.raises(ObjectTrouble):
            archive()
    assert stores.one("cases", case["id"])["state"] == "SEALING"
    if finished == "by the worker":
        (job,) = stores.find("jobs", {"payload.case": case["id"]})
        stores.change("jobs", job["_id"], {"$set": {"due": now()}})
        company.eventually(lambda: stores.one("cases", case["id"])["state"] == "ARCHIVED")
    # When the same call comes again, then it ends well
    view = archive()
    assert (view.document["state"], view.document["version"]) == ("ARCHIVED", case["version"] + 2)
    if finished == "by the same call":
        assert run(system.journal.repeated(mark)) == Repeat(case["id"], case["version"] + 2)
    # And somebody else's stale version is a conflict as ever
    stale = {"id": case["id"], "version": case["version"]}
    assert problems(company, "compliance", "archiveCase", **stale) == [("CONFLICT", "version")]


def test_what_can_no_longer_come_has_failed_before_a_case_is_sealed(company: Company, stores: Stores) -> None:
    # Given a case with a file whose day has passed and one that was withdrawn before it came
    case = assigned(company, company.new_customer()["id"], "agent")
    late, wrong = (
        company.change(
            "clerk", "createEvidence", "evidence { id version }",
            case=case["id"], kind="OTHER", fileName="x.pdf", mediaType="application/pdf", size=9,
        )
        for _ in range(2)
    )  # fmt: skip
    company.change("clerk", "withdrawEvidence", "evidence { id }", **wrong, reason="放错了")
    case = closed(company, case)
    case = step(company, case, "supervisor", "reviewCase", decision="APPROVE", opinion="同意")
    # While the first may still come, the case is not sealed
    given = {"id": case["id"], "version": case["version"]}
    assert problems(company, "supervisor", "archiveCase", **given) == [("VALIDATION", "evidence")]
    stores.change("evidence", late["id"], {"$set": {"expires_at": now() - timedelta(seconds=1)}})
    # When it is sealed, then both have failed, and the sweep that comes later changes nothing
    assert step(company, case, "supervisor", "archiveCase")["state"] == "ARCHIVED"
    after = [stores.one("evidence", item["id"]) for item in (late, wrong)]
    assert [item["state"] for item in after] == ["FAILED", "FAILED"]
    stores.runner.run(stores.system.evidence.expire())
    assert [stores.one("evidence", item["id"]) for item in (late, wrong)] == after
