"""Alerts and notices. Neither holds a value of a record, only ids and names of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from service.access.declared import Open, shape_of
from service.access.questions import Questions
from service.journal.windows import ReadingWindow

ALERTS = "alerts"
NOTICES = "notices"
ALERT_PREFIX = "alr"
NOTICE_PREFIX = "ntc"
READING_ACTIONS = ("record.read", "evidence.download", "field.reveal")
"""Entries of the journal that an alert of bulk reading stands on."""


class AlertKind(str, Enum):
    """What an alert is about."""

    BULK_READING = "BULK_READING"


class AlertState(str, Enum):
    """Whether somebody has looked into it."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"


class NoticeKind(str, Enum):
    """What somebody is told."""

    REVEALED = "REVEALED"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that COMPLIANCE must look into. `auditEntries(filter: {alert: …})` are the entries that it stands on."""

    id: Annotated[str, Open("The alert's id.")]
    kind: Annotated[AlertKind, Open("What it is about.")]
    state: Annotated[AlertState, Open("Whether somebody has looked into it.")]
    at: Annotated[datetime, Open("When it was raised (UTC).")]
    actors: Annotated[list[str], Open("Ids of the accounts that were locked.")]
    source: Annotated[str, Open("The network source of the request that went too far.")]
    split: Annotated[bool, Open("Whether it is about accounts of one network source, counted together.")]
    window: Annotated[ReadingWindow, Open("The window whose limit was reached.")]
    since: Annotated[datetime, Open("When that window began (UTC).")]
    limit: Annotated[int, Open("How many records may be shown in full in that window.")]
    count: Annotated[int, Open("How many it would have been, with the answer that was withheld.")]
    withheld: Annotated[list[str], Open("Ids of records in the answer that was withheld, 500 at most.")]
    acknowledged_by: Annotated[str | None, Open("Id of the user who looked into it.")]
    acknowledged_at: Annotated[datetime | None, Open("When they did (UTC).")]
    note: Annotated[str | None, Open("What they found.")]
    version: Annotated[int, Open("Moves with every change; send it back when you change something.")]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person is told about a record of theirs."""

    id: Annotated[str, Open("The notice's id.")]
    kind: Annotated[NoticeKind, Open("What it is about.")]
    record: Annotated[str, Open("Id of the record.")]
    field: Annotated[str, Open("The field, as `maskedFields` names it.")]
    by: Annotated[str, Open("Id of the user who did it.")]
    at: Annotated[datetime, Open("When (UTC).")]
    reason: Annotated[str, Open("Why, in their words.")]


@dataclass(frozen=True, slots=True)
class RevealedPart:
    """One value of a revealed field."""

    place: Annotated[int, Open("Counts from 0 where the field is a list; else 0.")]
    part: Annotated[str | None, Open("Which part of an item it is, such as `value`; null where a field has none.")]
    text: Annotated[str, Open("The value in full, as text.")]


@dataclass(frozen=True, slots=True)
class Revealed:
    """A field that the actor sees in full for a while."""

    record: Annotated[str, Open("Id of the record.")]
    field: Annotated[str, Open("The field, as `maskedFields` names it.")]
    until: Annotated[datetime, Open("Until when ordinary queries of this actor show it in full, too (UTC).")]
    values: Annotated[list[RevealedPart], Open("Its values; empty where it has none.")]


ALERT_QUESTIONS = Questions(shape_of(Alert), also={"states": "state", "actor": "actors"})
NOTICE_QUESTIONS = Questions(shape_of(Notice))


def alert_of(document: Mapping[str, Any]) -> Alert:
    """A stored alert."""
    return Alert(id=document["_id"], **{name: document[name] for name in _NAMES if name != "id"})


def notice_of(document: Mapping[str, Any]) -> Notice:
    """A stored notice."""
    names: Sequence[str] = ("kind", "record", "field", "by", "at", "reason")
    return Notice(id=document["_id"], **{name: document[name] for name in names})


_NAMES = tuple(Alert.__dataclass_fields__)
