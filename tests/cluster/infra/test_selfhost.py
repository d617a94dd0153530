"""The manifests for AKS: built by the real kustomize, taken by an API server that enforces the restricted profile."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem
from fluxless.render.kustomize import kustomize
from tools.places import ROOT

FOLDER = ROOT / "infra" / "selfhost" / "aks"


async def _built() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(await kustomize(ROOT / "infra", FOLDER)))


def _pod(objects: list[dict[str, Any]], namespace: str) -> dict[str, Any]:
    """The pod of the deployment, in another namespace."""
    (deployment,) = (one for one in objects if one["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    names = {"name": "app", "namespace": namespace, "labels": template["metadata"]["labels"]}
    spec = {**template["spec"], "serviceAccountName": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": names, "spec": spec}


@pytest.fixture
async def restricted(cluster: Cluster, namespace: str) -> str:
    """A namespace with the labels of ours."""
    (ours,) = (one for one in await _built() if one["kind"] == "Namespace")
    body = {"metadata": {"labels": ours["metadata"]["labels"]}}
    await cluster.patch(await cluster.resource("v1", "Namespace"), namespace, "", body=body)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
    await cluster.apply(account, manager="test")
    return namespace


async def test_every_object_is_taken(cluster: Cluster, namespace: str) -> None:
    objects = [one for one in await _built() if one["kind"] != "Namespace"]
    assert {one["metadata"]["namespace"] for one in objects} == {"fluxless"}
    for one in objects:
        one["metadata"]["namespace"] = namespace
        await cluster.apply(one, manager="test", dry_run=True)
    (app,) = _pod(objects, namespace)["spec"]["containers"]
    assert app["image"] == "example.azurecr.io/fluxless:0.1.0"


async def test_the_pod_is_allowed_in_a_restricted_namespace(cluster: Cluster, restricted: str) -> None:
    await cluster.apply(_pod(await _built(), restricted), manager="test", dry_run=True)


async def test_a_pod_that_may_more_is_not(cluster: Cluster, restricted: str) -> None:
    pod = _pod(await _built(), restricted)
    del pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"]
    with pytest.raises(ApiProblem, match="allowPrivilegeEscalation"):
        await cluster.apply(pod, manager="test", dry_run=True)
