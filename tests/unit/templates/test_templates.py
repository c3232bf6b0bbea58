"""What a template must be before it is published (R3)."""

from __future__ import annotations

from typing import Any

import pytest

from infra.demo.templates import CUSTOMER_TEMPLATE, case_template
from service.errors import Code, Problems
from service.templates.rules import LABEL_MOST, check_template

LABEL = {"zh": "字段", "en": "Field"}
CHOICE = {"key": "one", "label": LABEL}


def field(**values: Any) -> dict[str, Any]:
    return {"key": "color", "type": "TEXT", "label": LABEL, "sensitivity": "OPEN", **values}


def template(*fields: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"of": "CASE", "key": "standard", "label": LABEL, "categories": [CHOICE], "fields": list(fields), **values}


def problems(data: dict[str, Any]) -> list[tuple[Code, str | None]]:
    found = Problems()
    check_template(data, [], found)
    return [(problem.code, problem.field) for problem in found.found]


def test_the_demos_templates_are_good() -> None:
    assert problems(CUSTOMER_TEMPLATE) == []
    assert problems(case_template([("late_delivery", "交货延迟", "Late delivery")])) == []


@pytest.mark.parametrize("unknown", ["SECRET", "open", "", None, 3])
def test_a_class_that_there_is_not_is_refused_by_its_field(unknown: Any) -> None:
    """A version with an unknown class could never be read again, nor any record under it. No class at all is OPEN."""
    expected = [] if not unknown else [(Code.VALIDATION, "fields.1.sensitivity")]
    assert problems(template(field(), field(key="size", sensitivity=unknown))) == expected


def test_a_type_that_there_is_not_is_refused_by_its_field() -> None:
    assert problems(template(field(type="PICTURE"))) == [(Code.VALIDATION, "fields.0.type")]


BLANKS = ["", " ", "\u3000", "\u200b", "长" * (LABEL_MOST + 1)]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_label_says_something_in_both_languages(blank: str, language: str) -> None:
    bad = {**LABEL, language: blank}
    assert problems(template(label=bad)) == [(Code.VALIDATION, f"label.{language}")]
    assert problems(template(field(label=bad))) == [(Code.VALIDATION, f"fields.0.label.{language}")]
    choice = {"key": "two", "label": bad}
    found = problems(template(field(type="CHOICE", choices=[CHOICE, choice])))
    assert found == [(Code.VALIDATION, f"fields.0.choices.1.label.{language}")]
    assert problems(template(categories=[choice])) == [(Code.VALIDATION, f"categories.0.label.{language}")]


def test_no_choice_and_no_category_stands_there_twice() -> None:
    found = problems(template(field(type="CHOICE", choices=[CHOICE, CHOICE])))
    assert found == [(Code.VALIDATION, "fields.0.choices.1.key")]
    assert problems(template(categories=[CHOICE, CHOICE])) == [(Code.VALIDATION, "categories.1.key")]


@pytest.mark.parametrize("key", ["", " ", "\u200b", " one", "x" * (LABEL_MOST + 1)])
def test_what_is_stored_of_a_choice_is_a_key(key: str) -> None:
    assert problems(template(categories=[{"key": key, "label": LABEL}])) == [(Code.VALIDATION, "categories.0.key")]


@pytest.mark.parametrize("pattern", ["(", "(a)\\1", "((a{0,10}){0,10}){0,10}b"])
def test_a_pattern_that_re2_does_not_take_is_named(pattern: str) -> None:
    assert problems(template(field(pattern=pattern))) == [(Code.INVALID_FORMAT, "fields.0.pattern")]
