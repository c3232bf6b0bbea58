"""Identifiers inside free text as the index holds them: keyed tokens, never in clear (B10).

A text that is indexed, and a question that people type, pass through the same `hide`: each identifier becomes a token
of its normal form under a key that the index does not have. So a whole number is found however either is spelled, a
part of it never is, and an index that is stolen tells nothing of it. Each kind of identifier has a key of its own,
unrelated to those of the customers' blind indexes.
"""

from __future__ import annotations

from search.tokens import Token, spans
from service.access.identifiers import Identifier, find, replaced
from service.crypto import BlindIndex

_PREFIX = "id"
"""With the hexadecimal digits behind it one token: letters and digits without a space."""


class KeyedTokens:
    """See the module's docstring. `blind` gives tokens by field; here they are of `text/<kind>`."""

    def __init__(self, blind: BlindIndex) -> None:
        self._blind = blind

    def hide(self, text: str) -> str:
        """The text with its identifiers as tokens, each a word of its own."""
        return replaced(text, lambda found: f" {' '.join(self._tokens(found))} ")

    def spans(self, text: str) -> list[Token]:
        """The tokens of `hide(text)`, each with the place of what it stands for in `text`."""
        tokens: list[Token] = []
        end = 0
        for found in find(text):
            tokens += _moved(spans(text[end : found.start]), end)
            tokens += [Token(token, found.start, found.end) for token in self._tokens(found)]
            end = found.end
        return tokens + _moved(spans(text[end:]), end) if end else spans(text)

    def _tokens(self, found: Identifier) -> list[str]:
        """One for each reading; whoever looks for either finds the text."""
        return [f"{_PREFIX}{self._blind.token(f'text/{kind.value}', value).hex()}" for kind, value in found.readings]


def numbers_in(text: str) -> int:
    """How many identifiers stand in what somebody typed: so many values they look for."""
    return len(find(text))


def _moved(tokens: list[Token], by: int) -> list[Token]:
    return [Token(token.text, token.start + by, token.end + by) for token in tokens] if by else tokens
