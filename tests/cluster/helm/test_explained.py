"""A failure says what the hooks and objects say: in short in the condition, in full in the run record."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from fluxless.kube.errors import ApiProblem
from fluxless.reconcile.records import runs_prefix
from tests.support.charts import ChartServer, packed
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.releases import put_release, the_release
from tests.support.tls import Authority

LOG = "\n".join([*(f"line {number}" for number in range(1, 31)), "connecting to the database", "password rejected"])
HOOK = """apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-migrate
  annotations: {"helm.sh/hook": "%s"}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {role: migrate}}
    spec:
      restartPolicy: Never
      nodeName: %s
      containers: [{name: migrate, image: x}]
"""


class Node:
    """A node whose kubelet is ours: every pod on it fails at once, and has written LOG."""

    def __init__(self, flux: Flux, port: int) -> None:
        self.name = f"{flux.namespace}-node"
        self._flux = flux
        self._port = port

    async def register(self) -> None:
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}}
        await self._flux.cluster.create(body)
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
        }
        resource = await self._flux.cluster.resource("v1", "Node")
        await self._flux.cluster.patch(resource, self.name, body={"status": status}, subresource="status")

    async def remove(self) -> None:
        await self._flux.cluster.delete(await self._flux.cluster.resource("v1", "Node"), self.name)

    async def work(self) -> None:
        while True:
            with contextlib.suppress(ApiProblem):
                await self._fail()
            await asyncio.sleep(0.2)

    async def _fail(self) -> None:
        """As a kubelet tells of a container that has ended with 3."""
        resource = await self._flux.cluster.resource("v1", "Pod")
        for pod in await self._flux.cluster.list(resource, self._flux.namespace, labels="role=migrate"):
            ended = {"exitCode": 3, "reason": "Error"}
            container = {"name": "migrate", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
            status = {"phase": "Failed", "containerStatuses": [{**container, "state": {"terminated": ended}}]}
            name = pod["metadata"]["name"]
            await self._flux.cluster.patch(
                resource, name, self._flux.namespace, body={"status": status}, subresource="status"
            )


@pytest_asyncio.fixture(loop_scope="session")
async def node(flux: Flux, tmp_path: Path) -> AsyncIterator[Node]:

    async def logs(request: web.Request) -> web.Response:
        lines = LOG.splitlines()[-int(request.query.get("tailLines", "10")) :]
        return web.Response(text="\n".join(lines) + "\n")

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=Authority(tmp_path).server_context()).start()
    node = Node(flux, runner.addresses[0][1])
    await node.register()
    task = asyncio.create_task(node.work())
    yield node
    task.cancel()
    await node.remove()
    await runner.cleanup()


async def _record(flux: Flux) -> list[dict[str, str]]:
    """The failures of the last run record of the release."""
    found = []
    async for blob in flux.store.list(runs_prefix(flux.name)):
        stored = await flux.store.get(blob.name)
        assert stored is not None
        runs = [json.loads(line) for line in stored[0].decode().splitlines()]
        found += [run for run in runs if run["kind"] == "HelmRelease" and run.get("failures")]
    return list(max(found, key=lambda run: run["ts"])["failures"])


@pytest.mark.parametrize("event", ["pre-install", "test"])
async def test_the_last_lines_of_a_hook_are_told(flux: Flux, charts: ChartServer, node: Node, event: str) -> None:
    charts.add("hooked", "1.0.0", packed("hooked", "1.0.0", {"templates/hook.yaml": HOOK % (event, node.name)}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await put_release(flux, "hooked", test={"enable": event == "test"}, timeout="20s")
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found)[0] == "False", message(found)
    text = message(found)
    assert "app-migrate" in text
    assert "container migrate ended with 3 (Error)" in text
    assert text.endswith("last lines of its log: line 30 / connecting to the database / password rejected")
    logged = [failure["message"] for failure in await _record(flux) if "line 1\n" in failure["message"]]
    assert len(logged) == 1
    assert logged[0].splitlines()[1:] == LOG.splitlines()


async def test_an_object_that_is_not_ready_tells_why(flux: Flux, repository: ChartServer) -> None:
    await put_release(flux, "deployed", timeout="4s", values={"bad": True})
    await flux.run(patience=6)
    text = message(await the_release(flux), "Released")
    assert f"Deployment/{flux.namespace}/app status: 'InProgress'" in text
    assert f"Pod/{flux.namespace}/app-" in text
    assert "Unschedulable: 0/" in text
    assert any("Unschedulable" in failure["message"] for failure in await _record(flux))
