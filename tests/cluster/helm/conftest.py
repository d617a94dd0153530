"""Repositories of charts for tests of releases."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.charts import ChartServer, packed
from tests.support.flux import SOURCE, Flux
from tests.support.releases import CHART, DEPLOYMENT, REJECTED


@pytest_asyncio.fixture(loop_scope="session")
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    server.add("web", "1.0.0", packed("web", "1.0.0", CHART))
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def repository(flux: Flux, charts: ChartServer) -> ChartServer:
    """The HelmRepository `repo`, with a chart of a ConfigMap that may be refused, and one of a Deployment."""
    charts.add(
        "named", "1.0.0", packed("named", "1.0.0", {"templates/x.yaml": REJECTED, "values.yaml": "name: good\n"})
    )
    charts.add(
        "deployed", "1.0.0", packed("deployed", "1.0.0", {"templates/x.yaml": DEPLOYMENT, "values.yaml": "tag: a\n"})
    )
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    return charts
