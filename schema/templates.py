"""Templates, and template values of records."""

from __future__ import annotations

from typing import Any

import strawberry

from schema.context import context_of
from schema.mutations import IDEMPOTENCY_KEY, UserError, payload
from schema.node import Node
from schema.records import SensitivityClass, Visibility, enum_type, record_type
from service.access.view import View
from service.templates.model import DeadlineClock, FieldType, TemplateOf
from service.templates.model import Template as TemplateModel

FieldTypeEnum = enum_type(FieldType)
TemplateOfEnum = enum_type(TemplateOf)
DeadlineClockEnum = enum_type(DeadlineClock)


@record_type(TemplateModel, interfaces=(Node,))
class Template:
    """A template version."""


@strawberry.type(description="One template value of a record.")
class Attribute:
    """Key, label, type, value and how much of it is shown."""

    key: str = strawberry.field(description="The field's key.")
    label: str = strawberry.field(description="Its name, in the language of the request.")
    type: FieldTypeEnum = strawberry.field(description="The type of its values.")
    value: str | None = strawberry.field(description="Canonical text of the value, its mask, or null.")
    visibility: Visibility = strawberry.field(description="How much the actor may see.")


@strawberry.input(description="A template value to store; null clears it.")
class AttributeInput:
    """Input."""

    key: str = strawberry.field(description="The field's key.")
    value: str | None = strawberry.field(default=None, description="Canonical text of the value.")


def attributes_of(view: View, locale: str) -> list[dict[str, Any]]:
    """A record's template values as the caller sees them."""
    return [
        {
            "key": shown.field.key,
            "label": shown.field.label.text(locale),
            "type": shown.field.type,
            "value": shown.value,
            "visibility": shown.visibility,
        }
        for shown in view.attributes()
    ]


@strawberry.input(description="A text in both languages.")
class LabelInput:
    """Input."""

    zh: str = strawberry.field(description="In Chinese (zh-CN).")
    en: str = strawberry.field(description="In English.")


@strawberry.input(description="One option.")
class ChoiceInput:
    """Input."""

    key: str = strawberry.field(description="The stored value.")
    label: LabelInput = strawberry.field(description="How people read it.")


@strawberry.input(description="One further field.")
class TemplateFieldInput:
    """Input."""

    key: str = strawberry.field(description="a-z, 0-9 and underscores; kept for ever.")
    type: FieldTypeEnum = strawberry.field(description="The type of its values.")
    label: LabelInput = strawberry.field(description="How people read its name.")
    sensitivity: SensitivityClass = strawberry.field(description="Who may see it.")
    required_at: str | None = strawberry.field(default=None, description="CREATE, or a case's node.")
    pattern: str | None = strawberry.field(default=None, description="A regular expression for the whole text.")
    unique: bool = strawberry.field(default=False, description="Whether no two records may share a value.")
    choices: list[ChoiceInput] | None = strawberry.field(default=None, description="Options of a CHOICE.")
    reference_to: str | None = strawberry.field(default=None, description="Id prefix that a REFERENCE must have.")


@strawberry.input(description="How long a node may take.")
class NodeScheduleInput:
    """Input."""

    node: str = strawberry.field(description="The node.")
    hours: int = strawberry.field(description="Hours allowed.")
    clock: DeadlineClockEnum = strawberry.field(description="Whose clock it runs on.")


@strawberry.input(description="A new version of a template.")
class PublishTemplateInput:
    """Input."""

    of: TemplateOfEnum = strawberry.field(description="What it describes.")
    key: str = strawberry.field(default="standard", description="Which template.")
    label: LabelInput = strawberry.field(description="How people read its name.")
    fields: list[TemplateFieldInput] = strawberry.field(description="Its fields in their order.")
    categories: list[ChoiceInput] | None = strawberry.field(default=None, description="Categories of cases.")
    schedule: list[NodeScheduleInput] | None = strawberry.field(default=None, description="Deadlines per node.")
    idempotency_key: str | None = IDEMPOTENCY_KEY


@strawberry.type(description="Outcome of publishing a template.")
class TemplatePayload:
    """Payload."""

    template: Template | None = strawberry.field(description="The published version.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong.")


async def customer_templates(root: Any, info: strawberry.Info) -> list[Template]:
    """Templates of customers, newest versions."""
    return await _listed(info, TemplateOf.CUSTOMER)


async def case_templates(root: Any, info: strawberry.Info) -> list[Template]:
    """Templates of cases, newest versions."""
    return await _listed(info, TemplateOf.CASE)


async def _listed(info: strawberry.Info, of: TemplateOf) -> Any:
    context = context_of(info)
    assert context.signed_in  # noqa: S101 - raises NotSignedIn
    return await context.parts.templates.listed(of)


async def publish_template(root: Any, info: strawberry.Info, input: PublishTemplateInput) -> TemplatePayload:
    """Publishes a new version (ADMIN). A published key keeps its class and type for ever."""
    templates = context_of(info).parts.templates
    return await payload(
        info,
        "template",
        input,
        templates.publish,
        lambda _, template, __: templates.by_id(template),
    )
