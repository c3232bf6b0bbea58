"""Every query on templates."""

from __future__ import annotations

from typing import Any

from service.storage import Database, Index, UnitOfWork
from service.templates.model import TEMPLATES, Template, template_of

INDEXES = (Index(TEMPLATES, (("of", 1), ("key", 1), ("version", -1)), "templates_version", unique=True),)


class TemplateRepository:
    """Versions are inserted, never changed."""

    def __init__(self, database: Database) -> None:
        self._templates = database.collection(TEMPLATES)

    async def every(self) -> list[Template]:
        """All versions of all templates: there are few, and they are remembered."""
        return [template_of(d) for d in await self._templates.find({}, sort=[("of", 1), ("key", 1), ("version", 1)])]

    async def insert(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """A new version. Raises DuplicateKey when another was faster."""
        await unit.collection(TEMPLATES).insert_one(document)
