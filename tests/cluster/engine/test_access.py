"""What the app reaches, and the role that is missing where it does not: a real API server, and a front as ACR's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.engine import access
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect

pytestmark = pytest.mark.cluster


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


async def test_a_kubeconfig_that_arm_refuses_lacks_the_role_to_reach_it() -> None:
    async def refused(_: str) -> Cluster:
        raise Problem(Failure(FailureClass.FORBIDDEN, "the kubeconfig cannot be had: AuthorizationFailed"))

    (found,) = await access.clusters(["dev"], refused)
    assert (found.ok, found.missing) == (False, access.CLUSTER_USER)
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


LOCAL = ("127.0.0.1",)


class Identified:
    """The app's identity, or one that Entra has no token for."""

    name = "app/"

    def __init__(self, known: bool = True) -> None:
        self._known = known

    async def token(self, scope: str) -> str:
        if not self._known:
            raise Problem(Failure(FailureClass.FORBIDDEN, f"no Entra token for {scope}"))
        return "entra"


@pytest.fixture
async def acr() -> AsyncIterator[str]:
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


@pytest.mark.parametrize("known", [True, False])
async def test_a_registry_that_refuses_lacks_acr_pull(acr: str, known: bool) -> None:
    (found,) = await access.registries([acr], lambda: Identified(known), LOCAL)  # type: ignore[arg-type, return-value]
    assert (found.name, found.ok, found.missing) == (acr, False, "AcrPull on the registry")


async def test_a_repository_that_is_not_there_is_answer_enough(registry: str) -> None:
    (found,) = await access.registries([registry], Identified, LOCAL)  # type: ignore[arg-type]
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

    (found,) = await access.registries([host], never, (".azurecr.io",))
    assert (found.ok, found.missing) == (False, "")
    assert "is no Azure container registry" in found.message
