"""The README says what is so: its figures are those of the last runs."""

from __future__ import annotations

from tests.bench.table import README, between, figures


def test_its_figures_are_those_of_the_last_runs() -> None:
    assert between(README.read_text("utf-8")) == figures(), "Remedy: python -m tests.bench.table"
