"""One bench for each engine, for the whole of this suite."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from infra.local import Endpoints
from tests.fixtures.engines import ElasticsearchServer
from tests.proof.proving import Bench


@pytest.fixture(scope="session")
def bench(mongo_server: str, s3_server: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Worlds on the embedded engine."""
    made = Bench(tmp_path_factory.mktemp("proof"), mongo_server, s3_server)
    yield made
    made.close()


@pytest.fixture(scope="session")
def elastic_bench(
    mongo_server: str,
    s3_server: Endpoints,
    elasticsearch_url: ElasticsearchServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    """Worlds on Elasticsearch."""
    made = Bench(tmp_path_factory.mktemp("proof"), mongo_server, s3_server, elasticsearch_url.url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Refusals by the thousand are what is asked for here; the log need not tell each."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
