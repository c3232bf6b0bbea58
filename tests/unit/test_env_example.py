"""`.env.example` is the list of settings that people copy from."""

from __future__ import annotations

from pathlib import Path

from service.config import Settings

FILE = Path(__file__).parents[2] / ".env.example"


def _listed() -> dict[str, str]:
    lines = [line.removeprefix("#") for line in FILE.read_text("utf-8").splitlines() if line.startswith("#ANJUAN_")]
    return dict(line.split("=", 1) for line in lines)


def test_it_lists_every_setting_once_and_nothing_else() -> None:
    names = [line.split("=")[0] for line in FILE.read_text("utf-8").splitlines() if "ANJUAN_" in line.split("=")[0]]
    assert names == [f"#ANJUAN_{name.upper()}" for name in Settings.model_fields]


def test_it_shows_each_setting_with_its_default() -> None:
    shown = {name: "" if field.default is None else str(field.default) for name, field in Settings.model_fields.items()}
    assert _listed() == {f"ANJUAN_{name.upper()}": default for name, default in shown.items()}


def test_each_setting_has_one_line_about_it_and_none_is_set() -> None:
    lines = FILE.read_text("utf-8").splitlines()
    for place, line in enumerate(lines):
        if line.startswith("#ANJUAN_"):
            assert lines[place - 1].startswith("# "), line
    assert not [line for line in lines if line and not line.startswith("#")], "an example changes nothing when copied"
