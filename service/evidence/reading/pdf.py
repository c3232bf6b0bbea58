"""PDF: active content found with qpdf, text layers and rendered pages by PDFium. Child side only."""

from __future__ import annotations

import importlib
import io
import math
import unicodedata
from collections.abc import Callable, Iterator
from ctypes import byref, c_int
from itertools import islice
from typing import Any, Final

import pikepdf

from service.evidence.reading import model
from service.evidence.reading.model import Box, Limits, Page, Report, Unreadable
from service.evidence.reading.recognition import Recognised

EXAMINED_OBJECTS: Final = 400_000
"""Dictionaries and arrays looked into; a file with more is flagged NOT_EXAMINED, never taken as clean."""

SENSIBLE_CHARACTERS: Final = 16
"""A text layer with fewer is not believed on a page that shows more than text."""
SENSIBLE_BESIDE_SCAN: Final = 200
"""The same where a picture covers most of the page: scanners stamp a line of text on their pictures."""
SENSIBLE_SHARE: Final = 0.5
GARBAGE_SHARE: Final = 0.1
SCAN_SHARE: Final = 0.5
"""Share of the page that a picture must cover to be taken for a scan."""

_DEVICE: Final = 100_000  # PDFium maps page coordinates to whole numbers of a device; this is the device's side
_FORMAT_OBJECTS: Final = 2_000

_BY_ACTION: Final = {
    "/JavaScript": model.JAVASCRIPT,
    "/Launch": model.LAUNCH_ACTION,
    "/SubmitForm": model.SENDING_FORM,
    "/ImportData": model.SENDING_FORM,
    "/Rendition": model.RICH_MEDIA,
    "/Movie": model.RICH_MEDIA,
    "/Sound": model.RICH_MEDIA,
    "/GoToE": model.EMBEDDED_FILE,
}
_BY_KEY: Final = {
    "/JS": model.JAVASCRIPT,
    "/JavaScript": model.JAVASCRIPT,
    "/EmbeddedFiles": model.EMBEDDED_FILE,
    "/EF": model.EMBEDDED_FILE,
    "/XFA": model.XFA_FORM,
    "/RichMediaContent": model.RICH_MEDIA,
}


def examine(data: bytes, report: Report) -> None:
    """Flag active content anywhere in the file, reachable or not (ISO 32000-2, 12.6.4 and 7.11.4).

    Raises Unreadable(ENCRYPTED_PDF) when it takes a password to open it.
    """
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            found = _active_content(pdf)
            if pdf.get_warnings():
                report.flags.add(model.REPAIRED)
    except pikepdf.PasswordError:
        raise Unreadable(model.ENCRYPTED_PDF) from None
    except (pikepdf.PdfError, ValueError, TypeError, LookupError, RecursionError):
        found = {model.NOT_EXAMINED}
    if found - {model.NOT_EXAMINED}:
        found.add(model.ACTIVE_CONTENT)
    report.flags |= found


def _active_content(pdf: pikepdf.Pdf) -> set[str]:
    found: set[str] = set()
    waiting: list[Any] = [pdf.trailer]
    objects = iter(pdf.objects)
    for _ in range(EXAMINED_OBJECTS):
        if not waiting:
            following = next(objects, None)
            if following is None:
                return found
            waiting.append(following)
        current: Any = waiting.pop()
        if isinstance(current, pikepdf.Stream):
            current = current.stream_dict
        if isinstance(current, pikepdf.Dictionary):
            found.update(flag for key, flag in _BY_KEY.items() if key in current)
            action, subtype = current.get("/S"), current.get("/Subtype")
            if isinstance(action, pikepdf.Name) and (flag := _BY_ACTION.get(str(action))):
                found.add(flag)
            if isinstance(subtype, pikepdf.Name) and str(subtype) in {
                "/RichMedia",
                "/Movie",
                "/Sound",
                "/3D",
            }:
                found.add(model.RICH_MEDIA)
            if isinstance(subtype, pikepdf.Name) and str(subtype) == "/FileAttachment":
                found.add(model.EMBEDDED_FILE)
            waiting.extend(_direct(current.values()))
        elif isinstance(current, pikepdf.Array):
            waiting.extend(_direct(current))
    found.add(model.NOT_EXAMINED)
    return found


def _direct(values: Any) -> Iterator[Any]:
    """Containers written in place; those behind a reference come up by themselves."""
    for value in values:
        if isinstance(value, pikepdf.Dictionary | pikepdf.Array) and not value.is_indirect:
            yield value


def pdf_pages(data: bytes, limits: Limits, report: Report, recognise: Callable[[Any], Recognised]) -> Iterator[Page]:
    """Each page, by its text layer where that can be believed, otherwise rendered and recognised.

    Raises Unreadable with ENCRYPTED_PDF, TOO_MANY_PAGES or DAMAGED.
    """
    pdfium: Any = importlib.import_module("pypdfium2")
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        is_locked = error.err_code in {pdfium.raw.FPDF_ERR_PASSWORD, pdfium.raw.FPDF_ERR_SECURITY}
        raise Unreadable(model.ENCRYPTED_PDF if is_locked else model.DAMAGED) from None
    with document:
        report.page_count = len(document)
        if report.page_count == 0:
            raise Unreadable(model.DAMAGED)
        if report.page_count > limits.max_pages:
            raise Unreadable(model.TOO_MANY_PAGES)
        damaged = 0
        for index in range(report.page_count):
            try:
                page = document[index]
            except pdfium.PdfiumError:
                damaged += 1
                report.flags.add(model.PAGE_DAMAGED)
                if damaged == report.page_count:
                    raise Unreadable(model.DAMAGED) from None
                yield Page(index + 1, "", [], "OCR", 0.0)
                continue
            try:
                yield _page(pdfium, page, index + 1, limits, recognise)
            finally:
                page.close()


def _page(pdfium: Any, page: Any, number: int, limits: Limits, recognise: Callable[[Any], Recognised]) -> Page:
    text_page = page.get_textpage()
    try:
        text = clean(text_page.get_text_bounded())
        if is_believable(text, *_looks(pdfium, page)):
            return Page(number, text, list(_boxes(pdfium, page, text_page)), "TEXT_LAYER", 1.0)
    finally:
        text_page.close()
    width, height = page.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        return Page(number, text, [], "TEXT_LAYER", 0.0)
    scale = min(limits.max_dpi / 72, math.sqrt(limits.max_pixels / (width * height)))
    scale = min(scale, 20_000 / max(width, height))
    bitmap = page.render(scale=max(scale, 1 / min(width, height)), limit_image_cache=True)
    try:
        read = recognise(bitmap.to_numpy())
    finally:
        bitmap.close()
    return Page(number, read.text, read.boxes, "OCR", read.confidence)


def _looks(pdfium: Any, page: Any) -> tuple[bool, bool]:
    """Whether the page shows anything but text, and whether a picture covers most of it."""
    raw = pdfium.raw
    drawn = {raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING}
    width, height = page.get_size()
    shows_more = False
    for piece in islice(page.get_objects(max_depth=4), _FORMAT_OBJECTS):
        if piece.type not in drawn:
            continue
        shows_more = True
        if piece.type == raw.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = piece.get_bounds()
            if (right - left) * (top - bottom) >= SCAN_SHARE * width * height:
                return True, True
    return shows_more, False


def is_believable(text: str, shows_more: bool, is_scan: bool) -> bool:
    """Whether a text layer says what the page shows.

    Fonts without a mapping to Unicode give replacement and private-use characters, and a scanner's stamp
    gives one line on top of a picture; both must be recognised from the picture instead.
    """
    visible = [letter for letter in text if not letter.isspace()]
    if not visible:
        return not shows_more
    kinds = [unicodedata.category(letter) for letter in visible]
    garbage = sum(kind in {"Co", "Cn", "Cc"} or letter == "\ufffd" for letter, kind in zip(visible, kinds, strict=True))
    sensible = sum(kind[0] in "LN" for kind in kinds)
    if garbage > GARBAGE_SHARE * len(visible) or sensible < SENSIBLE_SHARE * len(visible):
        return False
    return not shows_more or sensible >= (SENSIBLE_BESIDE_SCAN if is_scan else SENSIBLE_CHARACTERS)


def clean(text: str) -> str:
    """Text as people see it: newlines of one kind, no invisible controls, Kangxi radicals as letters.

    Many fonts map 文 to the radical U+2F42, which looks the same and is found by nobody.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufffe\n", "").replace("\x02\n", "")
    return "".join(
        unicodedata.normalize("NFKC", letter) if "\u2e80" <= letter <= "\u2fdf" else letter
        for letter in lines
        if letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cs", "Cf"}
    ).strip()


def _boxes(pdfium: Any, page: Any, text_page: Any) -> Iterator[Box]:
    """A box for every run of text, in page order, upright as the page is shown."""
    for index in range(min(text_page.count_rects(), model.PAGE_BOXES)):
        left, bottom, right, top = text_page.get_rect(index)
        text = clean(text_page.get_text_bounded(left, bottom, right, top))
        if not text:
            continue
        ends = [_shown(pdfium, page, left, top), _shown(pdfium, page, right, bottom)]
        (x0, x1), (y0, y1) = sorted(x for x, _ in ends), sorted(y for _, y in ends)
        yield Box(x0, y0, x1 - x0, y1 - y0, text, 1.0)


def _shown(pdfium: Any, page: Any, x: float, y: float) -> tuple[float, float]:
    """A point of the page as shares of the page as shown, its rotation and crop box applied."""
    across, down = c_int(), c_int()
    pdfium.raw.FPDF_PageToDevice(page, 0, 0, _DEVICE, _DEVICE, 0, x, y, byref(across), byref(down))
    return min(1.0, max(0.0, across.value / _DEVICE)), min(1.0, max(0.0, down.value / _DEVICE))
