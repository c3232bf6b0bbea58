"""The README says what is so: its tables of rights are the policy's, its figures those of the last runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.policies import shown
from service.policies.service import seed_data
from tests.bench import table

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_tables_of_rights_are_the_policys() -> None:
    assert shown.between(README) == shown.markdown(seed_data()), "Remedy: anjuan policy show --into README.md"


def test_another_policy_has_other_tables() -> None:
    """Each cell, each step and each denial is in them; what is between the marks is all that is written anew."""
    tables = {shown.markdown(policy) for policy in _changed()}
    assert len(tables) == len(list(_changed()))
    placed = shown.placed(README, {**seed_data(), "steps": {}})
    assert placed != README
    assert shown.placed(placed, seed_data()) == README


def _changed() -> Iterator[dict[str, Any]]:
    yield seed_data()
    for number, row in enumerate(seed_data()["grants"]):
        for name in row["levels"]:
            data = seed_data()
            data["grants"][number]["levels"][name] = "BLIND" if row["levels"][name] == "HIDDEN" else "HIDDEN"
            yield data
    for step in seed_data()["steps"]:
        yield {**seed_data(), "steps": {**seed_data()["steps"], step: []}}
    yield {**seed_data(), "deny": [{"role": "ADMIN", "relation": "ANY", "class": "NAME"}]}


def test_the_figures_are_those_of_the_last_runs() -> None:
    assert table.between(README) == table.figures(), "Remedy: python -m tests.bench.table"
