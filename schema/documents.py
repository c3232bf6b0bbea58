"""Documents as they come from outside: parsed within limits, bounded, validated; or known by their id.

A registered document is a file of `ANJUAN_DOCUMENTS`, asked for by the SHA-256 of its text (`documentId`, as
`sha256:…`; GraphQL over HTTP, appendix "Persisted documents"). With ANJUAN_DOCUMENTS_ONLY nothing else is answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    parse,
    specified_rules,
    validate,
)

from schema.limits import SOURCE_MOST, TOKENS_MOST, check_structure
from service.errors import Code, Refused

ERRORS_MOST = 20
PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Checks:
    """How documents are checked. `introspection`: may the schema be asked for, and may typos be answered with names."""

    schema: GraphQLSchema
    introspection: bool = True

    def __call__(self, text: str) -> DocumentNode | list[GraphQLError]:
        """The document, or what is wrong with it. Raises Refused TOO_LARGE, TOO_COSTLY."""
        if len(text) > SOURCE_MOST or len(text.encode()) > SOURCE_MOST:
            raise Refused(Code.TOO_LARGE, limit=SOURCE_MOST)
        try:
            document = parse(text, max_tokens=TOKENS_MOST)
        except GraphQLError as error:
            return [error]
        check_structure(document)
        rules = specified_rules if self.introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        found = validate(self.schema, document, rules, max_errors=ERRORS_MOST, hide_suggestions=not self.introspection)
        return found or document


class Registered:
    """The documents of a directory, by id. `only`: nothing else is answered."""

    def __init__(self, directory: Path | None, *, only: bool = False) -> None:
        self._only = only
        self._texts: Mapping[str, str] = {} if directory is None else _read(directory)

    def text(self, given: str | None, document_id: str | None) -> str:
        """The text that is asked for. Raises Refused UNKNOWN_DOCUMENT, INVALID_QUERY."""
        if document_id is not None:
            found = self._texts.get(document_id.removeprefix(PREFIX).lower())
            if found is None:
                raise Refused(Code.UNKNOWN_DOCUMENT, "documentId")
            return found
        if given is None:
            raise Refused(Code.INVALID_QUERY, "query", reason="`query` is missing")
        if self._only and hashlib.sha256(given.encode()).hexdigest() not in self._texts:
            raise Refused(Code.UNKNOWN_DOCUMENT, "query")
        return given


def document_id(text: str) -> str:
    """The id under which a document is registered."""
    return hashlib.sha256(text.encode()).hexdigest()


def _read(directory: Path) -> dict[str, str]:
    if not directory.is_dir():
        raise LookupError(f"ANJUAN_DOCUMENTS: {directory} is no directory")
    texts = [path.read_text("utf-8") for path in sorted(directory.glob("**/*.graphql"))]
    return {document_id(text): text for text in texts}
