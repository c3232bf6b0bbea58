"""What `anjuan policy show` prints, and what the README has of it, is the policy's data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import cli
from service.policies.service import seed_data
from service.policies.shown import BEGIN, END, between, levels_table, markdown, placed, tables


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No database, and no running `anjuan up`."""
    monkeypatch.setenv("ANJUAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ANJUAN_MONGO_URL", raising=False)
    monkeypatch.chdir(tmp_path)


def show(*options: str) -> str:
    result = CliRunner().invoke(cli, ["policy", "show", *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_without_a_database_the_seed_is_shown() -> None:
    assert json.loads(show("--json")) == seed_data()
    assert show("--markdown").strip() == markdown(seed_data())


def test_each_row_stands_in_its_classes_order() -> None:
    head, rows = levels_table(seed_data())
    told = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    assert {
        f"{grant['role']}, {grant['relation']}": grant["levels"] for grant in seed_data()["grants"]
    }.items() <= told.items()
    assert set(told) - {f"{g['role']}, {g['relation']}" for g in seed_data()["grants"]} == {"ADMIN"}


def test_people_read_every_role_class_and_step() -> None:
    table = show()
    for word in ("ACCOUNT_MANAGER", "DEPARTMENT", "NEGOTIATION", "BLIND", *seed_data()["steps"]):
        assert word in table


def test_a_denied_class_is_not_told_as_granted() -> None:
    data: dict[str, Any] = {**seed_data(), "deny": [{"role": "AGENT", "relation": "ASSIGNED", "class": "NAME"}]}
    _, rows = levels_table(data)
    assert {row[0]: row[1] for row in rows}["AGENT, ASSIGNED"] == "denied"
    assert len(tables(data)) == len(tables(seed_data())) + 1, "and what else it denies is told in a table of its own"


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path) -> None:
    document = tmp_path / "rights.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    show("--into", str(document))
    text = document.read_text("utf-8")
    assert between(text) == markdown(seed_data())
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    with pytest.raises(LookupError, match="no place"):
        placed("a document without marks", seed_data())
