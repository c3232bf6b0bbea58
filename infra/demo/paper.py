"""Draws a sheet as somebody would photograph it: paper, ink, red seal, fold, desk, light, noise, JPEG."""

from __future__ import annotations

import math
from functools import cache
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from infra.demo.dice import Dice
from infra.demo.documents import WORDS, Sheet
from infra.demo.texts import read_bytes

WIDTH, HEIGHT = 1240, 1754
"""Pixels of the sheet: A4 at 150 dpi."""
_MARGIN: Final = 118
_INK, _PEN, _SEAL = (38, 38, 44), (34, 46, 110), (205, 28, 32)
_QUALITY: Final = 50
Font = ImageFont.FreeTypeFont


@cache
def _font(size: int) -> Font:
    return ImageFont.truetype(BytesIO(read_bytes("fonts/demo-hei.ttf")), size)


def photograph(sheet: Sheet, dice: Dice) -> bytes:
    """A JPEG of the sheet, 1,240 pixels wide; the same bytes for the same dice."""
    generator = np.random.Generator(np.random.PCG64(dice.whole(0, 1 << 48)))
    page = _printed(sheet, dice)
    page = ImageChops.multiply(page, _stock(generator, dice))
    shot = _on_desk(page, generator, dice)
    lit = np.asarray(shot, dtype=np.float32) * _light(shot.size, dice)[..., None]
    # Two dice make noise that is close enough to a sensor's; grey, for the eye sees little of its colour.
    shape = lit.shape[:2]
    noise = generator.integers(-4, 5, shape) + generator.integers(-4, 5, shape)
    pixels = np.clip(lit + noise[..., None], 0, 255).astype(np.uint8)
    out = BytesIO()
    soft = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.55))
    soft.save(out, "JPEG", quality=_QUALITY, subsampling=2, optimize=True)
    return out.getvalue()


def _printed(sheet: Sheet, dice: Dice) -> Image.Image:
    page = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    title = _font(46 if len(sheet.title) < 18 else 36)
    pen.text(((WIDTH - title.getlength(sheet.title)) / 2, 110), sheet.title, _INK, title)
    y = 196.0
    if sheet.number:
        small = _font(25)
        pen.text((WIDTH - _MARGIN - small.getlength(sheet.number), y), sheet.number, _INK, small)
        y += 56
    for line in sheet.opening:
        y = _paragraph(pen, line, y, indent=0)
    if sheet.table:
        y = _table(pen, sheet.table, y + 8) + 20
    for paragraph in sheet.paragraphs:
        flush = paragraph == "敬礼" or paragraph[1:2] == "、"
        y = _paragraph(pen, paragraph, y, indent=0 if flush else 2)
    foot = min(y + 70, HEIGHT - 330)
    return _signed(page, pen, sheet, foot, dice)


def _paragraph(pen: ImageDraw.ImageDraw, text: str, y: float, *, indent: int) -> float:
    font = _font(28)
    line, room = "　" * indent, WIDTH - 2 * _MARGIN
    for character in text:
        # A closing mark never begins a line (GB/T 15834).
        if font.getlength(line + character) > room and character not in WORDS["closing_marks"]:
            pen.text((_MARGIN, y), line, _INK, font)
            line, y = "", y + 46
        line += character
    pen.text((_MARGIN, y), line, _INK, font)
    return y + 50


def _table(pen: ImageDraw.ImageDraw, rows: tuple[tuple[str, ...], ...], y: float) -> float:
    font, height = _font(25), 54
    shares = [max(2.4, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    scale = (WIDTH - 2 * _MARGIN) / sum(shares)
    edges = [_MARGIN + scale * sum(shares[:column]) for column in range(len(shares) + 1)]
    for number, row in enumerate(rows):
        top = y + number * height
        for column, cell in enumerate(row):
            pen.rectangle((edges[column], top, edges[column + 1], top + height), outline=_INK, width=2)
            left = (edges[column] + edges[column + 1] - font.getlength(cell)) / 2
            pen.text((left, top + 12), cell, _INK, font)
    return y + len(rows) * height


def _signed(page: Image.Image, pen: ImageDraw.ImageDraw, sheet: Sheet, y: float, dice: Dice) -> Image.Image:
    font = _font(27)
    left = _MARGIN if len(sheet.closing) > 2 else WIDTH // 2
    # Signatures stand behind "签字" and the like, or below the names of both parties.
    for number, line in enumerate(sheet.closing):
        pen.text((left, y + number * 66), line, _INK, font)
    for number, name in enumerate(sheet.signatures):
        beside = left + font.getlength(sheet.closing[min(number, len(sheet.closing) - 1)]) + 24
        _hand(page, name, (int(beside), int(y + number * 66 - 14)), dice)
    for number, name in enumerate(sheet.seals):
        x = left + 250 + number * 330 + dice.whole(-24, 24)
        seal = _seal(name, dice)
        layer = Image.new("RGB", page.size, (255, 255, 255))
        layer.paste(seal, (min(x, WIDTH - 300), int(y) - 60 + dice.whole(-16, 16)))
        page = ImageChops.multiply(page, layer)
    return page


def _hand(page: Image.Image, text: str, at: tuple[int, int], dice: Dice) -> None:
    """Writes in uneven slanted letters."""
    x, y = at
    for character in text:
        size = dice.whole(42, 50)
        cell = Image.new("L", (90, 90), 0)
        ImageDraw.Draw(cell).text((18, 14), character, 255, _font(size))
        slant = dice.between(0.18, 0.3)
        cell = cell.transform(
            cell.size, Image.Transform.AFFINE, (1, slant, -slant * 45, 0, 1, 0), Image.Resampling.BICUBIC
        )
        cell = cell.rotate(dice.between(-7, 9), Image.Resampling.BICUBIC)
        page.paste(_PEN, (x - 14, y - 18 + dice.whole(-4, 4)), cell)
        x += size - 8


def _seal(name: str, dice: Dice) -> Image.Image:
    """A round seal of 270 pixels: the name along the ring, a star in the middle, unevenly inked."""
    side, centre = 270, 135
    ink = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(ink)
    pen.ellipse((8, 8, side - 8, side - 8), outline=255, width=7)
    star = [
        (centre + r * math.sin(math.pi * k / 5), centre - r * math.cos(math.pi * k / 5))
        for k, r in enumerate((40, 16) * 5)
    ]
    pen.polygon(star, fill=255)
    span = min(4.7, 0.36 * len(name))
    font = _font(31 if len(name) < 15 else 25)
    for number, character in enumerate(name):
        angle = -span / 2 + span * number / max(1, len(name) - 1)
        cell = Image.new("L", (44, 44), 0)
        ImageDraw.Draw(cell).text((22, 22), character, 255, font, anchor="mm")
        cell = cell.rotate(-math.degrees(angle), Image.Resampling.BICUBIC)
        x, y = centre + 100 * math.sin(angle), centre - 100 * math.cos(angle)
        ink.paste(255, (int(x - 22), int(y - 22)), cell)
    ink = ink.rotate(dice.between(-14, 14), Image.Resampling.BICUBIC)
    patches = Image.new("L", (18, 18))
    patches.putdata([dice.whole(95, 235) for _ in range(18 * 18)])
    ink = ImageChops.multiply(ink, patches.resize((side, side), Image.Resampling.BICUBIC))
    seal = Image.new("RGB", (side, side), (255, 255, 255))
    seal.paste(_SEAL, (0, 0), ink)
    return seal


def _soft(generator: np.random.Generator, cells: int, low: int, high: int, size: tuple[int, int]) -> Image.Image:
    """Clouds: a coarse grid of random greys, drawn large."""
    grid = generator.integers(low, high, (cells, cells)).astype(np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def _stock(generator: np.random.Generator, dice: Dice) -> Image.Image:
    """The bare paper: warm white, cloudy, folded across the middle, sometimes with a coffee ring."""
    grey = _soft(generator, 14, 240, 253, (WIDTH, HEIGHT))
    rows = np.arange(HEIGHT, dtype=np.float32)
    fold = np.ones(HEIGHT, dtype=np.float32)
    for share in (1 / 3, 2 / 3) if dice.chance(0.6) else (0.5,):
        distance = rows - HEIGHT * (share + dice.between(-0.01, 0.01))
        fold -= 0.07 * np.exp(-np.square((distance - 7) / 9)) - 0.02 * np.exp(-np.square((distance + 6) / 8))
    shaded = Image.fromarray((np.asarray(grey) * np.minimum(fold, 1.0)[:, None]).astype(np.uint8))
    if dice.chance(0.2):
        ring = Image.new("L", shaded.size, 255)
        x, y, r = dice.whole(150, 1000), dice.whole(1100, 1600), dice.whole(70, 100)
        ImageDraw.Draw(ring).ellipse((x - r, y - r, x + r, y + r), outline=222, width=7)
        shaded = ImageChops.multiply(shaded, ring.filter(ImageFilter.GaussianBlur(3)))
    tint = Image.new("RGB", shaded.size, (255, dice.whole(250, 253), dice.whole(232, 243)))
    return ImageChops.multiply(Image.merge("RGB", (shaded,) * 3), tint)


def _on_desk(page: Image.Image, generator: np.random.Generator, dice: Dice) -> Image.Image:
    """The sheet lying on a desk, seen a little from the side and turned by up to two degrees."""
    grain = _soft(generator, 40, 60, 120, (40, HEIGHT)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    wood = dice.one(((1.0, 0.74, 0.5), (0.8, 0.82, 0.86), (0.62, 0.5, 0.42)))
    desk = Image.merge("RGB", [grain.point([int(v * share) for v in range(256)]) for share in wood])
    turn = math.radians(dice.between(0.5, 1.9) * dice.one((-1, 1)))
    corners = []
    for x, y in ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)):
        dx, dy = (x - WIDTH / 2) * 0.935, (y - HEIGHT / 2) * 0.945
        corners.append(
            (
                WIDTH / 2 + dx * math.cos(turn) - dy * math.sin(turn) + dice.between(-11, 11),
                HEIGHT / 2 + dx * math.sin(turn) + dy * math.cos(turn) + dice.between(-11, 11),
            )
        )
    plan = _perspective(corners)
    mask = Image.new("L", page.size, 255).transform(page.size, Image.Transform.PERSPECTIVE, plan)
    shadow = Image.new("L", page.size, 255)
    shadow.paste(105, (10, 12), mask)
    desk = ImageChops.multiply(desk, Image.merge("RGB", (shadow.filter(ImageFilter.GaussianBlur(9)),) * 3))
    seen = page.transform(page.size, Image.Transform.PERSPECTIVE, plan, Image.Resampling.BICUBIC)
    desk.paste(seen, (0, 0), mask)
    return desk


def _perspective(corners: list[tuple[float, float]]) -> list[float]:
    """The eight numbers of Pillow's perspective transform: from the picture's points back to the page's."""
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(number) for number in np.linalg.solve(np.array(rows), np.array(values, dtype=np.float64))]


def _light(size: tuple[int, int], dice: Dice) -> NDArray[np.float32]:
    """Brighter towards the lamp, darker at the edges, and a hand's shadow over one corner."""
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    angle = dice.between(0, 2 * math.pi)
    slope = dice.between(0.06, 0.13)
    light = 0.93 + slope * (math.cos(angle) * x + math.sin(angle) * y) - 0.05 * (x * x + y * y)
    cx, cy = dice.one((-1.1, 1.1)), dice.between(0.5, 1.2)
    light -= dice.between(0.05, 0.16) * np.exp(-(np.square((x - cx) / 0.6) + np.square((y - cy) / 0.5)))
    return light.astype(np.float32)
