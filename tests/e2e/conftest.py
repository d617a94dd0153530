"""One environment for all end-to-end tests of a run: the same code that `make up` runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fluxless.kube.connect import ClusterConfig, connect
from tests.support.flux import Flux
from tests.support.hosted import Hosted, repository, tenant
from tests.support.insights import Insights
from tests.support.issuer import Issuer
from tests.support.repositories import Repo
from tools import environment


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hosted(workshop: Path) -> AsyncIterator[Hosted]:
    """The app, up and running; its timer fires every other second, so that tests need not wait half a minute."""
    folder = workshop / "e2e"
    issuer = Issuer()
    insights = Insights(workshop / "insights")
    await insights.start()
    extra = {"FLUXLESS_EVENTGRID_ISSUER": await issuer.start(), "FLUXLESS_EVENTGRID_AUDIENCE": "fluxless"}
    extra |= insights.environment
    patch = pytest.MonkeyPatch()
    patch.setenv("REQUESTS_CA_BUNDLE", insights.environment["REQUESTS_CA_BUNDLE"])  # what is set wins over settings
    env = await asyncio.to_thread(environment.up, folder, timer="*/2 * * * * *", extra=extra)
    cluster = await connect(ClusterConfig("dev", kubeconfig=str(env.kubeconfig)))
    yield Hosted(env, cluster, issuer, insights)
    await cluster.close()
    await asyncio.to_thread(environment.down, folder)
    await issuer.stop()
    await insights.stop()
    patch.undo()


@pytest_asyncio.fixture(loop_scope="session")
async def user(hosted: Hosted) -> AsyncIterator[Flux]:
    """The verbs of `Flux` without an engine: the app does the work."""
    async with tenant(hosted) as flux:
        yield flux


@pytest_asyncio.fixture(loop_scope="session")
async def pushed(hosted: Hosted, tmp_path: Path) -> Repo:
    """A repository on the Git server of the environment."""
    return repository(hosted, tmp_path)
