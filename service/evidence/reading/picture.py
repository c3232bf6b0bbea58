"""JPEG, PNG and TIFF, opened as what they claim to be and only within the limits. Child side only."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy
from PIL import Image, ImageOps

from service.evidence.reading.model import (
    DAMAGED,
    TOO_MANY_PAGES,
    TOO_MANY_PIXELS,
    Limits,
    Report,
    Unreadable,
)
from service.evidence.reading.recognition import LONGEST_SIDE

FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/tiff": "TIFF"}


def pictures(data: bytes, media_type: str, limits: Limits, report: Report) -> Iterator[Any]:
    """Each page as an upright BGR array of shape (height, width, 3) with at most LONGEST_SIDE pixels a side.

    Sizes are checked before anything is decompressed. Raises Unreadable with TOO_MANY_PIXELS,
    TOO_MANY_PAGES or DAMAGED.
    """
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with Image.open(io.BytesIO(data), formats=[FORMATS[media_type]]) as opened:
            report.page_count = _count(opened, limits)
            for index in range(report.page_count):
                opened.seek(index)
                yield _upright(opened)
    except (Unreadable, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise Unreadable(TOO_MANY_PIXELS) from None
    except (OSError, ValueError, SyntaxError, LookupError, EOFError, ArithmeticError, TypeError):
        # What Pillow's parsers raise over a file that is not sound.
        raise Unreadable(DAMAGED) from None


def _count(opened: Image.Image, limits: Limits) -> int:
    """Pages of a TIFF, one for anything else; looks at every page's size without decoding it."""
    _check_size(opened, limits)
    if opened.format != "TIFF":
        return 1
    count = 1
    while True:
        try:
            opened.seek(count)
        except EOFError:
            return count
        _check_size(opened, limits)
        count += 1
        if count > limits.max_pages:
            raise Unreadable(TOO_MANY_PAGES)


def _check_size(opened: Image.Image, limits: Limits) -> None:
    width, height = opened.size
    if width * height > limits.max_pixels:
        raise Unreadable(TOO_MANY_PIXELS)


def _upright(opened: Image.Image) -> Any:
    opened.load()
    image: Image.Image = opened
    if image.mode.startswith("I;16"):  # 16 bits of grey, which convert() would cut off at 255
        image = Image.fromarray((numpy.asarray(image) >> 8).astype("uint8"))
    image = ImageOps.exif_transpose(image)
    if max(image.size) > LONGEST_SIDE:
        if image.mode in {"1", "P"}:
            image = image.convert("RGBA" if "transparency" in image.info else "L" if image.mode == "1" else "RGB")
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        image = Image.new("RGB", with_alpha.size, "white")
        image.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return numpy.ascontiguousarray(numpy.asarray(image.convert("RGB"))[:, :, ::-1])
