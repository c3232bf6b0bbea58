"""The guard in front of lists and searches: which questions nobody may put, role by role (R69, B2, P12)."""

from __future__ import annotations

from typing import Any

import pytest

from search.document import TEXTS
from search.query import Keywords
from search.service import reach_of, searchable
from search.tokens import Phrase
from service.access.actor import Actor, Caller
from service.access.declared import Level, Sensitivity
from service.access.policy import Role
from service.access.questions import Questions, UndeclaredQuestion, by_value, may_ask, permit
from service.cases.model import CASE_QUESTIONS, CASE_SHAPE
from service.customers.model import QUESTIONS as CUSTOMER_QUESTIONS
from service.customers.model import SHAPE as CUSTOMER_SHAPE
from service.errors import Code, Refused
from service.policies.rules import read_policy
from service.policies.service import seed_data

PEOPLE = ("AGENT", "ACCOUNT_MANAGER", "SUPERVISOR", "CLERK", "COMPLIANCE", "AUDITOR", "ADMIN")
# What each may ask of customers: every stored field by its value, the blind lookups, words of a name.
#                      agent manager supervisor clerk compliance auditor admin
MAY = """
kind                     +     +       +         +      +         +      +
owner                    +     +       +         +      +         +      +
tag                      +     +       +         +      +         +      +
updated_at               +     +       +         +      +         +      +
name                     +     +       +         +      +         -      -
channels                 +     +       +         -      -         -      -
addresses                +     +       +         -      -         -      -
identity_numbers         -     -       -         -      -         -      -
date_of_birth            -     -       -         -      -         -      -
bank_accounts            -     +       +         -      -         -      -
query                    +     +       +         +      +         -      -
phone                    +     +       +         +      +         +      -
email                    +     +       +         +      +         +      -
id_number                +     +       +         +      +         +      -
registration_number      +     +       +         +      +         +      -
"""
CELLS = [
    (line.split()[0], role, cell)
    for line in MAY.strip().splitlines()
    for role, cell in zip(PEOPLE, line.split()[1:], strict=True)
]


def caller(*roles: str, deny: list[dict[str, str]] | None = None) -> Caller:
    data: dict[str, Any] = {**seed_data(), "deny": deny or []}
    return Caller(Actor("usr_a", "某人", frozenset(map(Role, roles)), "dep_e"), read_policy(data))


@pytest.mark.parametrize(("name", "role", "cell"), CELLS)
def test_each_role_asks_by_what_it_sees_in_full_and_no_more(name: str, role: str, cell: str) -> None:
    if cell == "+":
        CUSTOMER_QUESTIONS.permit(caller(role), [name])
        return
    with pytest.raises(Refused) as refused:
        CUSTOMER_QUESTIONS.permit(caller(role), [name])
    assert refused.value.problem.code is Code.QUESTION_REFUSED


def test_every_role_is_refused_what_is_sealed_from_it() -> None:
    """Over all stored fields of customers and cases: asked by value means seen in full, on every one of them."""
    for role in PEOPLE:
        somebody = caller(role)
        for questions, shape in ((CUSTOMER_QUESTIONS, CUSTOMER_SHAPE), (CASE_QUESTIONS, CASE_SHAPE)):
            for field in shape.fields:
                is_full = somebody.level(field.sensitivity) is Level.FULL
                assert may_ask(somebody, questions.names[field.name]) is is_full, (role, field.name)


def test_of_two_roles_the_narrower_sight_decides() -> None:
    """An agent who is a clerk too sees their own customers' phones, and those of the department masked."""
    both = caller("AGENT", "CLERK")
    with pytest.raises(Refused):
        CUSTOMER_QUESTIONS.permit(both, ["channels"])
    CUSTOMER_QUESTIONS.permit(both, ["phone"])


def test_a_deny_takes_blind_equality_away_too() -> None:
    denied = caller("SUPERVISOR", deny=[{"role": "SUPERVISOR", "relation": "DEPARTMENT", "class": "CONTACT"}])
    with pytest.raises(Refused) as refused:
        CUSTOMER_QUESTIONS.permit(denied, ["phone", "kind"])
    assert refused.value.problem.field == "phone"


def test_one_bad_name_among_good_ones_refuses_all_however_it_is_spelled() -> None:
    messages = set()
    for names in (["kind", "date_of_birth"], ["date_of_birth", "kind"], ["bank_accounts", "date_of_birth", "tag"]):
        with pytest.raises(Refused) as refused:
            CUSTOMER_QUESTIONS.permit(caller("CLERK"), names)
        messages.add(refused.value.problem.message("en"))
    assert messages == {"You may not ask by dateOfBirth.", "You may not ask by bankAccounts."}


def test_a_name_that_nothing_declares_is_never_let_through() -> None:
    with pytest.raises(UndeclaredQuestion):
        CUSTOMER_QUESTIONS.permit(caller("SUPERVISOR"), ["shoe_size"])
    with pytest.raises(UndeclaredQuestion):
        Questions(CUSTOMER_SHAPE, also={"city": "addresses.city"})
    with pytest.raises(UndeclaredQuestion):
        by_value("x", CUSTOMER_SHAPE, ("contacts.shoe_size",))


def test_a_composites_fields_are_of_their_own_classes() -> None:
    phone, name = (by_value("x", CUSTOMER_SHAPE, (f"contacts.{inner}",)) for inner in ("phone", "name"))
    assert set(phone.needed) == {Sensitivity.CONTACT}
    assert set(name.needed) == {Sensitivity.NAME}
    permit(caller("CLERK"), [name])
    with pytest.raises(Refused):
        permit(caller("CLERK"), [phone])


# Words


def test_words_are_asked_only_of_texts_that_may_be_searched() -> None:
    words = Keywords((Phrase(("水泵",)),))
    everything = frozenset(TEXTS)
    assert searchable(caller("SUPERVISOR"), words) == everything
    assert searchable(caller("CLERK"), words) == everything - {"internal"}
    assert searchable(caller("AUDITOR"), words) == everything - {"customer_name"}, "a name's mask is no word of it"


def test_who_may_search_no_text_is_refused_and_not_answered_with_nothing() -> None:
    assert reach_of(caller("ADMIN")) == ()
    with pytest.raises(Refused) as refused:
        searchable(caller("ADMIN"), Keywords((Phrase(("水泵",)),)))
    assert (refused.value.problem.code, refused.value.problem.field) == (Code.QUESTION_REFUSED, "query")
    assert searchable(caller("ADMIN"), Keywords()) == frozenset()


def test_each_text_of_the_index_is_of_the_classes_of_what_it_is_made_of() -> None:
    assert {name: {c.value: level.name for c, level in asked.needed.items()} for name, asked in TEXTS.items()} == {
        "title": {"NARRATIVE": "PARTIAL"},
        "with_customer": {"NARRATIVE": "PARTIAL"},
        "from_customer": {"NARRATIVE": "PARTIAL"},
        "scan": {"NARRATIVE": "PARTIAL"},
        "internal": {"NEGOTIATION": "PARTIAL"},
        "customer_name": {"NAME": "FULL"},
    }
