"""What every resolver of one request shares: the parts of the system, the caller, loaders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import strawberry
from graphql import GraphQLResolveInfo

from schema.cursors import Cursors
from schema.loaders import Loaders
from search.indexer import Indexer
from search.service import Search
from service.access.actor import Caller
from service.archive.service import Archive
from service.cases.service import Cases
from service.compliance.service import Compliance
from service.customers.service import Customers
from service.errors import LOCALES, NotSignedIn
from service.evidence.service import EvidenceRoom
from service.explanations.service import Explanations
from service.identity.outside_sign_in import OutsideSignIn
from service.identity.service import Identity
from service.identity.service_accounts import ServiceAccounts
from service.journal.service import Journal
from service.policies.service import Policies
from service.templates.service import Templates


class Parts(Protocol):
    """The system as resolvers use it; `service.system` builds it."""

    identity: Identity
    policies: Policies
    service_accounts: ServiceAccounts
    outside_sign_in: OutsideSignIn | None
    templates: Templates
    customers: Customers
    cases: Cases
    evidence: EvidenceRoom
    archive: Archive
    explanations: Explanations
    compliance: Compliance
    search: Search
    indexer: Indexer
    journal: Journal
    cursors: Cursors

    def idempotency_mark(self, actor: str, mutation: str, key: str, values: Any) -> Any: ...


@dataclass(slots=True)
class Context:
    """One request. `language` is what it asked for, if anything."""

    parts: Parts
    caller: Caller | None
    request_id: str
    source: str
    language: str | None
    state: dict[str, Any] = field(default_factory=dict)
    _loaders: Loaders | None = None

    @property
    def locale(self) -> str:
        """The language of texts: what was asked for, else the user's own."""
        return self.language or (self.caller.locale if self.caller else LOCALES[0])

    @property
    def signed_in(self) -> Caller:
        """The caller. Raises NotSignedIn."""
        if self.caller is None:
            raise NotSignedIn
        return self.caller

    @property
    def loaders(self) -> Loaders:
        """Batching readers for this request."""
        if self._loaders is None:
            self._loaders = Loaders(self.parts, lambda: self.signed_in)
        return self._loaders


def context_of(info: GraphQLResolveInfo[Any] | strawberry.Info) -> Context:
    """The request's context."""
    context: Context = info.context
    return context
