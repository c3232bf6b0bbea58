"""The README says what is so: its tables of rights are the policy's, its figures those of the last runs."""

from __future__ import annotations

import re
from pathlib import Path

from service.access.declared import SEALED_CLASSES
from service.policies.service import seed_data
from tests.bench import table

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def _table(heading: str) -> list[list[str]]:
    """The cells of the table that begins with this heading, without its head."""
    _, _, after = README.partition(f"\n| {heading} |")
    rows = after.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_steps_are_the_policys() -> None:
    told = {}
    for step, who in _table("step"):
        name = re.match("`([^`]+)`", step)
        assert name, step
        told[name[1]] = {
            (found[1], found[2] or "ANY") for found in re.finditer(r"([A-Z_]+)(?: \(([A-Z]+)\))?(?:, |$)", who)
        }
    assert told == {step: {tuple(grant) for grant in grants} for step, grants in seed_data()["steps"].items()}


def test_the_levels_are_the_policys() -> None:
    rows = _table("role, relation")
    *granted, (admin, *_) = rows
    assert admin == "ADMIN"
    told = {
        tuple(row[0].partition(" (")[0].split(", ")): dict(
            zip((sensitivity.value for sensitivity in SEALED_CLASSES), row[1:], strict=True)
        )
        for row in granted
    }
    assert told == {(grant["role"], grant["relation"]): grant["levels"] for grant in seed_data()["grants"]}


def test_the_figures_are_those_of_the_last_runs() -> None:
    assert table.between(README) == table.figures(), "Remedy: python -m tests.bench.table"
