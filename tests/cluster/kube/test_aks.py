"""An AKS cluster by resource id, with the real SDKs against stubs of the identity endpoint and of ARM that hand out the
dev control plane.
"""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.auth import identity
from fluxless.kube.connect import ClusterConfig, KubeconfigRefused, connect
from tools.devcluster.launcher import TOKEN

RESOURCE = "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/prod"
SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"


class Azure:
    """The identity endpoint and ARM on one port; `asked` are the scopes that tokens were asked for."""

    def __init__(self, kubeconfig: Path) -> None:
        self.asked: list[str] = []
        self.forbidden = False
        self.unknown = False
        self.nobody = False
        dev = json.loads(kubeconfig.read_text())
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "kubelogin",
            "args": [
                "get-token",
                "--environment",
                "AzurePublicCloud",
                "--server-id",
                SERVER_ID,
                "--login",
                "devicecode",
            ],
        }
        dev["users"] = [{"name": "dev", "user": {"exec": plugin}}]
        self.kubeconfig = json.dumps(dev)

    async def token(self, request: web.Request) -> web.Response:
        assert request.headers["X-IDENTITY-HEADER"] == "header"
        if self.nobody:
            return web.json_response(
                {"statusCode": 400, "message": "No User Assigned or Delegated Identity"}, status=400
            )
        self.asked.append(request.query["resource"])
        token = TOKEN if request.query["resource"] == SERVER_ID else "arm-token"
        answer = {"access_token": token, "expires_on": "4102444800", "token_type": "Bearer"}
        return web.json_response(answer | {"resource": request.query["resource"]})

    async def credentials(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer arm-token"
        if self.forbidden:
            error = {"error": {"code": "AuthorizationFailed", "message": "The client has no authorization"}}
            return web.json_response(error, status=403)
        if self.unknown:
            error = {"error": {"code": "ResourceNotFound", "message": "The cluster was not found"}}
            return web.json_response(error, status=404)
        value = base64.b64encode(self.kubeconfig.encode()).decode()
        return web.json_response({"kubeconfigs": [{"name": "clusterUser", "value": value}]})


@pytest_asyncio.fixture(loop_scope="session")
async def azure(control_plane: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Azure]:
    stub = Azure(control_plane)
    app = web.Application()
    app.router.add_get("/identity", stub.token)
    app.router.add_post(f"{RESOURCE}/listClusterUserCredential", stub.credentials)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    for name, value in {
        "IDENTITY_ENDPOINT": f"{url}/identity",
        "IDENTITY_HEADER": "header",
        "FLUXLESS_ARM_ENDPOINT": url,
        "FLUXLESS_TOKEN_HOSTS": "aks=127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    identity.credential.cache_clear()
    yield stub
    identity.credential.cache_clear()
    await runner.cleanup()


async def test_the_identity_opens_the_cluster_without_running_anything(azure: Azure) -> None:
    cluster = await connect(ClusterConfig("prod", resource_id=RESOURCE, client_id="c-1"))
    try:
        found = await cluster.list(await cluster.resource("v1", "Namespace"))
        assert "default" in [item["metadata"]["name"] for item in found]
        asked = len(azure.asked)
        await cluster.list(await cluster.resource("v1", "Namespace"))
        assert len(azure.asked) == asked, "tokens are cached"
    finally:
        await cluster.close()
    assert set(azure.asked) == {"https://management.azure.com", SERVER_ID}


async def test_a_missing_role_is_named(azure: Azure) -> None:
    azure.forbidden = True
    with pytest.raises(KubeconfigRefused) as caught:
        await connect(ClusterConfig("prod", resource_id=RESOURCE))
    assert "Azure Kubernetes Service Cluster User Role" in str(caught.value)
    assert "no authorization" in str(caught.value)


@pytest.mark.parametrize(
    ("what", "step"),
    [("unknown", "correct resourceId in FLUXLESS_CLUSTERS"), ("nobody", "check that the app has an identity")],
)
async def test_what_no_role_cures_asks_for_none(azure: Azure, what: str, step: str) -> None:
    setattr(azure, what, True)
    with pytest.raises(Problem) as caught:
        await connect(ClusterConfig("prod", resource_id=RESOURCE))
    assert not isinstance(caught.value, KubeconfigRefused)
    assert step in str(caught.value)
    assert "role" not in str(caught.value).lower()


@pytest.mark.parametrize("user", [{"exec": {"command": "/bin/sh", "args": ["-c", "id"]}}])
async def test_any_other_plugin_is_refused(azure: Azure, user: dict[str, Any]) -> None:
    document = json.loads(azure.kubeconfig)
    document["users"] = [{"name": "dev", "user": user}]
    azure.kubeconfig = json.dumps(document)
    with pytest.raises(Problem, match="exec plugin"):
        await connect(ClusterConfig("prod", resource_id=RESOURCE))
