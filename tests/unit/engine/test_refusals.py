"""What `/api/check` tells of objects that the walls around the app's identity refuse, without trying them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.identity import Identity
from fluxless.engine import access, refusals
from fluxless.kube.client import Cluster
from fluxless.kube.connect import read_clusters
from fluxless.reconcile.remotes import Remotes
from fluxless.reconcile.services import Services, Settings
from fluxless.reconcile.world import Ref, World

ONE, TWO = (
    f"/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/{name}"
    for name in ("one", "two")
)
FILE = {
    "clusters": [{"name": "c", "cluster": {"server": "https://example"}}],
    "users": [{"name": "u", "user": {"tokenFile": "/var/run/secrets/token"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}
OBJECTS = {
    ("Secret", "ca"): {"ca.crt": "x"},
    ("Secret", "file"): {"value": json.dumps(FILE)},
    ("Secret", "token"): {"value": json.dumps(FILE | {"users": [{"name": "u", "user": {"token": "t"}}]})},
    ("ConfigMap", "one"): {"provider": "azure", "cluster": ONE},
    ("ConfigMap", "two"): {"provider": "azure", "cluster": TWO},
    ("ConfigMap", "account"): {"provider": "azure", "cluster": ONE, "serviceAccountName": "a"},
    ("ConfigMap", "generic"): {"provider": "generic", "address": "https://example"},
}


class Objects:
    """A cluster with these Secrets and ConfigMaps, and nothing else."""

    name = "dev"

    async def request(self, *_: Any) -> Any:
        raise Problem(Failure(FailureClass.INTERNAL, "no answer"))

    async def resource(self, _: str, kind: str) -> str:
        return kind

    async def get(self, kind: str, name: str, _: str) -> dict[str, Any] | None:
        data = OBJECTS.get((kind, name))
        if data is None or kind == "ConfigMap":
            return None if data is None else {"data": data}
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}


CLUSTER: Cluster = Objects()  # type: ignore[assignment]
REMOTES = Remotes(
    read_clusters(
        json.dumps([{"name": "dev", "resourceId": ONE, "mayOpen": ["two"]}, {"name": "two", "resourceId": TWO}])
    )
)


def _services() -> Services:
    none: Any = None
    return Services(none, none, Settings(), remotes=REMOTES)


def _world(kind: str, spec: dict[str, Any]) -> World:
    obj = {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "a", "namespace": "tenant"}, "spec": spec}
    return World({Ref.of(obj): obj}, 0.0)


def _identity() -> Identity:
    return Identity(None, rules=True)


async def _told(kind: str, spec: dict[str, Any]) -> list[tuple[str, str]]:
    return await refusals.refused(CLUSTER, _world(kind, spec), _services(), _identity)


AZURE = {"provider": "azure"}
REFUSED = [
    ("Bucket", {**AZURE, "endpoint": "https://minio.corp.example"}, "FLUXLESS_TOKEN_HOSTS"),
    ("Bucket", {**AZURE, "endpoint": "https://own.blob.core.windows.net"}, "FLUXLESS_SOURCE_IDENTITY_CLIENT_ID"),
    ("GitRepository", {**AZURE, "url": "https://tfs.corp.example/o/p/_git/r"}, "FLUXLESS_TOKEN_HOSTS"),
    ("GitRepository", {**AZURE, "url": "https://dev.azure.com/o/p/_git/r", "secretRef": {"name": "ca"}}, "ca.crt"),
    ("OCIRepository", {**AZURE, "url": "oci://registry.corp.example/a"}, "FLUXLESS_ACR_SUFFIXES"),
    ("OCIRepository", {**AZURE, "url": "oci://a.azurecr.io/a", "insecure": True}, "spec.insecure"),
    ("HelmRepository", {**AZURE, "url": "oci://a.azurecr.io/a", "certSecretRef": {"name": "ca"}}, "ca.crt"),
    ("Kustomization", {"kubeConfig": {"configMapRef": {"name": "one"}}}, "FLUXLESS_CLUSTERS"),
    ("HelmRelease", {"kubeConfig": {"configMapRef": {"name": "one"}}}, "FLUXLESS_CLUSTERS"),
    ("Kustomization", {"kubeConfig": {"configMapRef": {"name": "account"}}}, "FLUXLESS_OBJECT_LEVEL_IDENTITY"),
    ("Kustomization", {"kubeConfig": {"secretRef": {"name": "file"}}}, "tokenFile names a file"),
]
FINE = [
    ("Bucket", {**AZURE, "endpoint": "https://a.blob.core.windows.net"}),
    ("Bucket", {**AZURE, "endpoint": "https://minio.corp.example", "secretRef": {"name": "key"}}),
    ("Bucket", {"endpoint": "minio.corp.example"}),
    ("GitRepository", {**AZURE, "url": "https://dev.azure.com/o/p/_git/r"}),
    ("OCIRepository", {**AZURE, "url": "oci://a.azurecr.io/a"}),
    ("OCIRepository", {**AZURE, "url": "oci://registry.corp.example/a", "suspend": True}),
    ("HelmRepository", {"url": "https://charts.corp.example"}),
    ("Kustomization", {"kubeConfig": {"configMapRef": {"name": "two"}}}),
    ("Kustomization", {"kubeConfig": {"configMapRef": {"name": "generic"}}}),
    ("Kustomization", {"kubeConfig": {"configMapRef": {"name": "absent"}}}),
    ("Kustomization", {"kubeConfig": {"secretRef": {"name": "token"}}}),
    ("Kustomization", {}),
]


@pytest.mark.parametrize(("kind", "spec", "words"), REFUSED)
async def test_what_is_refused_is_told_with_what_lifts_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, spec: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("FLUXLESS_BLOB_ACCOUNT_URL", "https://own.blob.core.windows.net")
    ((name, told),) = await _told(kind, spec)
    assert name == f"dev/{kind}/tenant/a"
    assert words in told


@pytest.mark.parametrize(("kind", "spec"), FINE)
async def test_nothing_is_told_of_what_works(kind: str, spec: dict[str, Any]) -> None:
    assert await _told(kind, spec) == []


async def test_the_check_has_them() -> None:
    async def connect(_: str) -> Cluster:
        return CLUSTER

    async def seen(_: str) -> World:
        return _world("Bucket", {**AZURE, "endpoint": "https://minio.corp.example"})

    found = await access.report([], connect, seen, [], _identity, _services())
    assert found["objects"] == []  # no cluster, no objects
    found = await access.report(["dev"], connect, seen, [], _identity, _services())
    (one,) = found["objects"]
    assert (one["name"], one["ok"]) == ("dev/Bucket/tenant/a", False)
    assert "FLUXLESS_TOKEN_HOSTS" in one["message"]
