"""`fluxless install` where Flux's controllers run, `--take-over`, and `give-back`, on a control plane of its own."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.directory import DirectoryStore
from fluxless.cli.install import definitions
from fluxless.engine.engine import Engine
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.kube.errors import NoSuchKind, NotFound
from fluxless.kube.resource import Resource
from fluxless.reconcile.services import Services
from tests.support.command import fluxless
from tests.support.flux import Flux, message, ready
from tests.support.hosted import until
from tests.support.repositories import Repo, deployment
from tools.devcluster import launcher

PLACE = "flux-system"
CRD = "apiextensions.k8s.io/v1"
DONE_HERE = ("source-controller", "kustomize-controller", "notification-controller", "helm-controller")
RUNNING = dict.fromkeys((*DONE_HERE, "image-reflector-controller"), 1)
STOPPED = dict.fromkeys(DONE_HERE, 0) | {"image-reflector-controller": 1}


@pytest.fixture(scope="module")
def plane(workshop: Path) -> Iterator[Path]:
    folder = workshop / "taken-over"
    yield launcher.start(folder)
    launcher.stop(folder)


@pytest_asyncio.fixture(loop_scope="session")
async def theirs(plane: Path) -> AsyncIterator[Cluster]:
    """A cluster with Flux's definitions and its controllers, as `flux install` leaves them."""
    cluster = await connect(ClusterConfig("theirs", kubeconfig=str(plane)))
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}, manager="flux")
    for definition in definitions().values():
        await cluster.apply(_theirs(definition), manager="flux")
    for name in RUNNING:
        await cluster.apply(_controller(name), manager="flux")
    for name in RUNNING:
        await until(partial(_is_ready, cluster, name), name)
    yield cluster
    resource = await cluster.resource(CRD, "CustomResourceDefinition")
    for found in await cluster.list(resource):
        await _empty(cluster, found["spec"])
        await cluster.delete(resource, found["metadata"]["name"])
    await until(partial(_is_empty, cluster, resource), "the definitions to be gone", 180.0)
    resource = await cluster.resource("apps/v1", "Deployment")
    for found in await cluster.list(resource, PLACE):
        await cluster.delete(resource, found["metadata"]["name"], PLACE)
    await cluster.close()


async def _empty(cluster: Cluster, spec: dict[str, Any]) -> None:
    """A definition that still has objects is slow to go."""
    with contextlib.suppress(NoSuchKind):
        resource = await cluster.resource(f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"])
        for obj in await cluster.list(resource):
            await cluster.delete(resource, obj["metadata"]["name"], obj["metadata"]["namespace"])


def _theirs(definition: dict[str, Any]) -> dict[str, Any]:
    """Recognisably not ours."""
    metadata = {"name": definition["metadata"]["name"], "labels": {"app.kubernetes.io/part-of": "flux"}}
    versions = [version for version in definition["spec"]["versions"] if version["storage"]]
    return definition | {"metadata": metadata, "spec": definition["spec"] | {"versions": versions}}


def _controller(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(deployment(name))
    labels = {"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/component": name}
    return found | {"metadata": {"name": name, "namespace": PLACE, "labels": labels}}


async def _deployment(cluster: Cluster, name: str) -> dict[str, Any]:
    found = await cluster.get(await cluster.resource("apps/v1", "Deployment"), name, PLACE)
    assert found is not None
    return found


async def _is_ready(cluster: Cluster, name: str) -> bool:
    status = (await _deployment(cluster, name)).get("status") or {}
    return bool(status.get("readyReplicas") == 1)


async def _is_empty(cluster: Cluster, resource: Resource) -> bool:
    return not await cluster.list(resource)


async def _serves(cluster: Cluster, obj: dict[str, Any]) -> bool:
    """Whether an object of a kind that was just defined can be made."""
    try:
        await cluster.apply(obj, manager="flux")
    except (NoSuchKind, NotFound):
        return False
    return True


async def _replicas(cluster: Cluster) -> dict[str, int]:
    found = await cluster.list(await cluster.resource("apps/v1", "Deployment"), PLACE)
    return {deployment["metadata"]["name"]: deployment["spec"]["replicas"] for deployment in found}


async def _definition(cluster: Cluster, name: str) -> dict[str, Any]:
    found = await cluster.get(await cluster.resource(CRD, "CustomResourceDefinition"), name)
    assert found is not None
    return found


async def _versions(cluster: Cluster) -> dict[str, list[str]]:
    return {
        name: [version["name"] for version in (await _definition(cluster, name))["spec"]["versions"]]
        for name in definitions()
    }


async def test_a_cluster_where_controllers_run_is_refused(theirs: Cluster, plane: Path) -> None:
    before = await _versions(theirs)
    done = fluxless(plane, "install")
    assert done.returncode == 1
    assert (
        "Flux's controllers run in this cluster (flux-system/helm-controller, flux-system/kustomize-controller"
        in done.stderr
    )
    assert "let `fluxless install --take-over` do it" in done.stderr
    assert await _versions(theirs) == before
    assert await _replicas(theirs) == RUNNING


async def test_there_and_back(theirs: Cluster, plane: Path) -> None:
    done = fluxless(plane, "install", "--take-over")
    assert done.returncode == 0, done.stderr
    assert "flux-system/source-controller has stopped" in done.stdout
    assert await _replicas(theirs) == STOPPED
    assert await _versions(theirs) == {
        name: [version["name"] for version in definition["spec"]["versions"]]
        for name, definition in definitions().items()
    }
    again = fluxless(plane, "install")
    assert again.returncode == 0, again.stderr
    for name in definitions():
        notes = (await _definition(theirs, name))["metadata"]["annotations"]
        assert notes["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled"

    back = fluxless(plane, "give-back")
    assert back.returncode == 0, back.stderr
    assert await _replicas(theirs) == RUNNING
    for name in ("source-controller", "kustomize-controller", "notification-controller"):
        assert "fluxless.dev/replicas" not in (await _deployment(theirs, name))["metadata"].get("annotations", {})
    once_more = fluxless(plane, "give-back")
    assert once_more.returncode == 1
    assert "no controller was stopped by a takeover here" in once_more.stderr


async def test_a_takeover_that_fails_is_undone(theirs: Cluster, plane: Path) -> None:
    name = "kustomizations.kustomize.toolkit.fluxcd.io"
    resource = await theirs.resource(CRD, "CustomResourceDefinition")
    live = await _definition(theirs, name)
    versions = live["spec"]["versions"]
    unknown = {**versions[0], "name": "v9", "storage": True}
    body = {"spec": {"versions": [{**versions[0], "storage": False}, unknown]}}
    await theirs.patch(resource, name, body=body)  # the API server refuses definitions that drop a stored version
    before = await _versions(theirs)
    done = fluxless(plane, "install", "--take-over")
    assert done.returncode == 1
    assert "removes v9 from status.storedVersions" in done.stderr
    assert "everything is put back" in done.stdout
    assert await _replicas(theirs) == RUNNING
    assert await _versions(theirs) == before
    assert "annotations" not in (await _definition(theirs, name))["metadata"]


async def test_objects_that_would_stand_still_are_named(theirs: Cluster, plane: Path) -> None:
    await theirs.apply(_any("alerts.notification.toolkit.fluxcd.io", "Alert", "v1beta3"), manager="flux")
    names = {"name": "b", "namespace": PLACE}
    alert = {"apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Alert", "metadata": names}
    await until(partial(_serves, theirs, alert), "the kind to be served")
    done = fluxless(plane, "install", "--take-over")
    assert done.returncode == 1
    assert "does not reconcile 1 Alert: they would come to a standstill" in done.stderr
    assert await _replicas(theirs) == RUNNING
    assert fluxless(plane, "install", "--take-over", "--leave-behind").returncode == 0
    assert await _replicas(theirs) == STOPPED


async def test_whoever_keeps_the_controllers_running_is_named(theirs: Cluster, plane: Path) -> None:
    await theirs.apply(_any("fluxinstances.fluxcd.controlplane.io", "FluxInstance"), manager="flux")
    names = {"name": "flux", "namespace": PLACE}
    instance = {"apiVersion": "fluxcd.controlplane.io/v1", "kind": "FluxInstance", "metadata": names}
    await until(partial(_serves, theirs, instance), "the kind to be served")
    done = fluxless(plane, "install", "--take-over")
    assert done.returncode == 1
    assert "FluxInstance/flux would start Flux's controllers again" in done.stderr


def _any(name: str, kind: str, version: str = "v1") -> dict[str, Any]:
    plural, _, group = name.partition(".")
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": versions}
    return {"apiVersion": CRD, "kind": "CustomResourceDefinition", "metadata": {"name": name}, "spec": spec}


async def test_what_bootstrap_has_put_into_git_does_not_bring_the_controllers_back(
    theirs: Cluster, plane: Path, repo: Repo, tmp_path: Path
) -> None:
    """A cluster of `flux bootstrap` applies its own controllers and definitions by a Kustomization."""
    components = [
        *map(_theirs, definitions().values()),
        *map(_controller, ("source-controller", "kustomize-controller")),
    ]
    repo.push({"flux-system/gotk-components.yaml": yaml.safe_dump_all(components)})
    assert fluxless(plane, "install", "--take-over").returncode == 0
    store = DirectoryStore(tmp_path / "store")
    services = Services(store, ArtifactCache(store, tmp_path / "cache"))
    engine = Engine({"test": ClusterConfig("test", kubeconfig=str(plane))}, services)
    flux = Flux(engine, theirs, PLACE, store)
    try:
        await flux.source(repo)
        await flux.kustomization("app", targetNamespace=None, path="./flux-system")
        await flux.run()
        assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
        assert await _replicas(theirs) == STOPPED
        assert await _versions(theirs) == {
            name: [version["name"] for version in definition["spec"]["versions"]]
            for name, definition in definitions().items()
        }
    finally:
        await flux.clean()
        await engine.close()
