"""What a template may say, and whether values fit it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from service.access.declared import Sensitivity
from service.access.masks import is_mask
from service.clock import is_id
from service.errors import Code, Problems
from service.templates.model import FieldType, Template, TemplateField, TemplateOf

TEXT_MOST = 2_000
FIELDS_MOST = 200
NODES = ("RAISE", "ASSIGN", "HANDLE", "FEEDBACK", "CLOSE", "REVIEW", "ARCHIVE")
REFERENCES = ("cus", "cas", "usr", "evd")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_template(data: Mapping[str, Any], published: Sequence[Template], problems: Problems) -> None:
    """Checks a new version against the rules and against every version published before."""
    if not _KEY.fullmatch(str(data.get("key", ""))):
        problems.add(Code.INVALID_FORMAT, "key", reason="a-z, 0-9, _")
    fields = data.get("fields") or []
    if len(fields) > FIELDS_MOST:
        problems.add(Code.TOO_MANY, "fields", limit=FIELDS_MOST)
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
        known = before.get(key)
        if known is not None and (
            known.sensitivity.value != (field.get("sensitivity") or "OPEN") or known.type.value != field["type"]
        ):
            problems.add(Code.VALIDATION, f"{path}.sensitivity", reason={
                "en": "a published key keeps its class and type", "zh-CN": "已发布的键不能更改类别和类型"})  # fmt: skip
        if known is not None and key not in current:
            problems.add(Code.VALIDATION, f"{path}.key", reason={
                "en": "this key was published and withdrawn; choose another", "zh-CN": "该键曾被停用,请另选"})  # fmt: skip
        if field["type"] == FieldType.CHOICE.value and not field.get("choices"):
            problems.add(Code.REQUIRED, f"{path}.choices")
        if field["type"] == FieldType.REFERENCE.value and field.get("reference_to") not in REFERENCES:
            problems.add(Code.REQUIRED, f"{path}.referenceTo")
        if field.get("required_at") and field["required_at"] not in nodes:
            problems.add(Code.VALIDATION, f"{path}.requiredAt", reason=", ".join(nodes))
        if field.get("pattern"):
            _check_pattern(field["pattern"], f"{path}.pattern", problems)
    if data.get("of") == TemplateOf.CASE.value:
        if not data.get("categories"):
            problems.add(Code.REQUIRED, "categories")
        for position, item in enumerate(data.get("schedule") or ()):
            if item["node"] not in NODES or not 0 <= item["hours"] <= 24 * 366:
                problems.add(Code.VALIDATION, f"schedule.{position}", reason=", ".join(NODES))


def _check_pattern(pattern: str, path: str, problems: Problems) -> None:
    # Nested repetition makes Python's matcher exponential (OWASP, ReDoS); such a pattern is not accepted.
    if len(pattern) > 200 or re.search(r"[*+}]\s*\)\s*[*+{]", pattern):
        problems.add(Code.INVALID_FORMAT, path, reason="too complex")
        return
    try:
        re.compile(pattern)
    except re.error:
        problems.add(Code.INVALID_FORMAT, path, reason="not a regular expression")


def canonical(field: TemplateField, value: Any, path: str, problems: Problems) -> str | None:
    """The value in its type's canonical text; None (and a problem) when it does not fit."""
    if not isinstance(value, str):
        problems.add(Code.WRONG_TYPE, path, expected=field.type.value)
        return None
    text = value.strip()
    if len(text) > TEXT_MOST:
        problems.add(Code.TOO_LONG, path, limit=TEXT_MOST)
        return None
    if field.sensitivity is not Sensitivity.OPEN and is_mask(field.mask_kind, text):
        problems.add(Code.MASKED_VALUE, path)
        return None
    found = _TYPED[field.type](field, text)
    if found is None:
        problems.add(Code.WRONG_TYPE, path, expected=field.type.value)
    elif field.pattern and not re.fullmatch(field.pattern, found):
        problems.add(Code.INVALID_FORMAT, path, reason=field.pattern)
        return None
    return found


def _text(_: TemplateField, text: str) -> str | None:
    return text or None


def _number(_: TemplateField, text: str) -> str | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return format(number.normalize(), "f") if number.is_finite() and len(text) <= 40 else None


def amount(text: str) -> str | None:
    """A sum of money as a decimal string with two places; None when it is not one."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) >= Decimal("1e15") or number != number.quantize(Decimal("0.01")):
        return None
    return str(number.quantize(Decimal("0.01")))


def _date(_: TemplateField, text: str) -> str | None:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


_TYPED: Mapping[FieldType, Callable[[TemplateField, str], str | None]] = {
    FieldType.TEXT: _text,
    FieldType.NUMBER: _number,
    FieldType.AMOUNT: lambda _, text: amount(text),
    FieldType.DATE: _date,
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
