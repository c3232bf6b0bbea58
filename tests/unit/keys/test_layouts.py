"""The field lists that sections are sealed under are pinned: a changed list makes stored ciphertexts unreadable.

Whoever must change one adds a layout with a new number and keeps the old list (P16, design "Keys").
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.declared import SEALED_CLASSES, Sensitivity
from service.cases.model import CASE_SHAPE, CASES, EVENT_SHAPE, EVENTS
from service.customers.model import CUSTOMERS
from service.customers.model import SHAPE as CUSTOMER_SHAPE
from service.evidence.model import EVIDENCE, PAGE_SHAPE, PAGES
from service.evidence.model import SHAPE as EVIDENCE_SHAPE
from service.keys.rules import CURRENT_LAYOUT, joined, separate

SHAPES = {
    CUSTOMERS: CUSTOMER_SHAPE,
    CASES: CASE_SHAPE,
    EVENTS: EVENT_SHAPE,
    EVIDENCE: EVIDENCE_SHAPE,
    PAGES: PAGE_SHAPE,
}
LAYOUT_1 = {
    "customers": {
        "NAME": ("attributes", "contacts", "name"),
        "CONTACT": ("addresses", "attributes", "channels", "contacts"),
        "IDENTITY": ("attributes", "date_of_birth", "identity_numbers"),
        "FINANCIAL": ("attributes", "bank_accounts"),
        "NARRATIVE": ("attributes",),
        "NEGOTIATION": ("attributes",),
    },
    "cases": {
        "NAME": ("attributes",),
        "CONTACT": ("attributes",),
        "IDENTITY": ("attributes",),
        "FINANCIAL": ("attributes", "disputed_amount"),
        "NARRATIVE": ("attributes", "description", "product", "resolution", "title"),
        "NEGOTIATION": ("attributes",),
    },
    "case_events": {"NARRATIVE": ("text",), "NEGOTIATION": ("internal_text",)},
    "evidence": {"NARRATIVE": ("file_name", "sha256", "withdrawal_reason")},
    "evidence_pages": {"NARRATIVE": ("boxes", "text")},
}
CONTACTS = {"NAME": ("title", "name"), "CONTACT": ("phone", "email")}


@pytest.mark.parametrize("collection", sorted(LAYOUT_1))
def test_the_sections_are_those_of_layout_1(collection: str) -> None:
    assert CURRENT_LAYOUT == 1
    found = {sensitivity.value: names for sensitivity, names in SHAPES[collection].sections.items()}
    assert found == LAYOUT_1[collection]


def test_every_sealed_collection_is_pinned() -> None:
    assert set(SHAPES) == set(LAYOUT_1)


def test_the_parts_of_a_contact_are_those_of_layout_1() -> None:
    assert set(CUSTOMER_SHAPE.composites) == {"contacts"}
    nested = CUSTOMER_SHAPE.composites["contacts"]
    found = {
        sensitivity.value: tuple(sorted(names, key=list(nested.by_name).index))
        for sensitivity, names in nested.sections.items()
    }
    assert found == CONTACTS


text = st.text(max_size=20) | st.none()
customers = st.fixed_dictionaries(
    {
        "name": text,
        "date_of_birth": text,
        "channels": st.lists(st.fixed_dictionaries({"kind": st.just("PHONE"), "value": text, "label": text})),
        "contacts": st.lists(st.fixed_dictionaries({"title": text, "name": text, "phone": text, "email": text})),
        "tags": st.lists(st.text(max_size=5)),
        "attributes": st.dictionaries(
            st.sampled_from(Sensitivity), st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1)
        ),
    }
)


@given(values=customers)
def test_separated_values_come_together_again_and_nothing_sealed_lies_open(values: dict[str, Any]) -> None:
    # Given a record separated into its open part and its sections
    openly, sections = separate(CUSTOMER_SHAPE, values)
    # Then the open part has nothing of a sealed class
    for name in openly:
        assert CUSTOMER_SHAPE.by_name[name].sensitivity is Sensitivity.OPEN
    assert all(item == {} for item in openly["contacts"])
    assert set(sections) <= set(SEALED_CLASSES)
    for sensitivity, section in sections.items():
        assert set(section) <= set(CUSTOMER_SHAPE.sections[sensitivity])
    # And together they are the record again
    again = joined(CUSTOMER_SHAPE, openly, sections)
    for name in ("name", "date_of_birth", "contacts", "tags"):
        assert (again[name] or None) == (values[name] or None)
    assert (again["channels"] or []) == values["channels"]
    assert {k: v for k, v in again["attributes"].items() if v} == values["attributes"]
