"""What a template may say, and whether values fit it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from service.access.declared import Sensitivity
from service.access.identifiers import check_open
from service.access.masks import is_mask
from service.clock import is_id
from service.errors import Code, Problems
from service.normal import clean, half_width, tidy
from service.templates.model import FieldType, Template, TemplateField, TemplateOf
from service.templates.patterns import PatternRefused, check_pattern, matches

TEXT_MOST = 2_000
FIELDS_MOST, LABEL_MOST = 200, 100
NODES = ("RAISE", "ASSIGN", "HANDLE", "FEEDBACK", "CLOSE", "REVIEW", "ARCHIVE")
REFERENCES = ("cus", "cas", "usr", "evd")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
# What people write freely, so that an identifier could stand in it.
_SPOKEN = frozenset({FieldType.TEXT, FieldType.NUMBER})
# ASCII digits, and few enough: neither `1e999999` nor `1_000` is a number here.
_NUMBER = re.compile(r"(-?)([0-9]{1,30})(?:\.([0-9]{1,30}))?")
_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,2}))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def check_template(data: Mapping[str, Any], published: Sequence[Template], problems: Problems) -> None:
    """Checks a new version against the rules and against every version published before."""
    if not _KEY.fullmatch(str(data.get("key", ""))):
        problems.add(Code.INVALID_FORMAT, "key", reason="a-z, 0-9, _")
    fields = data.get("fields") or []
    if len(fields) > FIELDS_MOST:
        problems.add(Code.TOO_MANY, "fields", limit=FIELDS_MOST)
    _check_label(data.get("label"), "label", problems)
    _check_choices(data.get("categories"), "categories", problems)
    before = {field.key: field for template in published for field in template.fields}
    current = {field.key for field in max(published, key=lambda t: t.version).fields} if published else set()
    seen: set[str] = set()
    nodes = ("CREATE",) if data.get("of") == TemplateOf.CUSTOMER.value else NODES
    for position, field in enumerate(fields):
        path = f"fields.{position}"
        key = field["key"]
        if not _KEY.fullmatch(key):
            problems.add(Code.INVALID_FORMAT, f"{path}.key", reason="a-z, 0-9, _")
        if key in seen:
            problems.add(Code.DUPLICATE, f"{path}.key")
        seen.add(key)
        _check_member(Sensitivity, field.get("sensitivity") or "OPEN", f"{path}.sensitivity", problems)
        _check_member(FieldType, field["type"], f"{path}.type", problems)
        known = before.get(key)
        if known is not None and (
            known.sensitivity.value != (field.get("sensitivity") or "OPEN") or known.type.value != field["type"]
        ):
            problems.add(Code.VALIDATION, f"{path}.sensitivity", reason={
                "en": "a published key keeps its class and type", "zh-CN": "已发布的键不能更改类别和类型"})  # fmt: skip
        if known is not None and key not in current:
            problems.add(Code.VALIDATION, f"{path}.key", reason={
                "en": "this key was published and withdrawn; choose another", "zh-CN": "该键曾被停用,请另选"})  # fmt: skip
        _check_label(field.get("label"), f"{path}.label", problems)
        _check_choices(field.get("choices"), f"{path}.choices", problems)
        if field["type"] == FieldType.CHOICE.value and not field.get("choices"):
            problems.add(Code.REQUIRED, f"{path}.choices")
        if field["type"] == FieldType.REFERENCE.value and field.get("reference_to") not in REFERENCES:
            problems.add(Code.REQUIRED, f"{path}.referenceTo")
        if field.get("required_at") and field["required_at"] not in nodes:
            problems.add(Code.VALIDATION, f"{path}.requiredAt", reason=", ".join(nodes))
        if field.get("pattern"):
            try:
                check_pattern(field["pattern"])
            except PatternRefused as refused:
                problems.add(Code.INVALID_FORMAT, f"{path}.pattern", reason=refused.reason)
    if data.get("of") == TemplateOf.CASE.value:
        if not data.get("categories"):
            problems.add(Code.REQUIRED, "categories")
        for position, item in enumerate(data.get("schedule") or ()):
            if item["node"] not in NODES or not 0 <= item["hours"] <= 24 * 366:
                problems.add(Code.VALIDATION, f"schedule.{position}", reason=", ".join(NODES))


def _check_member(kind: type[Sensitivity | FieldType], value: Any, path: str, problems: Problems) -> None:
    """One of a kind's values: a version with another could never be read again, nor any record under it."""
    known = [member.value for member in kind]
    if value not in known:
        problems.add(Code.VALIDATION, path, reason={
            "en": f"is none of {', '.join(known)}", "zh-CN": f"应为以下之一:{', '.join(known)}"})  # fmt: skip


def _check_label(label: Mapping[str, Any] | None, path: str, problems: Problems) -> None:
    """Something to read, in both languages."""
    for language in ("zh", "en"):
        text = tidy((label or {}).get(language) or "")
        if not text or len(text) > LABEL_MOST:
            problems.add(Code.VALIDATION, f"{path}.{language}", reason={
                "en": f"has 1 to {LABEL_MOST} characters", "zh-CN": f"应有 1 至 {LABEL_MOST} 个字符"})  # fmt: skip


def _check_choices(choices: Sequence[Mapping[str, Any]] | None, path: str, problems: Problems) -> None:
    """Options or categories: keys that are stored, each once, and labels."""
    seen: set[str] = set()
    for position, choice in enumerate(choices or ()):
        key = choice["key"]
        if not key or key != tidy(key) or len(key) > LABEL_MOST:
            problems.add(Code.VALIDATION, f"{path}.{position}.key", reason={
                "en": f"has 1 to {LABEL_MOST} characters", "zh-CN": f"应有 1 至 {LABEL_MOST} 个字符"})  # fmt: skip
        elif key in seen:
            problems.add(Code.VALIDATION, f"{path}.{position}.key", reason={
                "en": "stands there already", "zh-CN": "已存在"})  # fmt: skip
        seen.add(key)
        _check_label(choice.get("label"), f"{path}.{position}.label", problems)


def canonical(field: TemplateField, value: Any, path: str, problems: Problems) -> str | None:
    """The value in its type's canonical text; None (and a problem) when it does not fit."""
    if not isinstance(value, str):
        problems.add(Code.WRONG_TYPE, path, expected=field.type.value)
        return None
    text = clean(value)
    if not text:
        problems.add(Code.REQUIRED, path)
        return None
    if len(text) > TEXT_MOST:
        problems.add(Code.TOO_LONG, path, limit=TEXT_MOST)
        return None
    if field.sensitivity is not Sensitivity.OPEN and is_mask(field.mask_kind, text):
        problems.add(Code.MASKED_VALUE, path)
        return None
    found = _TYPED[field.type](field, text)
    if found is None:
        problems.add(Code.WRONG_TYPE, path, expected=field.type.value)
    elif field.pattern and not matches(field.pattern, found):
        problems.add(Code.INVALID_FORMAT, path, reason=field.pattern)
        return None
    elif field.sensitivity is Sensitivity.OPEN and field.type in _SPOKEN:
        check_open(found, path, problems)
    return found


def number(text: str) -> str | None:
    """A number in its shortest decimal text; None when it is not one."""
    found = _NUMBER.fullmatch(half_width(text))
    if found is None:
        return None
    sign, whole, fraction = found[1], found[2].lstrip("0") or "0", (found[3] or "").rstrip("0")
    shortest = f"{whole}.{fraction}" if fraction else whole
    return shortest if shortest == "0" else sign + shortest


def amount(text: str) -> str | None:
    """A sum of money, not negative, as a decimal string with two places; None when it is not one."""
    found = _AMOUNT.fullmatch(half_width(text))
    return f"{found[1].lstrip('0') or '0'}.{(found[2] or '').ljust(2, '0')}" if found else None


def day(text: str) -> str | None:
    """An RFC 3339 full-date; None when it is not one."""
    try:
        return date.fromisoformat(text).isoformat() if _DATE.fullmatch(text) else None
    except ValueError:
        return None


_TYPED: Mapping[FieldType, Callable[[TemplateField, str], str | None]] = {
    FieldType.TEXT: lambda _, text: text,
    FieldType.NUMBER: lambda _, text: number(text),
    FieldType.AMOUNT: lambda _, text: amount(text),
    FieldType.DATE: lambda _, text: day(text),
    FieldType.CHOICE: lambda field, text: text if any(c.key == text for c in field.choices) else None,
    FieldType.BOOLEAN: lambda _, text: text if text in ("true", "false") else None,
    FieldType.REFERENCE: lambda field, text: text if is_id(text, field.reference_to or "") else None,
}

Attributes = dict[Sensitivity, dict[str, str]]


def check_attributes(
    template: Template, items: Iterable[Mapping[str, Any]], former: Attributes, problems: Problems
) -> Attributes:
    """Former values with the given ones laid over: an absent key stays, null clears."""
    merged: Attributes = {sensitivity: dict(values) for sensitivity, values in former.items()}
    for item in items:
        key = item["key"]
        path = f"attributes.{key[:64]}"
        field = template.field(key)
        if field is None:
            problems.add(Code.UNKNOWN_FIELD, path)
            continue
        if item.get("value") is None:
            merged.get(field.sensitivity, {}).pop(key, None)
            continue
        value = canonical(field, item["value"], path, problems)
        if value is not None:
            merged.setdefault(field.sensitivity, {})[key] = value
    return merged


def missing_at(template: Template, attributes: Attributes, node: str) -> list[str]:
    """Keys that must be filled at this node and are not."""
    return [
        field.key
        for field in template.fields
        if field.required_at == node and not attributes.get(field.sensitivity, {}).get(field.key)
    ]
