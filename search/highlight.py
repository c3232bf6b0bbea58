"""Highlights, made here from the text as the actor may see it, so that engines never hold a text.

They are the same for every engine, and a masked value can't shine through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from search.query import Keywords
from search.tokens import Phrase, Token, spans

Fragment = list[tuple[str, bool]]
"""A piece of a text: its parts in order, and whether each is a hit."""

_BRIDGE = 2
"""Characters between two tokens of a hit that are shown as part of it (a hyphen, a space)."""


@dataclass(slots=True)
class _Window:
    start: int
    end: int
    hits: list[tuple[int, int]]
    phrases: set[int]


def fragments(
    text: str, keywords: Keywords, *, width: int = 60, most: int = 3, cut: Callable[[str], list[Token]] = spans
) -> list[Fragment]:
    """At most `most` pieces of `text` with hits, each at most `width` characters, in their order. `cut` makes the
    tokens that the keywords are made of.

    Pieces with more different phrases are preferred, then earlier ones. Time is linear in the text.
    """
    tokens = cut(text)
    places = sorted(
        (start, end, number) for number, phrase in enumerate(keywords.phrases) for start, end in _places(tokens, phrase)
    )
    windows: list[_Window] = []
    for start, end, number in places:
        if windows and end - windows[-1].start <= width:
            window = windows[-1]
            window.end = max(window.end, end)
            window.hits.append((start, end))
            window.phrases.add(number)
        else:
            if windows and start < windows[-1].end:
                start = windows[-1].end  # a hit that began in the piece before
            if start < end:
                windows.append(_Window(start, min(end, start + width), [(start, end)], {number}))
    chosen = sorted(range(len(windows)), key=lambda at: (-len(windows[at].phrases), at))[:most]
    shown = [windows[at] for at in sorted(chosen)]
    _widen(shown, len(text), width)
    return [_parts(text, window) for window in shown]


def _places(tokens: list[Token], phrase: Phrase) -> list[tuple[int, int]]:
    """Where the phrase's tokens stand, token by token, neighbours joined."""
    found: list[tuple[int, int]] = []
    last = len(phrase.tokens) - 1
    for first in _occurrences(tokens, phrase):
        for at in range(first, first + last + 1):
            token = tokens[at]
            end = token.start + 1 if phrase.prefix and at == first + last else token.end
            if found and token.start - found[-1][1] <= _BRIDGE and at > first:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            elif not found or end > found[-1][1]:
                found.append((token.start, end))
    return found


def _occurrences(tokens: list[Token], phrase: Phrase) -> list[int]:
    """First token of each occurrence that does not overlap the one before.

    Knuth, Morris and Pratt's method over tokens (SIAM J. Comput. 6(2), 1977), so that repeated letters
    do not make it quadratic; the beginning of a token at the end of a phrase is compared by itself.
    """
    if not phrase.tokens:
        return []
    whole = phrase.tokens[:-1] if phrase.prefix else phrase.tokens
    tail = phrase.tokens[-1] if phrase.prefix else None
    if not whole:
        return [at for at, token in enumerate(tokens) if token.text.startswith(tail or "")]
    back = _fallbacks(whole)
    found: list[int] = []
    matched = 0
    for at, token in enumerate(tokens):
        while matched and (matched == len(whole) or token.text != whole[matched]):
            matched = back[matched - 1]
        if token.text == whole[matched]:
            matched += 1
        if matched == len(whole):
            follows = tail is None or (at + 1 < len(tokens) and tokens[at + 1].text.startswith(tail))
            if follows:
                found.append(at - len(whole) + 1)
                matched = 0
    return found


def _fallbacks(words: tuple[str, ...]) -> list[int]:
    """For each length, how much of the beginning is also the end."""
    back = [0] * len(words)
    length = 0
    for at in range(1, len(words)):
        while length and words[at] != words[length]:
            length = back[length - 1]
        if words[at] == words[length]:
            length += 1
        back[at] = length
    return back


def _widen(windows: list[_Window], length: int, width: int) -> None:
    """Show text around the hits, the same on both sides where there is room, without overlaps."""
    for number, window in enumerate(windows):
        floor = windows[number - 1].end if number else 0
        ceiling = windows[number + 1].start if number + 1 < len(windows) else length
        spare = width - (window.end - window.start)
        before = min(spare // 2, window.start - floor)
        after = min(spare - before, ceiling - window.end)
        before = min(spare - after, window.start - floor)
        window.start -= before
        window.end += after


def _parts(text: str, window: _Window) -> Fragment:
    merged: list[list[int]] = []
    for start, end in window.hits:
        begin, stop = max(start, window.start), min(end, window.end)
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([begin, stop])
    cuts = [window.start, *(place for hit in merged for place in hit), window.end]
    return [(text[start:end], number % 2 == 1) for number, (start, end) in enumerate(pairwise(cuts)) if end > start]
