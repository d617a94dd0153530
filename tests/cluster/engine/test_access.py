"""What the app reaches, and the role that is missing where it does not: a real API server, and a front as ACR's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.kinds import KUSTOMIZATION
from fluxless.auth.purposes import AKS, MANAGEMENT, Purpose, admit
from fluxless.engine import access
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, KubeconfigRefused, connect
from tests.support.flux import SOURCE, Flux

RBAC = "rbac.authorization.k8s.io"
Rights = Callable[..., Awaitable[Cluster]]


async def test_a_cluster_that_is_ready_says_its_version(cluster: Cluster) -> None:
    async def given(_: str) -> Cluster:
        return cluster

    (found,) = await access.clusters(["dev"], given)
    assert (found.ok, found.missing) == (True, "")
    assert found.message.startswith("Kubernetes v")


async def test_a_user_without_rights_lacks_the_role_within(cluster: Cluster) -> None:
    async def given(_: str) -> Cluster:
        return cluster.impersonating("nobody")

    (found,) = await access.clusters(["dev"], given)
    assert (found.ok, found.missing) == (False, "Azure Kubernetes Service RBAC Cluster Admin on the cluster")


@pytest.fixture
async def rights(cluster: Cluster) -> AsyncIterator[Rights]:
    """Makes users that may do what is said, and no more."""
    made: list[str] = []

    async def give(*rules: dict[str, Any]) -> Cluster:
        name = f"t-{uuid4().hex[:8]}"
        made.append(name)
        role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)}
        await cluster.create(role)
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": name}],
        }
        await cluster.create(binding)
        return cluster.impersonating(name)

    yield give
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        for name in made:
            await cluster.delete(await cluster.resource(f"{RBAC}/v1", kind), name)


VERSION = {"nonResourceURLs": ["/version"], "verbs": ["get"]}
REVIEWS = {
    "apiGroups": ["authorization.k8s.io"],
    "resources": ["selfsubjectaccessreviews"],
    "verbs": ["create"],
}
"""Users without groups have not even what every user has."""
WORKING = (
    VERSION,
    REVIEWS,
    {"apiGroups": ["kustomize.toolkit.fluxcd.io"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
)


async def test_a_narrow_role_is_enough_for_who_may_impersonate(rights: Rights) -> None:
    impersonate = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}
    user = await rights(*WORKING, impersonate)

    async def given(_: str) -> Cluster:
        return user

    (found,) = await access.clusters(["dev"], given)
    assert (found.ok, found.missing) == (True, ""), found.message


async def test_what_the_app_may_not_do_is_named(rights: Rights) -> None:
    user = await rights(*WORKING, {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]})

    async def given(_: str) -> Cluster:
        return user

    (found,) = await access.clusters(["dev"], given)
    assert (found.ok, found.missing) == (False, "Azure Kubernetes Service RBAC Cluster Admin on the cluster")
    words = "the app may not patch namespaces, patch customresourcedefinitions.apiextensions.k8s.io there"
    assert words in found.message


async def test_a_cluster_without_crds_is_to_be_installed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "KINDS", (replace(KUSTOMIZATION, group="nobody.example", versions=("v1",)),))

    async def given(_: str) -> Cluster:
        return cluster

    (found,) = await access.clusters(["dev"], given)
    assert (found.ok, found.missing, found.install) == (False, "", True)
    assert "lacks 1 CRDs: run `fluxless install` there" in found.message


async def test_registries_of_objects_are_asked_as_well(flux: Flux, acr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", "127.0.0.1")
    monkeypatch.setattr("fluxless.engine.engine.of_sources", lambda _: Identified())
    spec = {"interval": "10m", "url": f"oci://{acr}/app", "provider": "azure"}
    await flux.put(SOURCE, "OCIRepository", "app", spec)
    found = await flux.engine.check(["elsewhere.example"])
    hosts = {one["name"]: one["missing"] for one in found["registries"]}
    assert hosts == {"elsewhere.example": "", acr: "AcrPull on the registry"}


@pytest.mark.parametrize(
    ("spec", "hosts"),
    [
        ({"url": "oci://a.azurecr.io/x", "provider": "azure"}, ["a.azurecr.io"]),
        ({"url": "oci://a.azurecr.io/x"}, []),
        ({"url": "oci://a.azurecr.io/x", "provider": "azure", "secretRef": {"name": "other"}}, []),
        ({"url": "oci://a.azurecr.io/x", "provider": "azure", "serviceAccountName": "tenant"}, []),
        ({"url": "oci://attacker.example/x", "provider": "azure"}, []),
        ({"url": "https://dev.azure.com/x", "provider": "azure"}, []),
        ({}, []),
    ],
)
def test_only_registries_that_the_app_itself_pulls_from_are_named(spec: dict[str, Any], hosts: list[str]) -> None:
    assert access.named([{"spec": spec}, {"spec": spec}, {}]) == hosts


async def test_a_kubeconfig_that_arm_refuses_lacks_the_role_to_reach_it() -> None:
    async def refused(_: str) -> Cluster:
        raise KubeconfigRefused(Failure(FailureClass.FORBIDDEN, "the kubeconfig cannot be had: AuthorizationFailed"))

    (found,) = await access.clusters(["dev"], refused)
    assert (found.ok, found.missing) == (False, MANAGEMENT.role)
    assert "AuthorizationFailed" in found.message


async def test_nobody_there_is_no_missing_role(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: a, user: {token: x}}]\n"
    )

    async def given(name: str) -> Cluster:
        return await connect(ClusterConfig(name, kubeconfig=str(file)))

    (found,) = await access.clusters(["dev"], given)
    assert (found.ok, found.missing) == (False, "")


class Identified:
    """The app's identity, or one that Entra has no token for."""

    name = "app/"

    def __init__(self, known: bool = True) -> None:
        self._known = known

    async def token(self, purpose: Purpose, url: str, **carried: Any) -> str:
        admit(purpose, url, **carried)
        if not self._known:
            raise Problem(Failure(FailureClass.FORBIDDEN, f"no Entra token for {purpose.name}"))
        return "entra"

    def admit(self, purpose: Purpose, url: str, **carried: Any) -> None:
        admit(purpose, url, **{"tls": None, "proxy": None, **carried})


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries of this machine are Azure's."""
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", "127.0.0.1")


@pytest.fixture
async def acr(local: None) -> AsyncIterator[str]:
    """A registry that asks for a token as ACR does, and refuses to exchange Entra's."""

    async def ask(request: web.Request) -> web.Response:
        realm = f'Bearer realm="http://{request.host}/oauth2/token",service="{request.host}"'
        return web.json_response({}, status=401, headers={"WWW-Authenticate": realm})

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)

    app = web.Application()
    app.router.add_post("/oauth2/exchange", refuse)
    app.router.add_get("/v2/{path:.*}", ask)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_registry_that_refuses_lacks_acr_pull(acr: str) -> None:
    (found,) = await access.registries([acr], Identified)  # type: ignore[arg-type]
    assert (found.name, found.ok, found.missing) == (acr, False, "AcrPull on the registry")


async def test_no_identity_is_no_missing_role(acr: str) -> None:
    (found,) = await access.registries([acr], lambda: Identified(False))  # type: ignore[arg-type, return-value]
    assert (found.name, found.ok, found.missing) == (acr, False, "")
    assert "no Entra token" in found.message


async def test_a_token_of_the_cluster_that_cannot_be_had_is_no_missing_role(control_plane: Path) -> None:
    opened = await connect(ClusterConfig("dev", kubeconfig=str(control_plane)))

    async def given(_: str) -> Cluster:
        opened._authorization = lambda: Identified(False).token(AKS, "https://a.azmk8s.io", tls=None, proxy=None)
        return opened

    try:
        (found,) = await access.clusters(["dev"], given)
    finally:
        await opened.close()
    assert (found.ok, found.missing) == (False, "")
    assert "no Entra token for aks" in found.message


async def test_a_repository_that_is_not_there_is_answer_enough(local: None, registry: str) -> None:
    (found,) = await access.registries([registry], Identified)  # type: ignore[arg-type]
    assert (found.ok, found.missing) == (True, "")


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example/.azurecr.io",
        "attacker.example?.azurecr.io",
        "attacker.example#.azurecr.io",
        "user@attacker.example/x.azurecr.io",
        "attacker.example\\.azurecr.io",
        "",
    ],
)
async def test_no_token_goes_to_anybody_else(host: str) -> None:
    def never() -> Any:
        raise AssertionError("nobody may be asked")

    (found,) = await access.registries([host], never)
    assert (found.ok, found.missing) == (False, "")
    assert "is no Azure container registry" in found.message
