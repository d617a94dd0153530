"""Whose release it is: of a tenant, in another cluster, of a composed artifact, made by Helm before (HR-5, HR-11)."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.kube.door import Door, opened
from fluxless.render.helm import helm
from tests.support.charts import ChartServer, files_of
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.releases import API, CHART, RELEASE, put_release, records, the_release
from tests.support.repositories import Repo
from tools.devcluster import launcher

RBAC = "rbac.authorization.k8s.io"


async def _tenant(flux: Flux, role: str) -> None:
    where = {"name": "team", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where})
    body = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": where,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", **where}],
    }
    await flux.cluster.create(body)


async def _again(flux: Flux) -> None:
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)


async def test_a_tenant_releases_into_its_namespace_and_nowhere_else(flux: Flux, repository: ChartServer) -> None:
    await _tenant(flux, "admin")
    drift = {"mode": "enabled"}
    await put_release(flux, "web", serviceAccountName="team", driftDetection=drift)
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    await flux.patch("v1", "ConfigMap", "app", {"data": {"a": "theirs"}})
    await _again(flux)
    made = await flux.get("v1", "ConfigMap", "app")
    assert made is not None
    assert made["data"]["a"] == "1"
    await put_release(flux, "web", serviceAccountName="team", targetNamespace="default")
    await flux.run(patience=1)
    found = await the_release(flux)
    assert ready(found)[0] == "False"
    assert f"system:serviceaccount:{flux.namespace}:team" in message(found)
    assert await flux.get("v1", "ConfigMap", "default-app", "default") is None


async def test_a_tenant_without_rights_is_told(flux: Flux, repository: ChartServer) -> None:
    await put_release(flux, "web", serviceAccountName="nobody")
    await flux.run(patience=1)
    found = await the_release(flux)
    assert ready(found)[0] == "False"
    assert f"system:serviceaccount:{flux.namespace}:nobody" in message(found)
    assert await records(flux) == {}


@pytest.fixture(scope="module")
def second(workshop: Path) -> Iterator[Path]:
    """The kubeconfig of another control plane."""
    folder = workshop / "second-of-releases"
    yield launcher.start(folder, node=False)
    launcher.stop(folder)


@pytest_asyncio.fixture(loop_scope="session")
async def remote(second: Path, flux: Flux) -> AsyncIterator[Cluster]:
    """The other cluster, with a namespace of the test's name."""
    cluster = await connect(ClusterConfig("second", kubeconfig=str(second)))
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": flux.namespace}})
    yield cluster
    await cluster.close()


async def test_a_release_lives_in_another_cluster(
    flux: Flux, repository: ChartServer, remote: Cluster, second: Path
) -> None:
    """Objects and records are over there, the object here."""
    data = {"value": base64.b64encode(second.read_text().encode()).decode()}
    names = {"name": "there", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": data})
    spec: dict[str, Any] = {"kubeConfig": {"secretRef": {"name": "there"}}, "driftDetection": {"mode": "enabled"}}
    await put_release(flux, "web", **spec)
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    maps = await remote.resource("v1", "ConfigMap")
    made = await remote.get(maps, "app", flux.namespace)
    assert made is not None
    assert await flux.get("v1", "ConfigMap", "app") is None
    assert await records(flux) == {}
    await remote.patch(maps, "app", flux.namespace, body={"data": {"a": "theirs"}}, manager="kubectl-edit")
    await _again(flux)
    made = await remote.get(maps, "app", flux.namespace)
    assert made is not None
    assert made["data"]["a"] == "1"
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await remote.get(maps, "app", flux.namespace) is None
    secrets = await remote.list(await remote.resource("v1", "Secret"), flux.namespace, labels="owner=helm")
    assert secrets == []


async def test_a_release_of_a_composed_artifact(flux: Flux, repo: Repo) -> None:
    """HR-5: an ExternalArtifact, whose digest is in the version."""
    repo.push({f"charts/web/{path}": text for path, text in files_of("web", "0.1.0", CHART).items()})
    await flux.source(repo)
    spec = {
        "sources": [{"alias": "repo", "kind": "GitRepository", "name": "repo"}],
        "artifacts": [{"name": "chart", "copy": [{"from": "@repo/charts/web/**", "to": "@artifact/web/"}]}],
    }
    await flux.put("source.extensions.fluxcd.io/v1beta1", "ArtifactGenerator", "composed", spec)
    reference = {"kind": "ExternalArtifact", "name": "chart"}
    await flux.put(API, RELEASE, "app", {"interval": "10m", "chartRef": reference, "values": {"a": 3}})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    entry = found["status"]["history"][0]
    assert entry["chartVersion"].startswith("0.1.0+")
    assert entry["ociDigest"].partition(":")[2].startswith(entry["chartVersion"].partition("+")[2])


@pytest.mark.parametrize("mode", ["disabled", "warn"])
async def test_what_helm_has_made_is_adopted_as_it_is(
    flux: Flux, repository: ChartServer, tmp_path: Path, mode: str
) -> None:
    """Flux upgrades it (HR-62); where it is what is wanted already, there is nothing to upgrade."""
    async with opened(flux.cluster, Door("helm", flux.namespace, flux.namespace)) as door:
        flags = [f"--repo={repository.url}", "--version=1.0.0"]
        await helm("install", ["app", "web"], door, flux.namespace, timeout=30, flags=flags, values={"a": 5})
    before = await flux.get("v1", "ConfigMap", "app")
    await put_release(flux, "web", values={"a": 5}, driftDetection={"mode": mode})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert message(found).endswith("is adopted as it is")
    assert await records(flux) == {1: "deployed"}
    assert await flux.get("v1", "ConfigMap", "app") == before
    assert "ConfigMap" not in message(found, "Drifted")
    await put_release(flux, "web", values={"a": 6}, driftDetection={"mode": mode})
    await flux.run(patience=5)
    assert await records(flux) == {1: "superseded", 2: "deployed"}


async def test_a_release_of_the_oldest_version_works_as_it_is_written(flux: Flux, repository: ChartServer) -> None:
    """As in the document that the product is built from."""
    text = f"""
apiVersion: helm.toolkit.fluxcd.io/v2beta1
kind: HelmRelease
metadata: {{name: app, namespace: {flux.namespace}}}
spec:
  interval: 5m
  chart:
    spec:
      chart: web
      version: "1.x"
      sourceRef: {{kind: HelmRepository, name: repo, namespace: {flux.namespace}}}
  values: {{a: 4}}
  install: {{remediation: {{retries: 3}}}}
"""
    body: dict[str, Any] = yaml.safe_load(text)
    await flux.cluster.apply(body, manager="user")
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    assert await flux.get(SOURCE, "HelmChart", f"{flux.namespace}-app") is not None
