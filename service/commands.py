"""What all commands share: the settings of a running system, its parts for the length of a command, its log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import structlog

from service.config import Settings

T = TypeVar("T")


def settings_of_running(data_dir: Path | None = None) -> Settings:
    """Settings, completed by what a running `anjuan up` of this data directory wrote down for its own commands."""
    from infra.running import running_environment  # noqa: PLC0415 - only the command line knows infra

    settings = Settings.read() if data_dir is None else Settings.read(data_dir=data_dir)
    found = running_environment(settings.data_dir)
    return settings.model_copy(update={k: v for k, v in found.items() if k not in settings.model_fields_set})


def with_system(settings: Settings, use: Callable[..., Awaitable[T]], *, verified: bool = True) -> T:
    """`verified`: only on a database of this program's format, with its keyring; `use` asks for itself otherwise."""
    from service.system import open_system  # noqa: PLC0415

    async def run() -> T:
        system = open_system(settings)
        try:
            if verified:
                await system.installation.verify(system.keyring)
            return await use(system)
        finally:
            await system.close()

    return asyncio.run(run())


def log_as_json() -> None:
    """One JSON object a line, on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def set_log_level(settings: Settings) -> None:
    """Nothing below `ANJUAN_LOG_LEVEL` is logged."""
    level = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}.get(settings.log_level.upper(), 20)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
