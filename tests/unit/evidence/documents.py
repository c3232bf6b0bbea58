"""Documents to read: sound ones, and those that an attacker would send."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pikepdf
from PIL import Image

# reportlab has no types.
Canvas: Any = import_module("reportlab.pdfgen.canvas").Canvas
ImageReader: Any = import_module("reportlab.lib.utils").ImageReader
A4 = (595.28, 841.89)
"""Points."""

PHOTOGRAPH = Path(__file__).parents[2] / "fixtures" / "scans" / "photographed.jpg"
"""A form in Chinese and English, slanted, unevenly lit, stored sideways with its orientation in the EXIF."""

PARAGRAPH = "The customer objects to invoice 2026-0417 because bearing no. 7 failed after three months."


def text_pdf(*pages: str, rotate: int = 0) -> bytes:
    """A born-digital PDF with one line of text a page."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for text in pages or (PARAGRAPH,):
        if rotate:
            canvas.setPageRotation(rotate)
        canvas.drawString(72, 760, text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def scanned_pdf(stamp: str = "") -> bytes:
    """The photograph on a page of its own, as scanners make it, with a stamp in the text layer if given."""
    out = io.BytesIO()
    width, height = A4
    canvas = Canvas(out, pagesize=(height, width))
    with Image.open(PHOTOGRAPH) as photograph:
        upright = photograph.transpose(Image.Transpose.ROTATE_270)
    canvas.drawImage(ImageReader(upright), 0, 0, height, width)
    if stamp:
        canvas.drawString(20, 10, stamp)
    canvas.save()
    return out.getvalue()


def pdf_with_javascript() -> bytes:
    return _changed(
        lambda pdf: pdf.Root.__setattr__(
            "OpenAction", pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("app.alert(1)"))
        )
    )


def pdf_with_launch_action() -> bytes:
    def add(pdf: pikepdf.Pdf) -> None:
        action = pikepdf.Dictionary(S=pikepdf.Name.Launch, F=pikepdf.String("calc.exe"))
        link = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Link, Rect=[0, 0, 9, 9], A=action)
        pdf.pages[0].obj.Annots = pikepdf.Array([link])

    return _changed(add)


def pdf_with_embedded_file() -> bytes:
    def add(pdf: pikepdf.Pdf) -> None:
        pdf.attachments["run.exe"] = b"MZ"

    return _changed(add)


def pdf_with_unreachable_javascript() -> bytes:
    """The action hangs on nothing that a viewer opens first."""
    return _changed(
        lambda pdf: pdf.pages[0].obj.__setattr__(
            "PieceInfo", pikepdf.Dictionary(Deep=pikepdf.Array([pikepdf.Dictionary(JS=pikepdf.String("1"))]))
        )
    )


def encrypted_pdf() -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(text_pdf())) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(owner="owner", user="user", R=6))
    return out.getvalue()


def many_pages_pdf(count: int) -> bytes:
    """Small in bytes: all its pages are one."""
    pages = pikepdf.new()
    pages.add_blank_page()
    kids = pages.pages[0].obj
    tree = pikepdf.Dictionary(Type=pikepdf.Name.Pages, Count=count, Kids=pikepdf.Array([kids] * count))
    pages.Root.Pages = pages.make_indirect(tree)
    out = io.BytesIO()
    pages.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return out.getvalue()


def picture(kind: str, size: tuple[int, int] = (60, 40), frames: int = 1) -> bytes:
    """A blank picture; a TIFF may have several pages."""
    out = io.BytesIO()
    blank = Image.new("L", size, 255)
    if frames > 1:
        blank.save(out, kind, save_all=True, append_images=[blank] * (frames - 1))
    else:
        blank.save(out, kind)
    return out.getvalue()


def bomb_png(side: int) -> bytes:
    """A sound PNG of `side` by `side` white pixels that shrinks a thousandfold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    squeezer = zlib.compressobj(9)
    row = b"\x00" + b"\xff" * ((side + 7) // 8)
    body = b"".join(squeezer.compress(row) for _ in range(side)) + squeezer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _changed(change: Callable[[pikepdf.Pdf], None]) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(text_pdf())) as pdf:
        change(pdf)
        pdf.save(out)
    return out.getvalue()
