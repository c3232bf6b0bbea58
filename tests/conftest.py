"""Fixtures for everything: real servers, a database per test, and a company that works on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.storage import Database, open_database

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.engines",
    "tests.fixtures.vault",
    "tests.fixtures.company",
    "tests.fixtures.policy_company",
    "tests.scenarios.files_world",
]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which servers and versions are used."""
    # Imported late: plugins are rewritten for readable assertions only when they are not loaded before.
    from importlib.metadata import version

    from tests.fixtures.engines import engines_report_header
    from tests.fixtures.servers import servers_report_header

    provider = f"OpenID Connect provider: oidc-provider-mock {version('oidc-provider-mock')}"
    return [*servers_report_header(), *engines_report_header(), provider]


@pytest.fixture(params=["pymongo"])
def driver(request: pytest.FixtureRequest) -> str:
    """Which driver; contract suites override it with both."""
    return str(request.param)


@pytest_asyncio.fixture
async def database(mongo_server: str, mongo_database_name: str, driver: str) -> AsyncIterator[Database]:
    """An open database of the test's own."""
    opened = open_database(mongo_server, mongo_database_name, driver)  # type: ignore[arg-type]
    yield opened
    await opened.close()
