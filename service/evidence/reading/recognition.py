"""Optical recognition of Chinese and English, and the order in which its lines are read. Child side only."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

from service.evidence.reading.model import Box

LONGEST_SIDE: Final = 2400
"""Pixels. A4 at 200 dpi; the models find no more text in a larger picture and take longer over it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One recognised line fragment: its four corners (clockwise from top left) in pixels."""

    corners: tuple[tuple[float, float], ...]
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Recognised:
    """Text in reading order, its boxes, and the mean confidence weighted by length (1 for an empty page)."""

    text: str
    boxes: list[Box]
    confidence: float


class Recogniser:
    """RapidOCR with the models that its package carries. Loads on first use, never downloads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._engine: Any = None

    def recognise(self, picture: Any) -> Recognised:
        """Read an array of shape (height, width, 3), BGR, 8 bits a channel.

        Raises ImportError or FileNotFoundError when the engine or its models are not installed.
        """
        height, width = picture.shape[:2]
        if min(height, width) < 8:
            return Recognised("", [], 1.0)
        if self._engine is None:
            self._engine = self._load()
        found = self._engine(picture)
        if not found.txts:
            return Recognised("", [], 1.0)
        pieces = [
            Piece(tuple((float(x), float(y)) for x, y in corners), text, min(1.0, max(0.0, float(score))))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        ]
        return in_reading_order(pieces, width, height)

    def _load(self) -> Any:
        rapidocr: Any = import_module("rapidocr")
        models = Path(rapidocr.__file__).parent / "models"
        # Given as paths: then the package neither makes folders nor looks for anything to download.
        paths = {
            "Det.model_path": models / "PP-OCRv6_det_small.onnx",
            "Cls.model_path": models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
            "Rec.model_path": models / "PP-OCRv6_rec_small.onnx",
        }
        for path in paths.values():
            if not path.is_file():
                raise FileNotFoundError(path.name)
        return rapidocr.RapidOCR(
            params={
                **{key: str(path) for key, path in paths.items()},
                "Global.log_level": "critical",
                "Global.max_side_len": LONGEST_SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )


def in_reading_order(pieces: Sequence[Piece], width: int, height: int) -> Recognised:
    """Rows from top to bottom, pieces of a row from left to right, along the lines' own slant.

    A row becomes one line of text. Pieces of a row are joined by a space, except where a Chinese word
    merely fell into two pieces. `width` and `height` are the picture's, in pixels.
    """
    if not pieces:
        return Recognised("", [], 1.0)
    slant = _slant(pieces)
    rows = _rows([_level(piece, slant) for piece in pieces])
    ordered = [level.piece for row in rows for level in row]
    letters = sum(len(piece.text) for piece in ordered)
    confidence = sum(piece.confidence * len(piece.text) for piece in ordered) / max(letters, 1)
    return Recognised(
        "\n".join(_joined(row) for row in rows), [_box(piece, width, height) for piece in ordered], confidence
    )


@dataclass(frozen=True, slots=True)
class _Level:
    """A piece turned so that its line is horizontal."""

    piece: Piece
    left: float
    right: float
    middle: float
    height: float


def _slant(pieces: Sequence[Piece]) -> float:
    """The lines' angle in radians, from the pieces long enough to show one."""
    angles = []
    for piece in pieces:
        (x0, y0), (x1, y1), _, (x3, y3) = piece.corners
        along, across = math.dist((x0, y0), (x1, y1)), math.dist((x0, y0), (x3, y3))
        if along > 3 * across:
            angles.append(math.atan2(y1 - y0, x1 - x0))
    return median(angles) if angles else 0.0


def _level(piece: Piece, slant: float) -> _Level:
    cosine, sine = math.cos(-slant), math.sin(-slant)
    turned = [(x * cosine - y * sine, x * sine + y * cosine) for x, y in piece.corners]
    xs, ys = [x for x, _ in turned], [y for _, y in turned]
    return _Level(piece, min(xs), max(xs), sum(ys) / len(ys), max(max(ys) - min(ys), 1.0))


def _rows(levels: list[_Level]) -> list[list[_Level]]:
    rows: list[list[_Level]] = []
    for level in sorted(levels, key=lambda level: level.middle):
        if rows:
            last = rows[-1]
            middle = sum(other.middle for other in last) / len(last)
            if abs(level.middle - middle) < 0.5 * min(level.height, last[0].height):
                last.append(level)
                continue
        rows.append([level])
    return [sorted(row, key=lambda level: level.left) for row in rows]


def _joined(row: list[_Level]) -> str:
    text = row[0].piece.text
    for before, after in pairwise(row):
        is_one_word = (
            after.left - before.right < 0.6 * min(before.height, after.height)
            and _is_wide(text[-1:])
            and _is_wide(after.piece.text[:1])
        )
        text += after.piece.text if is_one_word else f" {after.piece.text}"
    return text


def _is_wide(letter: str) -> bool:
    return bool(letter) and unicodedata.east_asian_width(letter) in "WF"


def _box(piece: Piece, width: int, height: int) -> Box:
    xs = [min(1.0, max(0.0, x / width)) for x, _ in piece.corners]
    ys = [min(1.0, max(0.0, y / height)) for _, y in piece.corners]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys), piece.text, piece.confidence)
