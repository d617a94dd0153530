"""Kustomizations that apply to another cluster (KC-23, CM-15, CM-16), with a second control plane."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tests.support.flux import KUSTOMIZE, Flux, message, ready
from tests.support.repositories import Repo, config_map
from tools.devcluster import launcher


@pytest.fixture(scope="module")
def second(workshop: Path) -> Iterator[Path]:
    """The kubeconfig of another control plane."""
    folder = workshop / "second"
    yield launcher.start(folder, node=False)
    launcher.stop(folder)


@pytest_asyncio.fixture(loop_scope="session")
async def remote(second: Path, flux: Flux) -> AsyncIterator[Cluster]:
    """The other cluster, with a namespace of the test's name."""
    cluster = await connect(ClusterConfig("second", kubeconfig=str(second)))
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": flux.namespace}})
    yield cluster
    await cluster.close()


async def _value(cluster: Cluster, namespace: str) -> str | None:
    found = await cluster.get(await cluster.resource("v1", "ConfigMap"), "a", namespace)
    return None if found is None else str(found["data"]["value"])


async def _secret(flux: Flux, text: str, key: str = "value") -> None:
    data = {key: base64.b64encode(text.encode()).decode()}
    names = {"name": "there", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": data})


@pytest.mark.parametrize("key", ["value", "value.yaml", "config"])
async def test_objects_are_applied_corrected_and_pruned_over_there(
    flux: Flux, repo: Repo, remote: Cluster, second: Path, key: str
) -> None:
    await _secret(flux, second.read_text(), key)
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    ref = {"name": "there"} | ({"key": key} if key == "config" else {})
    await flux.kustomization("app", kubeConfig={"secretRef": ref}, wait=True)
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert await _value(remote, flux.namespace) == "1"
    assert await flux.value("a") is None
    resource = await remote.resource("v1", "ConfigMap")
    await remote.patch(resource, "a", flux.namespace, body={"data": {"value": "edited"}}, manager="kubectl-edit")
    await flux.request("Kustomization", "app")
    await flux.run()
    assert await _value(remote, flux.namespace) == "1"
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run()
    assert await _value(remote, flux.namespace) is None


async def test_the_account_is_impersonated_over_there_as_well(
    flux: Flux, repo: Repo, remote: Cluster, second: Path
) -> None:
    await _secret(flux, second.read_text())
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", kubeConfig={"secretRef": {"name": "there"}}, serviceAccountName="team")
    await flux.run(patience=1)
    assert f"system:serviceaccount:{flux.namespace}:team" in message(await flux.ks("app"))
    assert await _value(remote, flux.namespace) is None


PLUGIN = {
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {"exec": {"command": "sh"}}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}
TOKEN = PLUGIN | {"users": [{"name": "u", "user": {"token": "t"}}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not found"),
        ("", "no key"),
        (json.dumps(PLUGIN), "exec plugin (sh), which is refused"),
        ("a: [", "not valid YAML"),
        (json.dumps(TOKEN), "cannot be reached"),
    ],
)
async def test_what_is_wrong_with_the_kubeconfig_is_named(
    flux: Flux, repo: Repo, content: str | None, words: str
) -> None:
    if content is not None:
        await _secret(flux, content, "value" if content else "other")
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", kubeConfig={"secretRef": {"name": "there"}})
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", "ReconciliationFailed")
    assert words in message(app)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"provider": "aws"}, "provider 'aws' is not supported"),
        ({"provider": "azure", "cluster": "x"}, "not the resource id"),
        ({"provider": "generic"}, "needs an address"),
    ],
)
async def test_a_config_map_that_cannot_work_stalls(flux: Flux, repo: Repo, data: dict[str, Any], words: str) -> None:
    names = {"name": "there", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": names, "data": data})
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", kubeConfig={"configMapRef": {"name": "there"}})
    await flux.run(patience=1)
    assert words in message(await flux.ks("app"), "Stalled")


async def test_provider_generic_uses_a_token_of_the_service_account(
    flux: Flux, repo: Repo, control_plane: Path
) -> None:
    """The cluster itself in the part of the remote one: it trusts its own tokens."""
    dev = json.loads(control_plane.read_text())["clusters"][0]["cluster"]
    where = {"name": "mover", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where})
    await flux.cluster.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": where,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", **where}],
        }
    )
    data = {
        "provider": "generic",
        "address": dev["server"],
        "ca.crt": base64.b64decode(dev["certificate-authority-data"]).decode(),
        "audiences": "https://kubernetes.default.svc",
        "serviceAccountName": "mover",
    }
    names = {"name": "there", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": names, "data": data})
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", kubeConfig={"configMapRef": {"name": "there"}})
    await flux.run(patience=1)
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert await flux.value("a") == "1"


async def test_objects_of_a_kubeconfig_that_is_gone_are_left_behind_and_told(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    await flux.patch(KUSTOMIZE, "Kustomization", "app", {"spec": {"kubeConfig": {"secretRef": {"name": "gone"}}}})
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run(patience=1)
    assert await flux.get(KUSTOMIZE, "Kustomization", "app") is None
    assert await flux.value("a") == "1"
    where = flux.namespace
    text = f"unable to prune objects: Secret {where}/gone not found\nConfigMap/{where}/a"
    assert text in [event["message"] for event in await flux.events("app") if event["reason"] == "PruneFailed"]
