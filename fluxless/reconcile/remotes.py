"""Connections to clusters that objects name themselves (`spec.kubeConfig`): opened once per content, kept a while.

Here is decided which clusters objects may open as the app: those that the app setting of their own cluster names.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.kube.client import Cluster
from fluxless.kube.connect import Brought, ClusterConfig, Named, connect_brought, connect_named

if TYPE_CHECKING:
    from fluxless.auth.identity import Identity

KEPT = 50
"""Connections; the ones that were not used for longest are closed."""
FRESH = 3300.0
"""Seconds after which a connection is opened anew: credentials from ARM and token requests live for an hour."""


class ClusterRefused(Problem):
    """An object may not open a cluster as the app."""


class Remotes:
    """`get` opens or returns a connection; `close` ends all. `clusters` are those of the app settings."""

    def __init__(self, clusters: Mapping[str, ClusterConfig] | None = None) -> None:
        self._clusters = clusters or {}
        self._open: OrderedDict[str, tuple[float, Cluster, Identity | None]] = OrderedDict()
        self._lock = asyncio.Lock()

    def as_app(self, by: str, label: str, resource_id: str) -> Named:
        """A cluster that an object of the cluster `by` names without an account, so that the app opens it. Raises
        `ClusterRefused` naming the setting where that is not allowed.
        """
        from fluxless.auth.identity import credential

        config = self._clusters.get(by, ClusterConfig(by))
        if resource_id.lower() not in config.may_open:
            words = f"objects of cluster {by!r} may not open {resource_id} as the app"
            step = (
                f'add it to "mayOpen" of {by!r} in the app setting FLUXLESS_CLUSTERS, or let the ConfigMap name a '
                "serviceAccountName that is federated with an identity of its own"
            )
            raise ClusterRefused(Failure(FailureClass.FORBIDDEN, words, next_step=step))
        client_id = config.open_as or os.environ.get("FLUXLESS_IDENTITY_CLIENT_ID") or None

        async def identity() -> Identity:
            return credential(client_id)

        return Named(label, resource_id, f"app/{client_id or ''}", identity)

    async def get(self, config: Brought | Named) -> Cluster:
        """The connection for a kubeconfig or a name. Raises `Problem`."""
        text = config.text if isinstance(config, Brought) else f"{config.resource_id.lower()}\0{config.who}"
        key = hashlib.sha256(f"{type(config).__name__}\0{text}".encode()).hexdigest()
        old: list[tuple[float, Cluster, Identity | None]] = []
        async with self._lock:
            opened, cluster, _ = self._open.get(key, (0.0, None, None))
            if cluster is None or time.monotonic() - opened > FRESH:
                cluster, own = await _opened(config)
                self._open[key] = (time.monotonic(), cluster, own)
            self._open.move_to_end(key)
            old += [self._open.popitem(last=False)[1] for _ in range(len(self._open) - KEPT)]
        for unused in old:
            await _closed(*unused)
        return cluster

    async def close(self) -> None:
        """Give back every connection."""
        for known in self._open.values():
            await _closed(*known)
        self._open.clear()


async def _opened(config: Brought | Named) -> tuple[Cluster, Identity | None]:
    if isinstance(config, Brought):
        return await connect_brought(config), None
    identity = await config.identity()
    return await connect_named(config, identity), None if identity.shared else identity


async def _closed(_: float, cluster: Cluster, own: Identity | None) -> None:
    await cluster.close()
    if own is not None:
        await own.close()
