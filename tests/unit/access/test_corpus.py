"""Recall and false alarms on 2,000 generated sentences: floors, and figures that the README tells (B10)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from tests.unit.access import corpus

RECALL_LEAST, ALARMS_MOST, SPELLING_LEAST = 0.97, 0.02, 0.95
UNSUPPORTED = {"PHONE, words between"}
"""Written down, not found: `138再1234再1234`."""


@cache
def measured() -> dict[str, Any]:
    return corpus.measured()


def test_the_corpus_is_the_same_every_time_and_has_both_kinds() -> None:
    assert corpus.sentences() == corpus.sentences()
    figures = measured()
    assert figures["sentences"] == corpus.SENTENCES
    assert figures["identifiers"] >= 1_000
    assert figures["near_misses"] >= 1_000


def test_identifiers_are_found_and_near_misses_are_not() -> None:
    figures = measured()
    assert figures["found"] / figures["identifiers"] >= RECALL_LEAST, figures["missed"]
    assert figures["false_alarms"] / figures["near_misses"] <= ALARMS_MOST, figures["wrongly"]


def test_no_supported_spelling_is_left_behind() -> None:
    planted: dict[str, int] = {}
    for sentence in corpus.sentences():
        for _, _, kind, _, spelling in sentence.planted:
            name = f"{kind.value}, {spelling}"
            planted[name] = planted.get(name, 0) + 1
    for name, count in planted.items():
        if name not in UNSUPPORTED:
            assert 1 - measured()["missed"].get(name, 0) / count >= SPELLING_LEAST, name


def test_the_figures_are_those_that_are_told() -> None:
    assert json.loads(corpus.FIGURES.read_text("utf-8")) == measured(), "Remedy: python -m tests.unit.access.corpus"
    text = corpus.README.read_text("utf-8")
    assert f"{corpus.BEGIN}\n{corpus.told(measured())}\n{corpus.END}" in text, (
        "Remedy: python -m tests.unit.access.corpus"
    )


def test_a_detector_that_looks_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure can fail: without its Chinese numerals the detector falls below the floor."""
    monkeypatch.setattr("service.access.identifiers._spoken", lambda _: iter(()))
    figures = corpus.measured()
    assert figures["found"] / figures["identifiers"] < RECALL_LEAST
