"""The HelmChart that is made for a release goes when something else takes its place (HR-70)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless.kube.errors import NotFound
from fluxless.oci import media
from tests.support.charts import ChartServer, packed, push_chart
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.registry import Images
from tests.support.releases import API, CHART, RELEASE, put_release, the_release

pytestmark = pytest.mark.cluster


async def _chart(flux: Flux, namespace: str = "") -> dict[str, Any] | None:
    return await flux.get(SOURCE, "HelmChart", f"{flux.namespace}-app", namespace or flux.namespace)


async def _released(flux: Flux) -> dict[str, Any]:
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found)[0] == "True", message(found)
    return found


async def _refer(flux: Flux, kind: str, name: str) -> None:
    """Give the release a `chartRef` in the place of its `chart`."""
    spec = {"chart": None, "chartRef": {"kind": kind, "name": name}}
    await flux.patch(API, RELEASE, "app", {"spec": spec})


async def test_a_reference_takes_the_place_of_a_made_chart(
    flux: Flux, repository: ChartServer, images: Images, tmp_path: Path
) -> None:
    await put_release(flux, "web")
    assert (await _released(flux))["status"]["helmChart"] == f"{flux.namespace}/{flux.namespace}-app"
    await push_chart(images, tmp_path, "web", "1.2.3", packed("web", "1.2.3", CHART))
    below = Images(images.repository.host, f"{images.repository.path}/web")
    selector = {"mediaType": media.HELM_CHART, "operation": "copy"}
    await flux.oci(below, ref={"tag": "1.2.3"}, layerSelector=selector)
    await _refer(flux, "OCIRepository", "repo")
    found = await _released(flux)
    assert found["status"]["history"][0]["chartVersion"].startswith("1.2.3+")
    assert "helmChart" not in found["status"]
    assert await _chart(flux) is None
    assert [event["message"] for event in await flux.events("app") if event["reason"] == "HelmChartDeleted"] == [
        f"Deleted HelmChart/{flux.namespace}/{flux.namespace}-app"
    ]


async def test_a_made_chart_that_is_referred_to_stays(flux: Flux, repository: ChartServer) -> None:
    await put_release(flux, "web")
    await _released(flux)
    await _refer(flux, "HelmChart", f"{flux.namespace}-app")
    assert "helmChart" not in (await _released(flux))["status"]
    assert await _chart(flux) is not None


async def test_a_chart_of_somebody_else_stays_whatever_the_status_says(flux: Flux, repository: ChartServer) -> None:
    await put_release(flux, "web")
    await _released(flux)
    source = {"kind": "HelmRepository", "name": "repo"}
    await flux.put(SOURCE, "HelmChart", "theirs", {"interval": "10m", "chart": "web", "sourceRef": source})
    resource = await flux.cluster.resource(API, RELEASE)
    body = {"status": {"helmChart": f"{flux.namespace}/theirs"}}
    await flux.cluster.patch(resource, "app", flux.namespace, body=body, subresource="status")
    await flux.request(RELEASE, "app")
    assert (await _released(flux))["status"]["helmChart"] == f"{flux.namespace}/{flux.namespace}-app"
    assert await flux.get(SOURCE, "HelmChart", "theirs") is not None


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere(flux: Flux, repository: ChartServer) -> AsyncIterator[str]:
    """Another namespace, with the HelmRepository `repo`."""
    name, repositories = f"{flux.namespace}-x", await flux.cluster.resource(SOURCE, "HelmRepository")
    namespaces = await flux.cluster.resource("v1", "Namespace")
    await flux.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    metadata = {"name": "repo", "namespace": name}
    body = {"apiVersion": SOURCE, "kind": "HelmRepository", "metadata": metadata}
    await flux.cluster.apply({**body, "spec": {"interval": "10m", "url": repository.url}}, manager="user")
    yield name
    for kind, left in (("HelmChart", f"{flux.namespace}-app"), ("HelmRepository", "repo")):
        resource = await flux.cluster.resource(SOURCE, kind) if kind == "HelmChart" else repositories
        if await flux.cluster.delete(resource, left, name):
            try:
                await flux.cluster.patch(resource, left, name, body={"metadata": {"finalizers": None}})
            except NotFound:
                continue
    await flux.cluster.delete(namespaces, name)


async def test_a_source_of_another_namespace_takes_the_chart_along(flux: Flux, elsewhere: str) -> None:
    await put_release(flux, "web")
    await _released(flux)
    moved = {"chart": {"spec": {"sourceRef": {"namespace": elsewhere}}}}
    await flux.patch(API, RELEASE, "app", {"spec": moved})
    assert (await _released(flux))["status"]["helmChart"] == f"{elsewhere}/{flux.namespace}-app"
    assert await _chart(flux) is None
    assert await _chart(flux, elsewhere) is not None
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await _chart(flux, elsewhere) is None


async def test_a_release_that_is_deleted_before_the_change_is_seen_leaves_no_chart(
    flux: Flux, repository: ChartServer
) -> None:
    await put_release(flux, "web")
    await _released(flux)
    await _refer(flux, "HelmChart", "none")
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await flux.get(API, RELEASE, "app") is None
    assert await _chart(flux) is None
