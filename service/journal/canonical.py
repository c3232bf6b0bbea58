"""The canonical bytes of an entry (RFC 8785, JSON Canonicalization Scheme).

An entry is made of objects with ASCII keys, lists, texts, whole numbers below 2^53, truth values and nulls. For
these, sorting keys by their bytes is sorting them by UTF-16 units, and orjson's escapes and separators are those of the RFC; it
is ninety times as fast as a writer in Python, and a list of 200 customers is one entry of 200 ids.
`tests/unit/journal/test_canonical.py` holds it to the package rfc8785, and to refusing everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def canonical(entry: Mapping[str, Any]) -> bytes:
    """Raises TypeError for what is no JSON. An entry never holds a fraction, which the RFC writes in its own way."""
    return orjson.dumps(entry, option=_OPTIONS)


_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
