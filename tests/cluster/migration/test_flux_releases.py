"""A release changes over from Flux's helm-controller and back: no upgrade, no new record, nothing is written."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless.cli.takeover import forget_artifacts
from fluxless.helm.release import stamp_of
from tests.support.charts import ChartServer, packed
from tests.support.flux import SOURCE as API
from tests.support.flux import Flux, message, ready
from tests.support.hosted import until
from tests.support.releases import CHART, RELEASE, put_release, the_release
from tools.controllers import HELM, SOURCE, Controllers, define_other_kinds, missing


@pytest.fixture
def controllers(tmp_path: Path, control_plane: Path, namespace: str) -> Iterator[Controllers]:
    if absent := missing(SOURCE, HELM):
        pytest.skip(f"{' and '.join(absent)} name no binaries")
    both = Controllers(tmp_path / "controllers", control_plane, namespace=namespace, names=(SOURCE, HELM))
    yield both
    both.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def charts(flux: Flux) -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    server.add("web", "1.0.0", packed("web", "1.0.0", CHART))
    await flux.put(API, "HelmRepository", "repo", {"interval": "10m", "url": server.url})
    yield server
    await server.stop()


async def _settled(flux: Flux) -> bool:
    """Whether every request is handled, and the release is ready."""
    for kind, name in (("HelmRepository", "repo"), (RELEASE, "app")):
        found = await flux.source_of(kind, name)
        wanted = (found["metadata"].get("annotations") or {}).get("reconcile.fluxcd.io/requestedAt")
        if (found.get("status") or {}).get("lastHandledReconcileAt") != wanted or ready(found)[0] != "True":
            return False
    return True


async def _left(flux: Flux) -> dict[str, Any]:
    """Helm's records with their versions, the object, and the history in the status."""
    secrets = await flux.cluster.list(await flux.cluster.resource("v1", "Secret"), flux.namespace, labels="owner=helm")
    made = await flux.get("v1", "ConfigMap", "app")
    assert made is not None
    return {
        "records": {secret["metadata"]["name"]: stamp_of(secret) for secret in secrets},
        "object": stamp_of(made),
        "history": (await the_release(flux))["status"]["history"],
        "inventory": (await the_release(flux))["status"]["inventory"],
    }


@pytest.mark.parametrize("mode", ["disabled", "enabled"])
async def test_there_and_back(flux: Flux, charts: ChartServer, controllers: Controllers, mode: str) -> None:
    await define_other_kinds(flux.cluster)
    await put_release(flux, "web", values={"a": 7}, driftDetection={"mode": mode}, install={"crds": "Skip"})
    await asyncio.to_thread(controllers.start)
    await until(lambda: _settled(flux), "the release by helm-controller")
    await asyncio.to_thread(controllers.stop)
    before = await _left(flux)
    assert list(before["records"]) == ["sh.helm.release.v1.app.v1"]

    await flux.request("HelmRepository", "repo")
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    assert await _left(flux) == before

    await forget_artifacts(flux.cluster, flux.namespace)
    await asyncio.to_thread(controllers.start)
    await flux.request("HelmRepository", "repo")
    await flux.request(RELEASE, "app")
    await until(lambda: _settled(flux), "the release to be given back")
    assert await _left(flux) == before
