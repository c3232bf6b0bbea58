"""Normal forms of what people type, the same for every noun (R4). Pure."""

from __future__ import annotations

import re
import unicodedata

# Control and format characters, among them whatever has no width, and lone surrogates. Private and unassigned code
# points stay: rare Chinese characters of people's names are among them.
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})
_LINES = frozenset("\n\t")
# Letters and symbols that show nothing: fillers of Hangul, the blank of Braille.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


def clean(text: str) -> str:
    """A text without what can't be seen in it, in NFC, its ends trimmed; empty when nothing is to be seen."""
    if text.isprintable():  # letters, marks, digits, signs and spaces alone: most texts there are
        trimmed = text.strip()
        if trimmed and unicodedata.category(trimmed[0])[0] in "LNPS" and _BLANKS.isdisjoint(trimmed):
            return unicodedata.normalize("NFC", trimmed)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    seen = "".join(c for c in lines if c in _LINES or unicodedata.category(c) not in _UNSEEN)
    if not any(unicodedata.category(c)[0] in "LNPSC" and c not in _BLANKS for c in seen if c not in _LINES):
        return ""
    return unicodedata.normalize("NFC", seen).strip()


def tidy(text: str) -> str:
    """A short text: cleaned, with single spaces."""
    return re.sub(r"[ \t\u3000]+", " ", clean(text)).strip()


def narrow(text: str) -> str:
    """Full-width digits and letters to ordinary ones (NFKC)."""
    return unicodedata.normalize("NFKC", text).strip()


def half_width(text: str) -> str:
    """Only the full-width forms of ASCII to ASCII: a raised or circled digit is not taken for a digit."""
    return text.translate(_HALF_WIDTH)


class _Fold(dict[int, str]):
    """Folded form by code point, worked out at the first look-up (for `str.translate`)."""

    def __missing__(self, point: int) -> str:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(point)).casefold())
        kept = "".join(letter for letter in folded if unicodedata.category(letter) not in ("Mn", "Me", "Cf"))
        result = self[point] = unicodedata.normalize("NFC", kept)
        return result


_FOLD = _Fold()


def fold(text: str) -> str:
    """The text as it is compared, letter by letter: compatibility forms (Unicode NFKD: full-width → half-width), case
    (Unicode case folding), marks and invisible format characters gone (`é` → `e`, `が` → `か`).
    """
    return text.translate(_FOLD)


def folded_with_places(text: str) -> tuple[str, list[int], list[int]]:
    """`fold`, and for each of its letters where the original one begins and ends. Linear time."""
    letters: list[str] = []
    places: list[int] = []
    ends: list[int] = []
    for place, letter in enumerate(text):
        folded = _FOLD[ord(letter)]
        if not folded and ends:
            ends[-1] = place + 1  # a mark belongs to the letter before it
        for piece in folded:
            letters.append(piece)
            places.append(place)
            ends.append(place + 1)
    return "".join(letters), places, ends
