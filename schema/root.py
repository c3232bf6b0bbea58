"""The schema: every query, mutation and subscription in one place."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig
from strawberry.types import has_object_definition

from schema import audit, case_steps, compliance, explanations, people, policies, subscriptions, templates
from schema import cases as case_types
from schema import customers as customer_types
from schema import evidence as evidence_types
from schema import search as search_types
from schema import service_accounts as service_types
from schema import sessions as session_types
from schema.binding import bind
from schema.context import context_of
from schema.node import Node, RecordId
from schema.records import SensitivityDirective


def _field(resolver: Any) -> Any:
    """A root field described by its resolver's docstring, its `input` by the input's type."""
    field = strawberry.field(resolver=resolver, description=" ".join((resolver.__doc__ or "").split()))
    for argument in field.base_resolver.arguments if field.base_resolver else ():
        if argument.python_name == "input":
            hint = get_type_hints(resolver)["input"]
            kind = next(option for option in (*get_args(hint), hint) if has_object_definition(option))
            argument.description = kind.__strawberry_definition__.description
    return field


async def node(root: Any, info: strawberry.Info, id: RecordId) -> Node | None:
    """Whatever has this id, if this actor may see it; null otherwise, the same as absent."""
    context = context_of(info)
    caller, parts = context.signed_in, context.parts
    prefix = str(id).partition("_")[0]
    if prefix == "evt":
        return await _event(context, str(id))
    read = {
        "cus": parts.customers.get,
        "cas": parts.cases.get,
        "evd": parts.evidence.get,
        "usr": lambda _, user: parts.identity.user(user),
        "dep": lambda _, department: context.loaders.one("departments", department),
        "tpl": lambda _, template: _template(context, template),
        "jrn": lambda _, entry: _entry(context, entry),
    }.get(prefix)
    return await read(caller, str(id)) if read else None


async def _template(context: Any, template: str) -> Any:
    try:
        return await context.parts.templates.by_id(template)
    except KeyError:
        return None


async def _entry(context: Any, entry: str) -> Any:
    return await context.parts.journal.entry(entry) if context.signed_in.may("audit.read") else None


async def _event(context: Any, event: str) -> Any:
    parts = context.parts
    document = await parts.cases.repository.event(event)
    case = await parts.cases.get(context.signed_in, document["case"]) if document else None
    return await parts.cases.history.one(context.signed_in, document, case) if case else None


@strawberry.type(description="What can be asked.")
class Query:
    """Queries."""

    viewer: people.User | None = _field(people.viewer)
    node: Node | None = _field(node)
    customer: customer_types.Customer | None = _field(customer_types.customer)
    customers: customer_types.CustomerConnection = _field(customer_types.customers)
    case: case_types.Case | None = _field(case_types.case)
    cases: case_types.CaseConnection = _field(case_types.cases)
    search_cases: search_types.CaseSearchConnection = _field(search_types.search_cases)
    evidence: evidence_types.Evidence | None = _field(evidence_types.evidence)
    case_templates: list[templates.Template] = _field(templates.case_templates)
    customer_templates: list[templates.Template] = _field(templates.customer_templates)
    users: people.UserConnection = _field(people.users)
    departments: list[people.Department] = _field(people.departments)
    sessions: session_types.OpenSessionConnection = _field(session_types.sessions)
    service_accounts: service_types.ServiceAccountConnection = _field(service_types.service_accounts)
    audit_entries: audit.AuditEntryConnection = _field(audit.audit_entries)
    policy: policies.PolicyVersion = _field(policies.policy)
    explain_access: explanations.AccessExplanation | None = _field(explanations.explain_access)
    alerts: compliance.AlertConnection = _field(compliance.alerts)
    notices: compliance.NoticeConnection = _field(compliance.notices)


@strawberry.type(description="What can be changed.")
class Mutation:
    """Mutations."""

    sign_in: people.SessionPayload = _field(people.sign_in)
    redeem_sign_in: people.SessionPayload = _field(people.redeem_sign_in)
    refresh_session: people.SessionPayload = _field(people.refresh_session)
    sign_out: people.DonePayload = _field(people.sign_out)
    change_password: people.DonePayload = _field(people.change_password)
    end_session: people.DonePayload = _field(session_types.end_session)
    create_user: people.UserPayload = _field(people.create_user)
    update_user: people.UserPayload = _field(people.update_user)
    disable_user: people.UserPayload = _field(people.disable_user)
    create_service_account: service_types.ServiceAccountPayload = _field(service_types.create_service_account)
    create_service_key: service_types.ServiceAccountPayload = _field(service_types.create_service_key)
    revoke_service_key: service_types.ServiceAccountPayload = _field(service_types.revoke_service_key)
    create_customer: customer_types.CustomerPayload = _field(customer_types.create_customer)
    update_customer: customer_types.CustomerPayload = _field(customer_types.update_customer)
    assign_customer: customer_types.CustomerPayload = _field(customer_types.assign_customer)
    raise_case: case_steps.CasePayload = _field(case_steps.raise_case)
    update_case: case_steps.CasePayload = _field(case_steps.update_case)
    assign_case: case_steps.CasePayload = _field(case_steps.assign_case)
    record_case_step: case_steps.CasePayload = _field(case_steps.record_case_step)
    close_case: case_steps.CasePayload = _field(case_steps.close_case)
    review_case: case_steps.CasePayload = _field(case_steps.review_case)
    archive_case: case_steps.CasePayload = _field(case_steps.archive_case)
    create_evidence: evidence_types.EvidencePayload = _field(evidence_types.create_evidence)
    withdraw_evidence: evidence_types.EvidencePayload = _field(evidence_types.withdraw_evidence)
    publish_template: templates.TemplatePayload = _field(templates.publish_template)
    update_policy: policies.PolicyProposalPayload = _field(policies.update_policy)
    confirm_policy: policies.PolicyProposalPayload = _field(policies.confirm_policy)
    reject_policy: policies.PolicyProposalPayload = _field(policies.reject_policy)
    reveal_field: compliance.RevealPayload = _field(compliance.reveal_field)
    acknowledge_alert: compliance.AlertPayload = _field(compliance.acknowledge_alert)
    unlock_user: people.UserPayload = _field(compliance.unlock_user)


@strawberry.type(description="What can be followed, over WebSocket (graphql-transport-ws).")
class Subscription:
    """Subscriptions."""

    case_changed: case_types.Case | None = _field(subscriptions.case_changed)
    evidence_text_ready: evidence_types.Evidence | None = _field(subscriptions.evidence_text_ready)


declared = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[customer_types.Customer, case_types.Case, case_types.CaseEvent, evidence_types.Evidence, people.User, people.Department,
           templates.Template, audit.AuditEntry],
    schema_directives=[SensitivityDirective],
    config=StrawberryConfig(auto_camel_case=True),
)  # fmt: skip
SDL: str = declared.as_str() + "\n"
core: GraphQLSchema = bind(declared)
