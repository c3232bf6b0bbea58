"""Canaries for `test_canaries`: what is planted, and the looking for it in bytes."""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

import re2
from reportlab.pdfgen.canvas import Canvas
from stdnum.cn import ric

CJK = "麤龘靐齾爨驫鱻羴犇淼焱垚"
"""Rare characters: a run of six stands nowhere by chance."""


class Planted:
    """Texts that stand nowhere else, by the sealed field that they were planted in."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._dice = secrets.SystemRandom()

    def text(self, field: str, *, searchable: bool = False) -> str:
        """An ASCII and a Chinese word for a text field. `searchable`: an index may hold its words."""
        ascii_word = "cnry" + secrets.token_hex(8)
        chinese = "".join(self._dice.choices(CJK, k=6))
        mark = "+" if searchable else ""
        self.texts[f"{field}{mark}/ascii"], self.texts[f"{field}{mark}/chinese"] = ascii_word, chinese
        return f"{chinese} {ascii_word}"

    def plain(self, field: str, value: str) -> str:
        """A value of a form that the field asks for."""
        self.texts[f"{field}/value"] = value
        return value

    def phone(self, field: str) -> str:
        """A mainland mobile number, given as people write it; it is stored with +86 before it."""
        return self.plain(field, f"138{self._dice.randrange(10**8):08d}")

    def card(self, field: str) -> str:
        """A resident ID number with a right checksum."""
        start = f"1101051949{self._dice.randrange(1, 13):02d}{self._dice.randrange(1, 28):02d}{self._dice.randrange(1000):03d}"
        return self.plain(field, start + ric.calc_check_digit(f"{start}0"))

    def digits(self, field: str, count: int) -> str:
        """A number that begins with 9."""
        return self.plain(field, "9" + "".join(self._dice.choices("0123456789", k=count - 1)))

    def forms(self) -> dict[bytes, str]:
        """Every byte form that is looked for, and what it is."""
        found: dict[bytes, str] = {}
        for name, text in self.texts.items():
            for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                found[text.encode(encoding)] = f"{name} in {encoding}"
            found[json.dumps(text)[1:-1].encode()] = f"{name} as ASCII JSON"
            # Base64 of a text that stands somewhere inside a longer one, for each of the three alignments
            for skipped in range(3):
                coded = base64.b64encode(bytes(skipped) + text.encode())
                found[coded[4 if skipped else 0 : -4]] = f"{name} in base64"
        return {form: name for form, name in found.items() if len(form) >= 8}


def sightings(places: Iterable[tuple[str, bytes]], forms: dict[bytes, str]) -> list[str]:
    """Which form stands in which place. All forms are looked for in one walk: files of a server are large."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 256 << 20
    pattern = re2.compile(b"|".join(b"".join(b"\\x%02x" % byte for byte in form) for form in forms), options=options)
    return [
        f"{name}: {where}"
        for where, body in places
        for name in sorted({forms[match.group()] for match in pattern.finditer(body)})
    ]


def files_below(directory: Path, *, but: Callable[[Path], bool] = lambda _: False) -> Iterable[tuple[str, bytes]]:
    """Every file as it lies on the disk, with its own name before its bytes."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink() and not but(path):
            try:
                yield str(path), path.name.encode() + b"\n" + path.read_bytes()
            except FileNotFoundError:  # a server has just removed it
                continue


def pdf_with(text: str) -> bytes:
    """A PDF whose bytes and text layer have this (ASCII) text in the clear."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pageCompression=0)
    canvas.drawString(72, 720, text)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()
