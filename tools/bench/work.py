"""The work that is measured: N Kustomizations over one GitRepository, four objects each, names by substitution.

The same was measured of Flux on this kind of machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fluxless.kube.client import Cluster
from fluxless.kube.errors import NotFound

NAMESPACE = "bench"
LIMIT = 900.0
"""Seconds for one measurement."""
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
SOURCE = "source.toolkit.fluxcd.io/v1"
OBJECTS = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: podinfo-${INDEX}
---
apiVersion: v1
kind: Service
metadata:
  name: podinfo-${INDEX}
spec:
  selector:
    app: podinfo-${INDEX}
  ports:
    - name: http
      port: 9898
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: podinfo-${INDEX}
  annotations:
    release: "1"
spec:
  replicas: 0
  selector:
    matchLabels:
      app: podinfo-${INDEX}
  template:
    metadata:
      labels:
        app: podinfo-${INDEX}
    spec:
      serviceAccountName: podinfo-${INDEX}
      containers:
        - name: podinfo
          image: example/podinfo:6.0.0
          ports:
            - containerPort: 9898
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: podinfo-${INDEX}
spec:
  rules:
    - host: podinfo-${INDEX}.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: podinfo-${INDEX}
                port:
                  number: 9898
"""


class Work:
    """The benchmark's objects in one cluster."""

    def __init__(self, cluster: Cluster, git_url: str) -> None:
        self.cluster = cluster
        self.git_url = git_url

    async def prepare(self) -> None:
        """The namespace and the source."""
        await self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, manager="bench"
        )

    async def source(self) -> None:
        """One GitRepository over the repository `bench`."""
        spec = {"interval": "60m", "url": f"{self.git_url}/bench.git", "ref": {"branch": "main"}}
        names = {"name": "bench", "namespace": NAMESPACE}
        body = {"apiVersion": SOURCE, "kind": "GitRepository", "metadata": names, "spec": spec}
        await self.cluster.apply(body, manager="bench")

    async def create(self, count: int, *, chained: bool = False, **spec: Any) -> None:
        """The source and the Kustomizations; until all are ready."""
        await self.source()
        for number in range(count):
            await self.cluster.apply(kustomization(number, chained=chained, **spec), manager="bench")
        await self.all_ready(count)

    async def all_ready(self, count: int, handled: str = "", revision: str = "") -> None:
        """Wait until as many are ready, have handled the request, and have applied the revision."""
        async with asyncio.timeout(LIMIT):
            while await self._ready(handled, revision) < count:  # noqa: ASYNC110 -- a poll is what a user does
                await asyncio.sleep(0.5)

    async def _ready(self, handled: str, revision: str) -> int:
        return sum(_is_ready(obj, handled, revision) for obj in await self.kustomizations())

    async def kustomizations(self) -> list[dict[str, Any]]:
        """All of the benchmark."""
        return await self.cluster.list(await self.cluster.resource(KUSTOMIZE, "Kustomization"), NAMESPACE)

    async def request(self, count: int) -> None:
        """Ask all of them to reconcile, though nothing is new."""
        resource = await self.cluster.resource(KUSTOMIZE, "Kustomization")
        token = str(time.time_ns())
        body = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}}
        for number in range(count):
            await self.cluster.patch(resource, f"app-{number}", NAMESPACE, body=body)
        await self.all_ready(count, token)

    async def delete_all(self) -> None:
        """Everything of the benchmark, and wait until it is gone."""
        resource = await self.cluster.resource(KUSTOMIZE, "Kustomization")
        for obj in await self.kustomizations():
            await self.cluster.delete(resource, obj["metadata"]["name"], NAMESPACE)
        async with asyncio.timeout(LIMIT):
            while await self.kustomizations():  # noqa: ASYNC110 -- a poll is what a user does
                await asyncio.sleep(0.5)
        try:
            await self.cluster.delete(await self.cluster.resource(SOURCE, "GitRepository"), "bench", NAMESPACE)
        except NotFound:
            return


def kustomization(number: int, *, name: str = "", chained: bool = False, **more: Any) -> dict[str, Any]:
    """The Kustomization of that number; `more` are fields of its spec."""
    spec: dict[str, Any] = {
        "interval": "60m",
        "path": "./podinfo",
        "prune": True,
        "wait": True,
        "timeout": "5m",
        "targetNamespace": NAMESPACE,
        "sourceRef": {"kind": "GitRepository", "name": "bench"},
        "postBuild": {"substitute": {"INDEX": str(number)}},
        **more,
    }
    if chained and number:
        spec["dependsOn"] = [{"name": f"app-{number - 1}"}]
    names = {"name": name or f"app-{number}", "namespace": NAMESPACE}
    return {"apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": names, "spec": spec}


def _is_ready(obj: dict[str, Any], handled: str, revision: str) -> bool:
    status = obj.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    done = not handled or status.get("lastHandledReconcileAt") == handled
    return ready and done and (not revision or revision in str(status.get("lastAppliedRevision")))
