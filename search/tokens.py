"""Our own tokens, the same for every engine: engines only split what comes from here at spaces.

Chinese has no spaces, so every run of CJK letters becomes overlapping pairs, and the run's last letter
once more alone (`合同金额` → `合同 同金 金额 额`). Every letter therefore begins exactly one token: a
single letter is asked for as a prefix, a longer run as a phrase of its pairs. The last letter also keeps
runs apart: `合同 金额` holds `合同 同 金额 额`, in which the phrase `合同 同金 金额` is not found.
Runs of other letters and digits are one token. The method is Lucene's CJKBigramFilter with
`outputUnigrams` for the last letter only.

Everything is folded letter by letter (`service.normal.fold`). Traditional and simplified forms stay different.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from service.normal import fold, folded_with_places

LONGEST_TOKEN = 64
"""Longer runs of letters are cut into pieces of this many; Elasticsearch would cut at 255."""

_CJK = (
    "\u3005\u3007\u3040-\u30fa\u30fc-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_IS_CJK = re.compile(f"[{_CJK}]")


class Token(NamedTuple):
    """A token and where its letters stand in the original text: `text[start:end]`."""

    text: str
    start: int
    end: int


class Phrase(NamedTuple):
    """Tokens that must stand next to each other in one field; with `prefix` the last is a beginning."""

    tokens: tuple[str, ...]
    prefix: bool = False


def index_tokens(text: str) -> str:
    """The tokens of a stored text, joined by single spaces, in the order of the text."""
    return " ".join([token for run in _RUN.findall(fold(text)) for token in _cut(run)])


def query_phrase(text: str) -> Phrase:
    """The tokens that every text containing `text` has next to each other; none if it has no letter.

    A CJK run at the end may go on in the stored text: its last letter is left out, and if it is the
    run's only one it is the beginning of a token. Elsewhere a run ends where the text's run must end.
    """
    runs = _RUN.findall(fold(text))
    tokens = [token for run in runs for token in _cut(run)]
    if not runs or not _IS_CJK.match(runs[-1]):
        return Phrase(tuple(tokens))
    if len(runs[-1]) == 1:
        return Phrase(tuple(tokens), prefix=True)
    return Phrase(tuple(tokens[:-1]))


def spans(text: str) -> list[Token]:
    """The tokens of `index_tokens`, each with the place of its letters in `text`. Linear time."""
    folded, places, ends = folded_with_places(text)
    found = []
    for match in _RUN.finditer(folded):
        at = match.start()
        is_cjk = _IS_CJK.match(match.group()) is not None
        for token in _cut(match.group()):
            found.append(Token(token, places[at], ends[at + len(token) - 1]))
            at += 1 if is_cjk else len(token)
    return found


def _cut(run: str) -> list[str]:
    """One run as tokens: pairs and the last letter, or pieces of LONGEST_TOKEN."""
    if _IS_CJK.match(run):
        return [run[at : at + 2] for at in range(len(run))]
    if len(run) <= LONGEST_TOKEN:
        return [run]
    return [run[at : at + LONGEST_TOKEN] for at in range(0, len(run), LONGEST_TOKEN)]
