"""What may be revealed, and what a reason must be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from service.access.declared import FieldShape, Level, RecordShape, Sensitivity, shape_of
from service.access.identifiers import check_open
from service.access.view import View
from service.compliance.model import READING_ACTIONS, Alert, RevealedPart
from service.errors import Code, Invalid, Problems
from service.identity.rules import camel_case
from service.normal import tidy

REVEAL = "field.reveal"
ALERT_READ = "alert.read"
ALERT_ACKNOWLEDGE = "alert.acknowledge"
UNLOCK = "user.unlock"
REVEALED_FOR = timedelta(minutes=5)
REASON_LEAST, REASON_MOST = 5, 500
WITHHELD_MOST = 500
ATTRIBUTES = "attributes."
_TOO_SHORT = {"en": f"at least {REASON_LEAST} characters", "zh-CN": f"至少 {REASON_LEAST} 个字符"}
_NOT_TO_BE_REVEALED = {
    "en": "is no field of this record that is masked for you; `maskedFields` lists them",
    "zh-CN": "不是该记录中对您掩码的字段;可用字段见 maskedFields",
}


def reason_of(text: str, field: str, problems: Problems, least: int = REASON_LEAST) -> str:
    """A reason as it is stored, openly: it may hold no identifier."""
    found = tidy(text)
    if not found:
        problems.add(Code.REQUIRED, field)
    elif len(found) < least:
        problems.add(Code.VALIDATION, field, reason=_TOO_SHORT)
    elif len(found) > REASON_MOST:
        problems.add(Code.TOO_LONG, field, limit=REASON_MOST)
    check_open(found, field, problems)
    return found


def joined_with(alert: Alert, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Conditions of the journal: what the alert's accounts read in its window, as far as it is `asked` for (`actor`,
    `actions`, `record`, `since`, `until`); None can match nothing.
    """
    actors = [actor for actor in alert.actors if asked.get("actor") in (None, actor)]
    actions = [action for action in READING_ACTIONS if action in asked.get("actions", READING_ACTIONS)]
    if not actors or not actions:
        return None
    beyond = alert.at + timedelta(milliseconds=1)
    return {
        "actor": actors,
        "actions": actions,
        "record": asked.get("record"),
        "since": max(alert.since, asked.get("since", alert.since)),
        "until": min(beyond, asked.get("until", beyond)),
    }


def paths_of(shape: RecordShape) -> dict[str, tuple[str, Sensitivity]]:
    """Stored path and class of each field that can be masked, by the name that clients know; attributes left out."""
    found: dict[str, tuple[str, Sensitivity]] = {}
    for field in shape.fields:
        if field.name in shape.composites:
            for inner in shape.composites[field.name].fields:
                path = f"{field.name}.{inner.name}"
                name = f"{camel_case(field.name)}.{camel_case(inner.name)}"
                if inner.sensitivity is not Sensitivity.OPEN:
                    found[name] = (path, inner.sensitivity)
        elif field.sensitivity is not Sensitivity.OPEN:
            found[camel_case(field.name)] = (field.name, field.sensitivity)
    return found


def not_to_be_revealed() -> Invalid:
    """The one refusal: for what there is not, what is hidden, and what is seen in full already."""
    return Invalid.because(Code.VALIDATION, "field", reason=_NOT_TO_BE_REVEALED)


def require_masked(view: View, sensitivity: Sensitivity) -> None:
    """Raises Invalid unless something of the class may be known to this caller, and not all of it."""
    if view.row[sensitivity] not in (Level.PARTIAL, Level.BLIND):
        raise not_to_be_revealed()


def parts_of(view: View, path: str, sensitivity: Sensitivity) -> list[RevealedPart]:
    """All values of one field, whatever the caller's masks. Raises CiphertextError."""
    section, (name, _, inner) = view.section(sensitivity), path.partition(".")
    value = section.get(name)
    if value is None:
        return []
    if path.startswith(ATTRIBUTES):
        return [] if value.get(inner) is None else [RevealedPart(0, None, _text(value[inner]))]
    if inner:
        return [
            RevealedPart(place, None, _text(item[inner]))
            for place, item in enumerate(value)
            if item.get(inner) is not None
        ]
    return list(_values(view.shape.by_name[name], value))


def _values(field: FieldShape, value: Any) -> Iterator[RevealedPart]:
    if field.item is None:
        yield RevealedPart(0, None, _text(value))
        return
    items: list[Mapping[str, Any]] = value if field.is_list else [value]
    for place, item in enumerate(items):
        for part in shape_of(field.item).fields:
            if item.get(part.name) is not None:
                yield RevealedPart(place, camel_case(part.name), _text(item[part.name]))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
