"""Draws a sheet as a PDF that was never paper: text layer, embedded typeface, no photograph."""

from __future__ import annotations

from functools import cache
from io import BytesIO

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from infra.demo.documents import WORDS, Sheet
from infra.demo.people import COMPANY
from infra.demo.texts import read_bytes

_WIDTH, _HEIGHT = A4
_MARGIN = 57.0
_FACE = "DemoHei"


@cache
def _register() -> None:
    pdfmetrics.registerFont(TTFont(_FACE, BytesIO(read_bytes("fonts/demo-hei.ttf"))))


def print_pdf(sheet: Sheet) -> bytes:
    """One A4 page; invariant, so that the same sheet gives the same bytes. Lengths are points."""
    _register()
    out = BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1)
    canvas.setTitle(sheet.title)
    canvas.setAuthor(COMPANY)
    canvas.setFont(_FACE, 18 if len(sheet.title) < 20 else 15)
    canvas.drawCentredString(_WIDTH / 2, _HEIGHT - 70, sheet.title)
    y = _HEIGHT - 104
    canvas.setFont(_FACE, 11)
    canvas.drawRightString(_WIDTH - _MARGIN, y, sheet.number)
    y -= 26
    for line in sheet.opening:
        y = _paragraph(canvas, line, y)
    if sheet.table:
        y = _table(canvas, sheet.table, y)
    for paragraph in sheet.paragraphs:
        y = _paragraph(canvas, paragraph, y)
    y -= 30
    for line in sheet.closing:
        canvas.drawString(_WIDTH / 2 - 40, y, line)
        y -= 22
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _paragraph(canvas: Canvas, text: str, y: float) -> float:
    line = ""
    for character in text:
        if (
            pdfmetrics.stringWidth(line + character, _FACE, 11) > _WIDTH - 2 * _MARGIN
            and character not in WORDS["closing_marks"]
        ):
            canvas.drawString(_MARGIN, y, line)
            line, y = "", y - 18
        line += character
    canvas.drawString(_MARGIN, y, line)
    return y - 20


def _table(canvas: Canvas, rows: tuple[tuple[str, ...], ...], y: float) -> float:
    height, width = 22.0, (_WIDTH - 2 * _MARGIN) / len(rows[0])
    for row in rows:
        for column, cell in enumerate(row):
            canvas.rect(_MARGIN + column * width, y - height + 14, width, height)
            canvas.drawCentredString(_MARGIN + (column + 0.5) * width, y - 1, cell)
        y -= height
    return y - 12
