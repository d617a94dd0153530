"""An engine over a real cluster, driven as the orchestration drives it, with the verbs that tests need."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fluxless.api import conditions
from fluxless.api.kinds import KINDS, by_name
from fluxless.artifacts.store import Store
from fluxless.engine.engine import Engine
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NotFound
from fluxless.reconcile.invariants import violations
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from tests.support.registry import Images
from tests.support.repositories import Repo

SOURCE = "source.toolkit.fluxcd.io/v1"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
Obj = dict[str, Any]
BUILT = tuple(kind for kind in KINDS if kind.built)


class Flux:
    """`name` is the cluster's name in the engine; objects are made in `namespace`."""

    def __init__(self, engine: Engine, cluster: Cluster, namespace: str, store: Store, name: str = "test") -> None:
        self.engine = engine
        self.cluster = cluster
        self.namespace = namespace
        self.store = store
        self.name = name
        self._tokens = 0

    def configure(self, **settings: Any) -> None:
        """Change app settings."""
        services = self.engine.services
        self.engine.services = replace(services, settings=replace(services.settings, **settings))

    # -- objects ----------------------------------------------------------------------------------------------------

    async def put(self, api_version: str, kind: str, name: str, spec: Obj) -> Obj:
        """Apply an object as a user would."""
        body = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        return await self.cluster.apply(body, manager="user")

    async def source(self, repo: Repo, name: str = "repo", **spec: Any) -> Obj:
        """A GitRepository."""
        return await self.put(
            SOURCE, "GitRepository", name, {"interval": "10m", "url": repo.url, "ref": {"branch": "main"}, **spec}
        )

    async def kustomization(self, name: str, source: str = "repo", **spec: Any) -> Obj:
        """A Kustomization over the source, into the test's namespace; None leaves a field of these out."""
        base = {
            "interval": "10m",
            "prune": True,
            "targetNamespace": self.namespace,
            "sourceRef": {"kind": "GitRepository", "name": source},
        }
        fields = {key: value for key, value in (base | spec).items() if value is not None}
        return await self.put(KUSTOMIZE, "Kustomization", name, fields)

    async def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Obj | None:
        """Any object of the namespace."""
        resource = await self.cluster.resource(api_version, kind)
        where = (self.namespace if namespace is None else namespace) if resource.namespaced else ""
        return await self.cluster.get(resource, name, where)

    async def oci(self, images: Images, name: str = "repo", **spec: Any) -> Obj:
        """An OCIRepository."""
        return await self.put(SOURCE, "OCIRepository", name, {"interval": "10m", "url": images.url, **spec})

    async def secret(self, name: str, data: dict[str, str], kind: str = "Opaque") -> None:
        """A Secret of the namespace."""
        metadata = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "stringData": data}
        await self.cluster.apply(body, manager="user")

    async def source_of(self, kind: str, name: str = "repo") -> Obj:
        """A source as it is now."""
        found = await self.get(by_name(kind).api_version, kind, name)
        assert found is not None
        return found

    async def repository(self, name: str = "repo") -> Obj:
        """A GitRepository as it is now."""
        found = await self.get(SOURCE, "GitRepository", name)
        assert found is not None
        return found

    async def ks(self, name: str) -> Obj:
        """A Kustomization as it is now."""
        found = await self.get(KUSTOMIZE, "Kustomization", name)
        assert found is not None
        return found

    async def value(self, name: str) -> str | None:
        """The value in a ConfigMap of the tests, or None when it does not exist."""
        found = await self.get("v1", "ConfigMap", name)
        return None if found is None else str(found["data"]["value"])

    async def patch(self, api_version: str, kind: str, name: str, body: Obj, *, manager: str = "kubectl-edit") -> Obj:
        """Change an object behind the engine's back."""
        resource = await self.cluster.resource(api_version, kind)
        namespace = self.namespace if resource.namespaced else ""
        return await self.cluster.patch(resource, name, namespace, body=body, manager=manager)

    async def delete(self, api_version: str, kind: str, name: str) -> None:
        """Delete an object as a user would."""
        await self.cluster.delete(await self.cluster.resource(api_version, kind), name, self.namespace)

    async def request(self, kind: str, *names: str) -> None:
        """Ask for a reconciliation, as `flux reconcile` does."""
        self._tokens += 1
        token = f"{time.time_ns()}-{self._tokens}"
        for name in names:
            body = {"metadata": {"annotations": {RECONCILE_ANNOTATION: token}}}
            await self.patch(by_name(kind).api_version, kind, name, body)

    async def events(self, name: str) -> list[Obj]:
        """The events about an object, oldest first."""
        found = await self.cluster.list(await self.cluster.resource("v1", "Event"), self.namespace)
        mine = [event for event in found if event["involvedObject"]["name"] == name]
        return sorted(mine, key=lambda event: str(event["lastTimestamp"]))

    # -- time -------------------------------------------------------------------------------------------------------

    async def run(
        self, limit: float = 120.0, patience: float = 5.0, enough: Callable[[], Awaitable[bool]] | None = None
    ) -> int:
        """Plan and reconcile until nothing is due within `patience` seconds, or it is `enough`; the number of plans."""
        plans = 0
        finished: dict[str, list[list[Any]]] = {}
        async with asyncio.timeout(limit):
            while True:
                steps = await self.engine.plan(self.name, [], finished)
                plans += 1
                finished = {}
                if enough is not None and await enough():
                    return plans
                if steps.batches:
                    outcomes = await asyncio.gather(*(self.engine.reconcile(self.name, b) for b in steps.batches))
                    finished = dict(zip(steps.batches, outcomes, strict=True))
                elif steps.wake_after is None or steps.wake_after > patience:
                    return plans
                else:
                    await asyncio.sleep(steps.wake_after)

    async def run_until(self, holds: Callable[[], Awaitable[bool]], times: int = 3, limit: float = 120.0) -> None:
        """Plan and reconcile until it was seen to hold so many times: of what waits, that it goes on waiting."""
        seen = 0

        async def enough() -> bool:
            nonlocal seen
            seen += await holds()
            return seen == times

        await self.run(limit, limit, enough)
        assert seen == times

    async def check(self) -> None:
        """The invariants of every status in the namespace."""
        for kind in BUILT:
            resource = await self.cluster.resource(kind.api_version, kind.kind)
            for obj in await self.cluster.list(resource, self.namespace):
                assert violations(obj) == [], obj["metadata"]["name"]

    async def clean(self) -> None:
        """Delete what the test has made, finalizers and all, so that no other test sees it."""
        for kind in reversed(BUILT):
            resource = await self.cluster.resource(kind.api_version, kind.kind)
            for obj in await self.cluster.list(resource, self.namespace):
                name = obj["metadata"]["name"]
                await self.cluster.delete(resource, name, self.namespace)
                with contextlib.suppress(NotFound):
                    await self.cluster.patch(resource, name, self.namespace, body={"metadata": {"finalizers": None}})


def ready(obj: Obj) -> tuple[str, str]:
    """(status, reason) of Ready."""
    found = conditions.get(obj, "Ready") or {}
    return str(found.get("status")), str(found.get("reason"))


def message(obj: Obj, condition: str = "Ready") -> str:
    """The message of a condition."""
    return str((conditions.get(obj, condition) or {}).get("message"))
