"""Many clusters out of one: a proxy before the dev control plane that shows each of its clients one namespace only.

The client of cluster `c-7` speaks to `<url>/c-7`. What it lists of all namespaces is what namespace `c-7` holds;
everything else is passed on as it is, so that a real API server answers. A cluster can be told to be away.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

_PASSED_ON = ("Accept", "Content-Type")


class Fault(StrEnum):
    """How a cluster is away."""

    HANGS = "hangs"
    """It takes the connection and never answers."""
    DROPS = "drops"
    """It closes the connection."""
    FAILS = "fails"
    """It answers 500."""


class Fleet:
    """`faults` by cluster may change at any time; `requests` counts what every cluster was asked."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        self._server = document["clusters"][0]["cluster"]["server"]
        self._token = document["users"][0]["user"]["token"]
        self._namespaced: set[tuple[str, str]] = set()
        self.faults: dict[str, Fault] = {}
        self.requests: Counter[str] = Counter()
        self.url = ""

    async def start(self) -> None:
        """Listen on 127.0.0.1, on a free port."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, limit=0), headers={"Authorization": f"Bearer {self._token}"}
        )
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{cluster}/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End."""
        await self._runner.cleanup()
        await self._http.close()

    def setting(self, names: list[str]) -> str:
        """The app setting `FLUXLESS_CLUSTERS` for these clusters."""
        return json.dumps([{"name": name, "kubeconfigInline": self._kubeconfig(name)} for name in names])

    def _kubeconfig(self, name: str) -> str:
        document = {
            "clusters": [{"name": name, "cluster": {"server": f"{self.url}/{name}"}}],
            "users": [{"name": name, "user": {"token": "any"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
        return json.dumps(document)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        cluster, path = request.match_info["cluster"], "/" + request.match_info["path"]
        self.requests[cluster] += 1
        match self.faults.get(cluster):
            case Fault.HANGS:
                await asyncio.sleep(3600)
            case Fault.DROPS:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            case Fault.FAILS:
                return web.json_response({"kind": "Status", "message": "etcd is on fire"}, status=500)
            case _:
                pass
        target = f"{self._server}{await self._within(cluster, path)}"
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        body = await request.read()
        async with self._http.request(
            request.method, target, params=request.query, headers=headers, data=body
        ) as answer:
            kept = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
            return web.Response(status=answer.status, reason=answer.reason, body=await answer.read(), headers=kept)

    async def _within(self, cluster: str, path: str) -> str:
        """A collection of all namespaces becomes that of the cluster's own."""
        parts = path.strip("/").split("/")
        head = 2 if parts[0] == "api" else 3
        if len(parts) != head + 1 or parts[0] not in {"api", "apis"}:
            return path
        if not self._namespaced:
            self._namespaced = await self._discover()
        version, plural = "/".join(parts[:head]), parts[head]
        if (version, plural) not in self._namespaced:
            return path
        return f"/{version}/namespaces/{cluster}/{plural}"

    async def _discover(self) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
        for root in ("api", "apis"):
            async with self._http.get(f"{self._server}/{root}", headers=accept) as answer:
                document: dict[str, Any] = await answer.json(content_type=None)
            for group in document["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    prefix = f"{root}/{name}/{version['version']}" if name else f"{root}/{version['version']}"
                    found |= {
                        (prefix, entry["resource"])
                        for entry in version.get("resources") or []
                        if entry.get("scope") == "Namespaced"
                    }
        return found
