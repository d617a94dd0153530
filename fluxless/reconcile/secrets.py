"""Secrets and ConfigMaps that objects refer to: read once per survey, decoded once, never logged."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fluxless.kube.client import Cluster


class References:
    """The Secrets and ConfigMaps of one cluster during one survey. Concurrent callers share one GET per object."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._reads: dict[tuple[str, str, str], asyncio.Task[dict[str, Any] | None]] = {}

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The decoded data of a Secret, or None when there is no such Secret. Raises `ApiProblem`."""
        obj = await self._read("Secret", namespace, name)
        if obj is None:
            return None
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The data of a ConfigMap, binary data included, or None when there is none. Raises `ApiProblem`."""
        obj = await self._read("ConfigMap", namespace, name)
        if obj is None:
            return None
        data = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
        return data | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}

    async def _read(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        key = (kind, namespace, name)
        if key not in self._reads:
            self._reads[key] = asyncio.create_task(self._get(*key))
        return await asyncio.shield(self._reads[key])

    async def _get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return await self._cluster.get(await self._cluster.resource("v1", kind), name, namespace)
