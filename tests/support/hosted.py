"""The whole app on the local host, over a control plane, Azurite and a Git server of its own: for end-to-end tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from fluxless.artifacts.blob import AzureStore
from fluxless.kube.client import Cluster
from fluxless.reconcile.records import HEARTBEAT, heartbeat, read_state
from tests.support.flux import Flux
from tests.support.insights import Insights
from tests.support.issuer import Issuer
from tests.support.repositories import Repo
from tools import environment, processes
from tools.demo import push
from tools.gitserver import GitServer


class Hosted:
    """`env` is where everything is; the verbs are those of a user, and of an operator with a heavy hand."""

    def __init__(
        self, env: environment.Environment, cluster: Cluster, issuer: Issuer, insights: Insights | None = None
    ) -> None:
        self.env = env
        self.issuer = issuer
        self._insights = insights
        self.cluster = cluster

    @property
    def insights(self) -> Insights:
        """Where the app's traces go."""
        assert self._insights is not None
        return self._insights

    async def wake(self) -> None:
        """Plan every cluster now."""
        headers = {"x-functions-key": self.env.functions_key}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.env.functions_url}/api/sync", headers=headers) as r,
        ):
            assert r.status == 202, await r.text()

    async def push(self, name: str) -> tuple[int, str, float]:
        """A signed GitHub delivery for a repository of the Git server."""
        return await push(self.env, name)

    async def post(self, body: bytes, headers: dict[str, str], path: str = "/api/hooks/github") -> tuple[int, str]:
        """Anything else to a webhook."""
        url = f"{self.env.functions_url}{path}"
        async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    def kill(self) -> None:
        """`kill -9` of the function host."""
        processes.stop(self.env.folder, "host", kill=True)

    async def start(self, *arguments: str) -> None:
        """Start the host again, on the same state and port."""
        await asyncio.to_thread(environment.start_host, self.env.folder, *arguments)

    async def status(self) -> dict[str, Any]:
        """The status of the cluster's orchestration."""
        async with aiohttp.ClientSession() as http, http.get(self._durable("instances/sync-dev")) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def durable(self, path: str, body: Any = None) -> int:
        """POST to Durable's own API, as an operator may; the status of the answer."""
        async with aiohttp.ClientSession() as http, http.post(self._durable(path), json=body) as answer:
            return answer.status

    def _durable(self, path: str) -> str:
        key = json.loads((self.env.folder / "hub" / "keys.json").read_text())["durable"]
        joint = "&" if "?" in path else "?"
        return f"{self.env.functions_url}/runtime/webhooks/durabletask/{path}{joint}code={key}"

    async def ticked(self) -> float:
        """When the timer last ran, in seconds since 1970."""
        store = AzureStore.from_connection_string(self.env.blob_connection, "fluxless")
        try:
            (at, _), _ = await read_state(store, HEARTBEAT, heartbeat)
            return at
        finally:
            await store.close()

    def log(self) -> str:
        """What the host has written."""
        return Path(self.env.folder / "host.log").read_text(errors="replace")


@contextlib.asynccontextmanager
async def tenant(hosted: Hosted) -> AsyncIterator[Flux]:
    """The verbs of `Flux` in a new namespace, without an engine: the app does the work."""
    name = f"e-{uuid4().hex[:8]}"
    await hosted.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    flux = Flux(None, hosted.cluster, name, None)  # type: ignore[arg-type] # nobody asks for engine or store
    yield flux
    await flux.check()
    await flux.clean()
    await hosted.cluster.delete(await hosted.cluster.resource("v1", "Namespace"), name)


def repository(hosted: Hosted, folder: Path) -> Repo:
    """A repository on the Git server of the environment; its work tree is in the folder."""
    server = GitServer(hosted.env.git_root)
    server.url = hosted.env.git_url
    return Repo(server, folder, f"r-{uuid4().hex[:8]}")


def passed_on(text: str) -> tuple[int, int]:
    """Of a webhook's answer: how many objects were told at once, and how many clusters are told later. None of them is
    waited for for long, so on a busy machine it may be any.
    """
    later = re.search(r"(\d+) cluster\(s\) did not answer and will be told later", text)
    at_once = re.match(r"(\d+) object\(s\) will be reconciled", text)
    return int(at_once[1]) if at_once else 0, int(later[1]) if later else 0


async def until(done: Callable[[], Awaitable[bool]], what: str, limit: float = 60.0) -> float:
    """Poll until it holds; the seconds that took. Fails naming what was awaited."""
    began = time.monotonic()
    while not await done():
        assert time.monotonic() - began < limit, f"waited {limit:.0f} s for {what}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began
