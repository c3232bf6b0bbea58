"""Cursors open for whom and for what they were made, and for a day (P13)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema.cursors import LIFE, Cursors
from service.access.actor import Actor, Caller
from service.access.policy import Policy, Role
from service.clock import clock_set
from service.errors import Code, Refused
from service.policies.service import seed_data

AT = datetime(2026, 11, 24, 2, 4, 57, 123000, tzinfo=UTC)
QUESTION = ["customers", None, {}, "-_id"]


def _caller(user: str = "usr_1", *roles: Role) -> Caller:
    return Caller(Actor(user, "", frozenset(roles or {Role.CLERK}), None), Policy.read(seed_data()))


@pytest.fixture
def cursors() -> Cursors:
    return Cursors(b"k" * 32)


def _refused(cursors: Cursors, cursor: str, caller: Caller, question: Any = QUESTION) -> None:
    with pytest.raises(Refused) as refused:
        cursors.read(caller, question, cursor)
    assert (refused.value.problem.code, refused.value.problem.field) == (Code.INVALID_CURSOR, "after")


@pytest.mark.parametrize("position", ["cus_1", 7, [AT, "cus_1"], [None, "cus_1"], None])
def test_a_cursor_gives_its_position_back(cursors: Cursors, position: Any) -> None:
    assert cursors.read(_caller(), QUESTION, cursors.write(_caller(), QUESTION, position)) == position


def test_no_cursor_is_no_position(cursors: Cursors) -> None:
    assert cursors.read(_caller(), QUESTION, None) is None


def test_a_cursor_lives_for_a_day(cursors: Cursors) -> None:
    with clock_set(AT) as clock:
        cursor = cursors.write(_caller(), QUESTION, "cus_1")
        clock.advance(LIFE - timedelta(seconds=1))
        assert cursors.read(_caller(), QUESTION, cursor) == "cus_1"
        clock.advance(timedelta(seconds=2))
        _refused(cursors, cursor, _caller())


def test_a_cursor_is_bound_to_person_roles_and_question(cursors: Cursors) -> None:
    cursor = cursors.write(_caller(), QUESTION, "cus_1")
    _refused(cursors, cursor, _caller("usr_2"))
    _refused(cursors, cursor, _caller("usr_1", Role.CLERK, Role.AGENT))
    _refused(cursors, cursor, _caller(), ["cases", *QUESTION[1:]])
    _refused(Cursors(b"x" * 32), cursor, _caller())
