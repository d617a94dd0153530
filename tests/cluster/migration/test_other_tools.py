"""Objects that kubectl, Argo CD and Helm's own tools have made are taken over as they are: nothing is re-created."""

import json
from typing import Any

import pytest

from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map, deployment

TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE = "app.kubernetes.io/instance"


def _deployment(flux: Flux, **metadata: Any) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(deployment("web", replicas=0))
    found["metadata"] |= {"namespace": flux.namespace, **metadata}
    return found


async def _migrate(flux: Flux, repo: Repo) -> None:
    repo.push({"web.yaml": deployment("web", replicas=0), "a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", wait=True)
    await flux.run(patience=10)
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))


async def _web(flux: Flux) -> dict[str, Any]:
    found = await flux.get("apps/v1", "Deployment", "web")
    assert found is not None
    return found


def _managers(obj: dict[str, Any]) -> set[str]:
    entries = obj["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if not entry.get("subresource")}


async def test_what_kubectl_apply_has_made(flux: Flux, repo: Repo) -> None:
    """With its bookkeeping, and with a field that is no longer in Git, which goes (KC-86)."""
    obj = _deployment(flux)
    obj["spec"]["paused"] = True
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(obj)}
    obj["metadata"]["annotations"] = last
    made = await flux.cluster.create(obj, manager="kubectl-client-side-apply")
    await _migrate(flux, repo)
    web = await _web(flux)
    assert web["metadata"]["uid"] == made["metadata"]["uid"]
    assert "paused" not in web["spec"]
    assert "annotations" not in web["metadata"] or not set(last) & set(web["metadata"]["annotations"])
    assert _managers(web) == {"kustomize-controller"}


@pytest.mark.parametrize("server_side", [False, True], ids=["client-side", "server-side"])
async def test_what_argo_cd_has_made(flux: Flux, repo: Repo, server_side: bool) -> None:
    flux.configure(override_managers=("argocd-controller",))
    notes = {TRACKING: f"shop:apps/Deployment:{flux.namespace}/web"}
    obj = _deployment(flux, annotations=notes, labels={INSTANCE: "shop"})
    obj["spec"]["paused"] = True
    if server_side:
        made = await flux.cluster.apply(obj, manager="argocd-controller")
    else:
        made = await flux.cluster.create(obj, manager="argocd-controller")
    await _migrate(flux, repo)
    web = await _web(flux)
    assert web["metadata"]["uid"] == made["metadata"]["uid"]
    assert "paused" not in web["spec"]
    assert TRACKING not in web["metadata"].get("annotations", {})
    assert INSTANCE not in web["metadata"]["labels"]
    assert _managers(web) == {"kustomize-controller"}


async def test_without_the_setting_argo_cd_keeps_what_it_owns(flux: Flux, repo: Repo) -> None:
    """As in Flux: what Git does not name stays with its manager."""
    obj = _deployment(flux, labels={INSTANCE: "shop"})
    made = await flux.cluster.create(obj, manager="argocd-controller")
    await _migrate(flux, repo)
    web = await _web(flux)
    assert web["metadata"]["uid"] == made["metadata"]["uid"]
    assert web["metadata"]["labels"][INSTANCE] == "shop"
    assert _managers(web) == {"kustomize-controller", "argocd-controller"}
