"""What a file really is, and what its name may be (P19; OWASP File Upload Cheat Sheet).

Three claims must agree before a file is kept: the declared media type, the name's extension, and the
leading bytes. Whether the rest of the file is sound is for `service.evidence.reading` to find out.
"""

from __future__ import annotations

import unicodedata
import zlib
from typing import Final

import puremagic

PDF: Final = "application/pdf"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
TIFF: Final = "image/tiff"

ALLOWED_TYPES: Final = frozenset({PDF, JPEG, PNG, TIFF})
EXTENSIONS: Final[dict[str, frozenset[str]]] = {
    PDF: frozenset({"pdf"}),
    JPEG: frozenset({"jpg", "jpeg", "jpe", "jfif"}),
    PNG: frozenset({"png"}),
    TIFF: frozenset({"tif", "tiff"}),
}
HEAD_BYTES: Final = 4096
"""How many leading bytes `sniff` wants; fewer only when the file is shorter."""

NAME_CHARACTERS: Final = 255

# Other names for the same type, as browsers and scanners send them.
_ALIASES: Final = {
    "application/x-pdf": PDF,
    "image/jpg": JPEG,
    "image/pjpeg": JPEG,
    "image/x-png": PNG,
    "image/x-tiff": TIFF,
}
# Readers look for these within the first kilobyte, so a file that holds one is two files at once.
_SECOND_FACES: Final = (
    b"%pdf-",
    b"pk\x03\x04",
    b"<script",
    b"<html",
    b"<!doctype",
    b"<svg",
    b"<?php",
    b"rar!\x1a",
)
_FACE_BYTES: Final = 1024
# Cc, Cf (bidi and zero-width characters), Cs, Co, Cn, and the two separators that break lines.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def sniff(head: bytes) -> str | None:
    """The media type that the leading bytes prove, one of ALLOWED_TYPES; None for anything else.

    `head` is the first HEAD_BYTES bytes. The signature must stand at offset 0 and nothing that another
    reader would take for its own format may follow it within the first kilobyte.
    """
    media_type = _signature(head)
    if media_type is None:
        return None
    face = head[:_FACE_BYTES].lower()
    start = len(b"%pdf-") if media_type == PDF else 0
    if any(face.find(second, start) >= 0 for second in _SECOND_FACES):
        return None
    try:
        known = {match.mime_type for match in puremagic.magic_string(head)}
    except (puremagic.PureError, ValueError):
        return None
    return media_type if media_type in {_ALIASES.get(name, name) for name in known} else None


def _signature(head: bytes) -> str | None:
    if head[:7] in (b"%PDF-1.", b"%PDF-2.") and head[7:8].isdigit():
        return PDF
    if _is_png(head):
        return PNG
    # A JPEG starts with SOI and then a marker that may stand first (ITU-T T.81 B.2).
    if head[:3] == b"\xff\xd8\xff" and len(head) > 3 and (0xC0 <= head[3] <= 0xCF or 0xDB <= head[3] <= 0xFE):
        return JPEG
    if _is_tiff(head):
        return TIFF
    return None


def _is_png(head: bytes) -> bool:
    """Signature and a whole IHDR chunk with its checksum (W3C PNG, 5.2 and 11.2.1)."""
    if head[:16] != b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" or len(head) < 33:
        return False
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return width > 0 and height > 0 and zlib.crc32(head[12:29]) == int.from_bytes(head[29:33], "big")


def _is_tiff(head: bytes) -> bool:
    """TIFF 6.0, section 2: byte order, 42, and a first directory behind the header. BigTIFF is refused."""
    if head[:4] == b"II*\x00":
        return int.from_bytes(head[4:8], "little") >= 8
    if head[:4] == b"MM\x00*":
        return int.from_bytes(head[4:8], "big") >= 8
    return False


def check_name(file_name: str) -> str:
    """The name as it may be kept and shown: no path, no invisible characters, NFC.

    Raises ValueError when nothing is left or more than NAME_CHARACTERS characters are. A name is data:
    it never becomes a path or a storage key.
    """
    last = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(letter for letter in last if unicodedata.category(letter) not in _INVISIBLE)
    # Windows drops dots and spaces at the end, which would change the extension after the check.
    name = unicodedata.normalize("NFC", visible).strip().rstrip(". ")
    if not name:
        raise ValueError("the file name is empty")
    if len(name) > NAME_CHARACTERS:
        raise ValueError(f"the file name has more than {NAME_CHARACTERS} characters")
    return name


def extension(file_name: str) -> str:
    """The lower-case extension without its dot; empty when the name has none."""
    stem, dot, last = file_name.rpartition(".")
    return last.lower() if dot and stem else ""


def agrees(declared_type: str, file_name_extension: str, sniffed: str | None) -> bool:
    """Whether declared type, extension (with or without dot) and leading bytes name one accepted type."""
    if sniffed not in ALLOWED_TYPES:
        return False
    declared = declared_type.split(";", 1)[0].strip().lower()
    suffix = file_name_extension.lower().removeprefix(".")
    return _ALIASES.get(declared, declared) == sniffed and suffix in EXTENSIONS[sniffed]
