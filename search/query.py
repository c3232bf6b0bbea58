"""What people type into the search box, read into phrases.

Words stand between spaces (also full-width ones) or Chinese separators and are all required; a phrase
stands between quotes (straight, curly or full-width double quotes, 「…」, 『…』). A word of several parts (`A4纸`, `INV-7`,
three or more Chinese letters) is a phrase too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.tokens import Phrase, query_phrase

LONGEST_QUERY = 200
"""Characters."""
MOST_WORDS = 20

TOO_LONG = "TOO_LONG"
TOO_MANY_WORDS = "TOO_MANY_WORDS"
UNCLOSED_QUOTE = "UNCLOSED_QUOTE"
NO_WORDS = "NO_WORDS"

_DOUBLE = '"\u201c\u201d\u201e\uff02'
_CLOSING = dict.fromkeys(_DOUBLE, _DOUBLE) | {"「": "」", "『": "』"}
_SEPARATORS = frozenset("\u3001\u3002\uff0c\uff1b")  # 、。 and the full-width comma and semicolon


class QueryError(ValueError):
    """The query can't be read. `reason` is one of the codes above, `position` the 0-based character.

    The message holds nothing of what was typed.
    """

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} at {position}")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Keywords:
    """Every phrase must be found, each in any one field. Without phrases every document matches."""

    phrases: tuple[Phrase, ...] = ()


def parse(typed: str, hide: Callable[[str], str] = str) -> Keywords:
    """Read what somebody typed; an empty or blank text matches everything. `hide` makes tokens of identifiers, as in
    the index: a number in several groups is one word.

    Raises QueryError: TOO_LONG, TOO_MANY_WORDS, UNCLOSED_QUOTE, or NO_WORDS for a text of signs only
    (which must not match everything).
    """
    if len(typed) > LONGEST_QUERY:
        raise QueryError(TOO_LONG, LONGEST_QUERY)
    words = _words(typed)
    if len(words) > MOST_WORDS:
        raise QueryError(TOO_MANY_WORDS, words[MOST_WORDS][0])
    phrases = dict.fromkeys(query_phrase(word) for _, word in _words(hide(typed)))
    found = tuple(phrase for phrase in phrases if phrase.tokens)
    if words and not found:
        raise QueryError(NO_WORDS, 0)
    return Keywords(found)


def _words(typed: str) -> list[tuple[int, str]]:
    """Each word or quoted phrase with its position. A quote opens only where a word could begin."""
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(typed):
        letter = typed[at]
        if letter.isspace() or letter in _SEPARATORS:
            at += 1
            continue
        start = at
        if letter in _CLOSING:
            at += 1
            while at < len(typed) and typed[at] not in _CLOSING[letter]:
                at += 1
            if at == len(typed):
                raise QueryError(UNCLOSED_QUOTE, start)
            found.append((start, typed[start + 1 : at]))
            at += 1
            continue
        while at < len(typed) and not typed[at].isspace() and typed[at] not in _SEPARATORS and typed[at] not in "「『":
            at += 1
        found.append((start, typed[start:at]))
    return found
