"""One environment for all end-to-end tests of a run: the same code that `make up` runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from fluxless.kube.connect import ClusterConfig, connect
from tests.support.flux import Flux
from tests.support.hosted import Hosted
from tests.support.insights import Insights
from tests.support.issuer import Issuer
from tests.support.repositories import Repo
from tools import environment
from tools.gitserver import GitServer


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
    name = f"e-{uuid4().hex[:8]}"
    await hosted.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    flux = Flux(None, hosted.cluster, name, None)  # type: ignore[arg-type] -- nobody asks for engine or store
    yield flux
    await flux.check()
    await flux.clean()
    await hosted.cluster.delete(await hosted.cluster.resource("v1", "Namespace"), name)


@pytest_asyncio.fixture(loop_scope="session")
async def pushed(hosted: Hosted, tmp_path: Path) -> Repo:
    """A repository on the Git server of the environment."""
    server = GitServer(hosted.env.git_root)
    server.url = hosted.env.git_url
    return Repo(server, tmp_path, f"r-{uuid4().hex[:8]}")
