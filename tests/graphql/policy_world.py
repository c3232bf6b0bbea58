"""What tests of the policy share: rows and steps, a proposal that is confirmed, the seed again before each test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from service.access.declared import SEALED_CLASSES
from service.clock import new_id, now
from service.policies.model import POLICIES, PREFIX
from service.policies.service import seed_data
from service.storage import UnitOfWork
from service.storage.epoch import Epoch
from tests.fixtures.company import Company
from tests.graphql.conftest import Stores

__all__ = ["company", "seeded"]
PROPOSAL = (
    "proposal { id base state reason rejectionReason proposedBy { id } decidedBy { id } decidedAt "
    "changes { what before after } }"
)
POLICY = """{ policy { version since reason proposedBy { id } confirmedBy { id } grants { role relation levels {
    sensitivity level } } deny { role relation sensitivity } steps { step grants { role relation } }
    proposals { id base state reason } } }"""


@pytest.fixture(scope="module")
def company(policy_company: Company) -> Company:
    """The company whose policy may be changed, in the place of the one that all other tests share."""
    return policy_company


@pytest.fixture(autouse=True)
def seeded(stores: Stores) -> Iterator[None]:
    """After every test what the seed says is in force again, as a version that nobody proposed."""
    yield
    current = stores.runner.run(stores.system.policies.table())
    assert current is not None
    if {name: current[name] for name in ("grants", "deny", "steps")} != _content():
        put(stores, **_content())


def put(stores: Stores, **content: Any) -> None:
    """A further version, written past the services: the seed's but for `content`."""
    system = stores.system

    async def work(unit: UnitOfWork) -> None:
        current = await system.policies.table()
        assert current is not None
        version = {
            "_id": new_id(PREFIX),
            "version": current["version"] + 1,
            "created_at": now(),
            **_content(),
            **content,
        }
        await unit.collection(POLICIES).insert_one(version)
        await Epoch.raise_in(unit)

    stores.runner.run(system.database.transact(work))


def _content() -> dict[str, Any]:
    return {name: value for name, value in seed_data().items() if name != "version"}


def row(role: str, relation: str, **levels: str) -> dict[str, Any]:
    """A row as the seed has it, with other levels."""
    seed = next((g["levels"] for g in seed_data()["grants"] if (g["role"], g["relation"]) == (role, relation)), {})
    found = {c.value: levels.get(c.value, seed.get(c.value, "HIDDEN")) for c in SEALED_CLASSES}
    return {
        "role": role,
        "relation": relation,
        "levels": [{"sensitivity": name, "level": level} for name, level in found.items()],
    }


def step(name: str, *grants: tuple[str, str]) -> dict[str, Any]:
    """A step and everybody who may take it."""
    return {"step": name, "grants": [{"role": role, "relation": relation} for role, relation in grants]}


def version(company: Company) -> int:
    """The version in force."""
    found: int = company.data("admin", "{ policy { version } }")["policy"]["version"]
    return found


def propose(company: Company, person: str = "admin", **values: Any) -> dict[str, Any]:
    """A proposal that must be taken."""
    given = {"version": version(company), "reason": "按制度调整", **values}
    found: dict[str, Any] = company.change(person, "updatePolicy", PROPOSAL, **given)
    return found


def enact(company: Company, **values: Any) -> dict[str, Any]:
    """A proposal that ADMIN makes and COMPLIANCE confirms."""
    proposal = propose(company, **values)
    found: dict[str, Any] = company.change("compliance", "confirmPolicy", PROPOSAL, id=proposal["id"])
    return found


def refusals(company: Company, person: str, mutation: str, **values: Any) -> Sequence[tuple[str, str | None]]:
    """Codes and fields of a step of a proposal that must be refused."""
    payload = company.attempt(person, mutation, PROPOSAL, **values)
    assert payload["proposal"] is None
    assert all(error["message"] for error in payload["userErrors"])
    return [(error["code"], error["field"]) for error in payload["userErrors"]]
