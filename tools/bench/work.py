"""The work that is measured: N Kustomizations over one GitRepository, four objects each, names by substitution.

The same was measured of Flux on this kind of machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fluxless.api import conditions
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NotFound
from fluxless.kube.resource import Resource

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


async def prepare(cluster: Cluster) -> None:
    """The namespace of the benchmark's objects."""
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, manager="bench")


class Objects:
    """The benchmark's objects of one kind, called `<prefix>-<number>`."""

    def __init__(self, cluster: Cluster, api_version: str, kind: str, prefix: str) -> None:
        self._cluster = cluster
        self._api_version = api_version
        self._kind = kind
        self._prefix = prefix

    async def apply(self, name: str, spec: dict[str, Any]) -> None:
        """One object."""
        names = {"name": name, "namespace": NAMESPACE}
        body = {"apiVersion": self._api_version, "kind": self._kind, "metadata": names, "spec": spec}
        await self._cluster.apply(body, manager="bench")

    async def list(self) -> list[dict[str, Any]]:
        """All that there are."""
        return await self._cluster.list(await self._resource(), NAMESPACE)

    async def all_ready(self, count: int, *, handled: str = "", revision: str = "", pause: float = 0.5) -> None:
        """Wait until as many are ready, have handled the request, and have applied the revision."""

        async def ready() -> int:
            return sum(_is_ready(obj, handled, revision) for obj in await self.list())

        async with asyncio.timeout(LIMIT):
            while await ready() < count:  # noqa: ASYNC110 -- a poll is what a user does
                await asyncio.sleep(pause)

    async def request(self, count: int) -> None:
        """Ask all of them to reconcile, though nothing is new; until they have."""
        resource = await self._resource()
        token = str(time.time_ns())
        body = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}}
        for number in range(count):
            await self._cluster.patch(resource, f"{self._prefix}-{number}", NAMESPACE, body=body)
        await self.all_ready(count, handled=token)

    async def delete_all(self) -> None:
        """And wait until they are gone."""
        resource = await self._resource()
        for obj in await self.list():
            await self._cluster.delete(resource, obj["metadata"]["name"], NAMESPACE)
        async with asyncio.timeout(LIMIT):
            while await self.list():  # noqa: ASYNC110 -- a poll is what a user does
                await asyncio.sleep(0.5)

    async def _resource(self) -> Resource:
        return await self._cluster.resource(self._api_version, self._kind)


class Work:
    """The benchmark's objects in one cluster."""

    def __init__(self, cluster: Cluster, git_url: str) -> None:
        self.cluster = cluster
        self.git_url = git_url
        self.kustomizations = Objects(cluster, KUSTOMIZE, "Kustomization", "app")

    async def prepare(self) -> None:
        """The namespace."""
        await prepare(self.cluster)

    async def source(self, interval: str = "60m") -> None:
        """One GitRepository over the repository `bench`."""
        spec = {"interval": interval, "url": f"{self.git_url}/bench.git", "ref": {"branch": "main"}}
        names = {"name": "bench", "namespace": NAMESPACE}
        body = {"apiVersion": SOURCE, "kind": "GitRepository", "metadata": names, "spec": spec}
        await self.cluster.apply(body, manager="bench")

    async def create(self, count: int, *, chained: bool = False, source: str = "60m", **spec: Any) -> None:
        """The source, looked at every `source`, and the Kustomizations; until all are ready."""
        await self.source(source)
        for number in range(count):
            await self.cluster.apply(kustomization(number, chained=chained, **spec), manager="bench")
        await self.all_ready(count)

    async def all_ready(self, count: int, revision: str = "") -> None:
        """Wait until as many are ready and have applied the revision."""
        await self.kustomizations.all_ready(count, revision=revision)

    async def request(self, count: int) -> None:
        """Ask all of them to reconcile, though nothing is new."""
        await self.kustomizations.request(count)

    async def delete_all(self) -> None:
        """Everything of the benchmark, and wait until it is gone."""
        await self.kustomizations.delete_all()
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
    fresh = status.get("observedGeneration") == obj["metadata"]["generation"]
    ready = fresh and conditions.is_true(obj, "Ready")
    done = not handled or status.get("lastHandledReconcileAt") == handled
    return ready and done and (not revision or revision in str(status.get("lastAppliedRevision")))
