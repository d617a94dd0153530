"""A real API server takes the CRDs, fills in Flux's defaults and refuses what Flux refuses."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import yaml

from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.kube.errors import Invalid
from tools.crds import texts

GROUPS = {"GitRepository": "source.toolkit.fluxcd.io", "Kustomization": "kustomize.toolkit.fluxcd.io"}
MINIMAL: dict[str, dict[str, Any]] = {
    "GitRepository": {"url": "https://example.org/a.git", "interval": "1m"},
    "Kustomization": {"interval": "1m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "a"}},
}


class Room:
    """A namespace of one test run, and objects in it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def create(self, kind: str, fields: dict[str, Any], version: str = "v1") -> dict[str, Any]:
        """Write it in a version, read it as v1."""
        name = f"a-{uuid4().hex[:8]}"
        await self.cluster.create(
            {
                "apiVersion": f"{GROUPS[kind]}/{version}",
                "kind": kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {**MINIMAL[kind], **fields},
            }
        )
        found = await self.cluster.get(await self.cluster.resource(f"{GROUPS[kind]}/v1", kind), name, self.namespace)
        assert found is not None
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def room(control_plane: Path) -> AsyncIterator[Room]:
    cluster = await connect(ClusterConfig("crds", kubeconfig=str(control_plane)))
    namespace = f"crds-{uuid4().hex[:8]}"
    for content in texts().values():
        await cluster.apply(yaml.safe_load(content), manager="crd-test")
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for content in texts().values():
        await _established(cluster, yaml.safe_load(content)["metadata"]["name"])
    yield Room(cluster, namespace)
    for kind, group in GROUPS.items():  # the engines of other tests would find them, and ask their remotes
        resource = await cluster.resource(f"{group}/v1", kind)
        for obj in await cluster.list(resource, namespace):
            await cluster.delete(resource, obj["metadata"]["name"], namespace)
    await cluster.delete(await cluster.resource("v1", "Namespace"), namespace)
    await cluster.close()


async def _established(cluster: Cluster, name: str) -> None:
    resource = await cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    for _ in range(100):
        found = await cluster.get(resource, name) or {}
        conditions = {entry["type"]: entry for entry in found.get("status", {}).get("conditions", [])}
        assert "NonStructuralSchema" not in conditions, conditions["NonStructuralSchema"]["message"]
        if conditions.get("Established", {}).get("status") == "True":
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{name} is not established")


@pytest.mark.parametrize(
    ("kind", "defaults"), [("GitRepository", {"timeout": "60s"}), ("Kustomization", {"force": False})]
)
async def test_defaults_are_filled_in(room: Room, kind: str, defaults: dict[str, Any]) -> None:
    found = await room.create(kind, {})
    assert found["spec"] == MINIMAL[kind] | defaults
    assert found["status"] == {"observedGeneration": -1}


async def test_defaults_of_nested_fields_are_filled_in(room: Room) -> None:
    git = await room.create("GitRepository", {"verify": {"secretRef": {"name": "keys"}}})
    assert git["spec"]["verify"]["mode"] == "HEAD"
    source = {"kind": "ConfigMap", "name": "vars"}
    kustomization = await room.create("Kustomization", {"postBuild": {"substituteFrom": [source]}})
    assert kustomization["spec"]["postBuild"]["substituteFrom"] == [source | {"optional": False}]


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "GR-1 url": ("GitRepository", {"url": "git@example.org:a.git"}, "spec.url"),
    "GR-2 interval": ("GitRepository", {"interval": "1d"}, "spec.interval"),
    "GR-2 timeout in hours": ("GitRepository", {"timeout": "1h"}, "spec.timeout"),
    "GR-5 provider": ("GitRepository", {"provider": "gitlab"}, "spec.provider"),
    "GR-6 identity without a provider": (
        "GitRepository",
        {"serviceAccountName": "a"},
        "serviceAccountName can only be set when provider is 'azure' or 'aws'",
    ),
    "GR-8 verify": ("GitRepository", {"verify": {"mode": "HEAD"}}, "spec.verify.secretRef"),
    "KC-6 deletionPolicy": ("Kustomization", {"deletionPolicy": "Keep"}, "spec.deletionPolicy"),
    "KC-7 source kind": ("Kustomization", {"sourceRef": {"kind": "HelmChart", "name": "a"}}, "spec.sourceRef.kind"),
    "KC-10 targetNamespace": ("Kustomization", {"targetNamespace": "a" * 64}, "spec.targetNamespace"),
    "KC-17 buildMetadata": ("Kustomization", {"buildMetadata": ["all"]}, "spec.buildMetadata"),
    "KC-20 substituteStrategy": (
        "Kustomization",
        {"postBuild": {"substituteStrategy": "Never"}},
        "spec.postBuild.substituteStrategy",
    ),
    "KC-23 no kubeConfig": ("Kustomization", {"kubeConfig": {}}, "exactly one of spec.kubeConfig.configMapRef"),
    "KC-23 two kubeConfigs": (
        "Kustomization",
        {"kubeConfig": {"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}},
        "exactly one of spec.kubeConfig.configMapRef",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_flux_refuses_is_refused(room: Room, case: str) -> None:
    kind, fields, named = REFUSED[case]
    with pytest.raises(Invalid, match=named.replace("[", r"\[")):
        await room.create(kind, fields)


@pytest.mark.parametrize("version", ["v1beta2", "v1beta1"])
async def test_fields_that_mean_nothing_any_more_are_accepted_and_forgotten(room: Room, version: str) -> None:
    """The API server takes them in every version and does not store them (GR-13, KC-30)."""
    access = {"namespaceSelectors": [{"matchLabels": {"team": "a"}}]}
    git = await room.create("GitRepository", {"gitImplementation": "libgit2", "accessFrom": access}, version)
    assert git["spec"] == MINIMAL["GitRepository"] | {"timeout": "60s"}
    kustomization = await room.create("Kustomization", {"validation": "client"}, version)
    assert kustomization["spec"] == MINIMAL["Kustomization"] | {"force": False}


@pytest.mark.parametrize("version", ["v1beta2", "v1beta1"])
async def test_old_patches_reach_v1(room: Room, version: str) -> None:
    patches: dict[str, Any] = {
        "patchesStrategicMerge": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": None}],
        "patchesJson6902": [
            {"patch": [{"op": "add", "path": "/data", "value": {"a": [1, None]}}], "target": {"kind": "ConfigMap"}}
        ],
    }
    found = await room.create("Kustomization", patches, version)
    assert {name: found["spec"][name] for name in patches} == patches
