"""Connections to clusters that objects name themselves (`spec.kubeConfig`): opened once per content, kept a while."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict

from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect

KEPT = 50
"""Connections; the ones that were not used for longest are closed."""
FRESH = 3300.0
"""Seconds after which a connection is opened anew: credentials from ARM and token requests live for an hour."""


class Remotes:
    """`get` opens or returns a connection; `close` ends all."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[float, Cluster]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, config: ClusterConfig) -> Cluster:
        """The connection for a configuration. Raises `Problem`."""
        text = "\0".join((config.kubeconfig_inline, config.resource_id, config.client_id))
        key = hashlib.sha256(text.encode()).hexdigest()
        async with self._lock:
            opened, cluster = self._open.get(key, (0.0, None))
            if cluster is None or time.monotonic() - opened > FRESH:
                cluster = await connect(config)
                self._open[key] = (time.monotonic(), cluster)
            self._open.move_to_end(key)
            old = [self._open.popitem(last=False)[1][1] for _ in range(len(self._open) - KEPT)]
        for unused in old:
            await unused.close()
        return cluster

    async def close(self) -> None:
        """Give back every connection."""
        for _, cluster in self._open.values():
            await cluster.close()
        self._open.clear()
