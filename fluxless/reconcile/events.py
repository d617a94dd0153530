"""Kubernetes Events about Flux objects (CM-19, CM-20): written for `flux events` and `kubectl describe`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from fluxless.api.kinds import Kind
from fluxless.api.timestamps import format_timestamp
from fluxless.kube.client import Cluster
from fluxless.kube.errors import AlreadyExists

MESSAGE_LIMIT = 1024
"""Characters; what the Events API accepts. The full text is in the run record."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell. `metadata` keys lack the API group, which is added on writing (CM-20)."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)


async def emit(cluster: Cluster, kind: Kind, obj: dict[str, Any], event: Event, now: float) -> None:
    """Write the event; the same event again raises the count of the first one instead of making another."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace") or "default"
    when = format_timestamp(now)
    key = "\0".join((metadata["uid"], event.type, event.reason, event.message))
    name = f"{metadata['name'][:220]}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    annotations = {f"{kind.group}/{name}": value for name, value in event.metadata.items() if value}
    annotations |= {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if name.startswith("event.toolkit.fluxcd.io/")
    }
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "involvedObject": {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:MESSAGE_LIMIT],
        "source": {"component": kind.component},
        "reportingComponent": kind.component,
        "reportingInstance": "fluxless",
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
    try:
        await cluster.create(body)
    except AlreadyExists:
        await _count_again(cluster, name, namespace, when)


async def _count_again(cluster: Cluster, name: str, namespace: str, when: str) -> None:
    resource = await cluster.resource("v1", "Event")
    known = await cluster.get(resource, name, namespace)
    if known is not None:
        again = {"count": int(known.get("count") or 1) + 1, "lastTimestamp": when}
        await cluster.patch(resource, name, namespace, body=again)
