"""HelmRelease with the real helm on a real API server (HR rows)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fluxless.helm.release import read
from tests.support.charts import ChartServer, packed
from tests.support.flux import SOURCE, Flux, Obj, message, ready

pytestmark = pytest.mark.cluster
API, RELEASE = "helm.toolkit.fluxcd.io/v2", "HelmRelease"
TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  a: "{{ .Values.a }}"
  namespace: {{ .Release.Namespace }}
"""
CHART = {"templates/x.yaml": TEMPLATE}


@pytest_asyncio.fixture(loop_scope="session")
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    server.add("web", "1.0.0", packed("web", "1.0.0", CHART))
    yield server
    await server.stop()


async def _release(flux: Flux, name: str = "app", version: str = "1.x", **spec: Any) -> None:
    source = {"kind": "HelmRepository", "name": "repo"}
    chart = {"spec": {"chart": "web", "version": version, "sourceRef": source}}
    await flux.put(API, RELEASE, name, {"interval": "10m", "chart": chart, **spec})


async def _records(flux: Flux, name: str = "app") -> dict[int, str]:
    resource = await flux.cluster.resource("v1", "Secret")
    found = await flux.cluster.list(resource, flux.namespace, labels=f"owner=helm,name={name}")
    return {one.version: one.status for one in map(read, found)}


async def _the(flux: Flux, name: str = "app") -> Obj:
    return await flux.source_of(RELEASE, name)


async def test_a_chart_is_released_upgraded_and_uninstalled(flux: Flux, charts: ChartServer) -> None:
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await _release(flux, values={"a": 7})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    text = f"Helm install succeeded for release {flux.namespace}/app.v1 with chart web@1.0.0"
    assert message(found) == message(found, "Released") == text
    assert (await flux.get("v1", "ConfigMap", "app"))["data"] == {"a": "7", "namespace": flux.namespace}  # type: ignore[index]
    status = found["status"]
    assert status["helmChart"] == f"{flux.namespace}/{flux.namespace}-app"
    assert status["history"][0]["status"] == "deployed"
    assert status["inventory"]["entries"] == [{"id": f"{flux.namespace}_app__ConfigMap", "v": "v1"}]
    assert await _records(flux) == {1: "deployed"}

    before = found
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    after = await _the(flux)
    assert after["status"]["history"] == before["status"]["history"]

    await _release(flux, values={"a": 8})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "8"  # type: ignore[index]
    assert [entry["version"] for entry in found["status"]["history"]] == [2, 1]
    assert await _records(flux) == {1: "superseded", 2: "deployed"}

    charts.add("web", "1.1.0", packed("web", "1.1.0", CHART))
    await flux.request("HelmRepository", "repo")
    await flux.run(patience=5)
    assert (await _the(flux))["status"]["lastAttemptedRevision"] == "1.1.0"

    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await flux.get(API, RELEASE, "app") is None
    assert await flux.get("v1", "ConfigMap", "app") is None
    assert await _records(flux) == {}
    assert await flux.get(SOURCE, "HelmChart", f"{flux.namespace}-app") is None
