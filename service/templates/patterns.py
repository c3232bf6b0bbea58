"""Patterns of template fields: matched in linear time by RE2, whatever an administrator writes (OWASP, ReDoS).

RE2 has no backtracking, so no back-references and no look-around either; what it would take too long to compile or to
match is refused when the template is published. Every match takes milliseconds, on texts of the longest kind too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

PATTERN_MOST = 200
_SIZE_MOST = 1_000
"""Instructions of the compiled program: matching takes at most this many steps per character."""
_MEMORY_MOST = 1 << 18


_TOO_COMPLEX = {"en": "too complex", "zh-CN": "过于复杂"}
_NONE = {"en": "not a regular expression that RE2 knows", "zh-CN": "不是 RE2 支持的正则表达式"}


class PatternRefused(ValueError):
    """The pattern is none, or too complex: `reason` says which in both languages."""

    def __init__(self, reason: dict[str, str]) -> None:
        super().__init__(reason["en"])
        self.reason = reason


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MEMORY_MOST
    return re2.compile(pattern, options)


def check_pattern(pattern: str) -> None:
    """Raises PatternRefused."""
    if len(pattern) > PATTERN_MOST:
        raise PatternRefused(_TOO_COMPLEX)
    try:
        size = _compiled(pattern).programsize
    except (re2.error, UnicodeError) as error:
        raise PatternRefused(_TOO_COMPLEX if "too large" in str(error) else _NONE) from None
    if size > _SIZE_MOST:
        raise PatternRefused(_TOO_COMPLEX)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches a published pattern."""
    return _compiled(pattern).fullmatch(text) is not None
