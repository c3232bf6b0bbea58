"""Reads the demo's texts, which stand beside the code as TOML in UTF-8."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def read_toml(name: str) -> dict[str, Any]:
    """A file of this package, by its path inside it."""
    return tomllib.loads(files("infra.demo").joinpath(name).read_text("utf-8"))


def read_bytes(name: str) -> bytes:
    """A binary file of this package, by its path inside it."""
    return files("infra.demo").joinpath(name).read_bytes()
