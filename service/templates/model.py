"""A template version. Published versions never change; a record names the version it was checked against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from service.access.declared import Kind, Open, Sensitivity

TEMPLATES = "templates"
PREFIX = "tpl"


class TemplateOf(str, Enum):
    """What a template describes."""

    CUSTOMER = "CUSTOMER"
    CASE = "CASE"


class FieldType(str, Enum):
    """Types of template fields; values travel as text in the canonical form of their type."""

    TEXT = "TEXT"
    NUMBER = "NUMBER"
    AMOUNT = "AMOUNT"
    DATE = "DATE"
    CHOICE = "CHOICE"
    BOOLEAN = "BOOLEAN"
    REFERENCE = "REFERENCE"


class DeadlineClock(str, Enum):
    """Whose clock a deadline runs on."""

    AROUND_THE_CLOCK = "AROUND_THE_CLOCK"
    BUSINESS_HOURS = "BUSINESS_HOURS"


@dataclass(frozen=True, slots=True)
class Label:
    """A text for people in both languages."""

    zh: Annotated[str, Open("In Chinese (zh-CN).")]
    en: Annotated[str, Open("In English.")]

    def text(self, locale: str) -> str:
        """The text for a locale."""
        return self.en if locale == "en" else self.zh


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a CHOICE field, or one category of cases."""

    key: Annotated[str, Open("The stored value.")]
    label: Annotated[Label, Open("How people read it.")]


@dataclass(frozen=True, slots=True)
class TemplateField:
    """One further field. A published key keeps its class and type for ever and is never reused."""

    key: Annotated[str, Open("The field's key, in lower case with underscores.")]
    type: Annotated[FieldType, Open("The type of its values.")]
    label: Annotated[Label, Open("How people read the field's name.")]
    sensitivity: Annotated[Sensitivity, Open("The class that decides who may see it.")]
    required_at: Annotated[str | None, Open("The node at which it must be filled: CREATE, or a case's node.")]
    pattern: Annotated[str | None, Open("A regular expression which the whole text must match.")]
    unique: Annotated[bool, Open("Whether no two records may have the same value.")]
    choices: Annotated[list[Choice], Open("The options of a CHOICE.")]
    reference_to: Annotated[str | None, Open("The id prefix that a REFERENCE must have.")]

    @property
    def mask_kind(self) -> Kind:
        """Which mask hides it in part."""
        return _MASK_KINDS.get(self.type, Kind.PLAIN)


# Of a number or a choice the first character would say too much.
_MASK_KINDS = {
    FieldType.AMOUNT: Kind.AMOUNT,
    FieldType.NUMBER: Kind.AMOUNT,
    FieldType.DATE: Kind.DATE_OF_BIRTH,
    FieldType.CHOICE: Kind.CHOICE,
    FieldType.BOOLEAN: Kind.CHOICE,
}


@dataclass(frozen=True, slots=True)
class NodeSchedule:
    """How long a node may take. `hours` counts from the raising (archive: from the closing)."""

    node: Annotated[str, Open("The node.")]
    hours: Annotated[int, Open("Hours allowed.")]
    clock: Annotated[DeadlineClock, Open("Whose clock it runs on.")]


@dataclass(frozen=True, slots=True)
class Template:
    """One version of one template."""

    id: Annotated[str, Open("The version's id.")]
    of: Annotated[TemplateOf, Open("What it describes.")]
    key: Annotated[str, Open("Which template this is a version of.")]
    version: Annotated[int, Open("Counts from 1.")]
    label: Annotated[Label, Open("How people read its name.")]
    fields: Annotated[list[TemplateField], Open("Its fields in their order.")]
    categories: Annotated[list[Choice], Open("The categories of cases; empty for customers.")]
    schedule: Annotated[list[NodeSchedule], Open("Deadlines per node; empty for customers.")]
    created_at: Annotated[datetime, Open("When it was published.")]

    def field(self, key: str) -> TemplateField | None:
        """The field with this key."""
        return next((field for field in self.fields if field.key == key), None)


def _label(data: dict[str, Any]) -> Label:
    return Label(data["zh"], data["en"])


def _choices(data: list[dict[str, Any]] | None) -> list[Choice]:
    return [Choice(item["key"], _label(item["label"])) for item in data or ()]


def template_of(document: dict[str, Any]) -> Template:
    """From its stored form."""
    return Template(
        id=document["_id"],
        of=TemplateOf(document["of"]),
        key=document["key"],
        version=document["version"],
        label=_label(document["label"]),
        fields=[
            TemplateField(
                key=item["key"],
                type=FieldType(item["type"]),
                label=_label(item["label"]),
                sensitivity=Sensitivity(item.get("sensitivity") or "OPEN"),
                required_at=item.get("required_at"),
                pattern=item.get("pattern"),
                unique=bool(item.get("unique")),
                choices=_choices(item.get("choices")),
                reference_to=item.get("reference_to"),
            )
            for item in document["fields"]
        ],
        categories=_choices(document.get("categories")),
        schedule=[
            NodeSchedule(item["node"], item["hours"], DeadlineClock(item["clock"]))
            for item in document.get("schedule") or ()
        ],
        created_at=document["created_at"],
    )
