"""A system without demo data is made usable from the command line alone, as the README says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.demo import make_content
from infra.local import Endpoints
from service.access.actor import SYSTEM, Actor, Caller
from service.access.policy import Role
from service.templates.model import TemplateOf
from tests.fixtures.company import Company, environment_of, settings_on

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(mongo_server: str, s3_server: Endpoints, tmp_path: Path) -> Iterator[Company]:
    """A company with nobody in it and nothing running."""
    settings = settings_on(tmp_path / "data", mongo_server, s3_server)
    company = Company(settings.url, settings, {}, {})
    yield company
    company.stop()
    with company.inside() as (runner, system):
        runner.run(system.database.drop())


def anjuan(company: Company, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", *arguments]
    environment = environment_of(company.settings)
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)


def sign_in(company: Company, email: str, password: str) -> str:
    document = "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken } userErrors { code } } }"
    answer = company.ask(None, document, i={"email": email, "password": password})
    return str(answer["data"]["signIn"]["session"]["accessToken"])


def test_from_init_to_a_case_that_is_raised_assigned_and_handled(empty: Company) -> None:
    # Given an empty system, a department and its people
    assert anjuan(empty, "init").returncode == 0
    made = anjuan(empty, "department", "create", "east", "--zh", "华东服务部", "--en", "East")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("dep_")
    assert made.stdout.endswith(" east\n")
    for person, role in (("manager", "ACCOUNT_MANAGER"), ("supervisor", "SUPERVISOR"), ("agent", "AGENT")):
        told = anjuan(empty, "user", "create", f"{person}@example.com", person, "--role", role, "--department", "east")
        assert told.returncode == 0, told.stderr
        empty.users[person], _, password = told.stdout.split()
        empty._tokens[person] = password
    # When API and worker run, everybody signs in with the password that was told
    empty.start("worker")
    empty.start("serve")
    empty.wait_until_ready()
    for person in empty.users:
        empty._tokens[person] = sign_in(empty, f"{person}@example.com", empty._tokens[person])
    # Then a customer is filed and a case goes its way
    offered = empty.data("manager", "{ caseTemplates { categories { key } fields { key } } }")["caseTemplates"]
    assert [c["key"] for c in offered[0]["categories"]] == ["quality", "delivery", "billing", "service", "other"]
    given = {"name": "示例水务有限公司", "channels": [{"kind": "PHONE", "value": "0512-62881234"}]}
    customer = empty.change("manager", "createCustomer", "customer { id }", kind="ORGANISATION", **given)
    case = empty.change(
        "manager", "raiseCase", "case { id version }", customer=customer["id"], title="外壳开裂", description="要求换货",
        category="quality",
    )  # fmt: skip
    case = empty.change(
        "supervisor", "assignCase", "case { id version state }", id=case["id"], version=case["version"],
        assignee=empty.users["agent"],
    )  # fmt: skip
    assert case["state"] == "ASSIGNED"
    step = {"id": case["id"], "version": case["version"], "kind": "MEASURE", "text": "寄出新泵"}
    assert empty.change("agent", "recordCaseStep", "case { state }", **step)["state"] == "HANDLING"


def test_a_department_is_journalled_as_the_systems_and_its_key_is_used_once(empty: Company) -> None:
    anjuan(empty, "init")
    assert anjuan(empty, "department", "create", "east", "--zh", "华东", "--en", "East").returncode == 0
    again = anjuan(empty, "department", "create", "east", "--zh", "华东", "--en", "East")
    assert (again.returncode, again.stderr) == (1, "anjuan: key is already in use.\n")
    wrong = anjuan(empty, "department", "create", "East Side", "--zh", "华东", "--en", "East")
    assert wrong.returncode == 1
    assert "a-z, 0-9, -" in wrong.stderr
    with empty.inside() as (runner, system):
        auditor = Caller(
            Actor("usr_auditor", "朱建国", frozenset({Role.AUDITOR}), None), runner.run(system.policies.current())
        )
        entries = runner.run(system.journal.entries(auditor, actions=["department.create"]))
        assert [entry.actor for entry in entries] == [SYSTEM.id]


def test_standard_templates_are_made_once_and_the_demos_come_on_top(empty: Company) -> None:
    anjuan(empty, "init")
    anjuan(empty, "init")
    with empty.inside() as (runner, system):
        assert sorted((t.of.value, t.key, t.version) for t in runner.run(system.templates.every()).values()) == [
            ("CASE", "standard", 1),
            ("CUSTOMER", "standard", 1),
        ]
        policy = runner.run(system.policies.current())
        content = make_content(scale=0.02)
        administrator = Caller(Actor("usr_admin", "冯磊", frozenset({Role.ADMIN}), None), policy)
        for template in (content.customer_template, content.case_template):
            runner.run(system.templates.publish(administrator, template))
        newest = runner.run(system.templates.newest(TemplateOf.CASE))
        assert newest is not None
        assert newest.version == 2
