"""Which ConfigMaps and Secrets do objects refer to, and has one of them changed (CM-11)? Versions only, never content.

Flux watches those that carry a label. Here every plan looks at all that are referred to, by one metadata-only LIST per
kind and namespace, so that the label is obeyed and not needed.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem
from fluxless.reconcile.world import Ref

FRESH = 5.0
"""Seconds for which a look is good: plans of one burst share it."""
NAMESPACES = 16
"""Namespaces above which one LIST of the whole cluster is cheaper."""


def referred(obj: Mapping[str, Any]) -> Iterator[Ref]:
    """What a Kustomization or HelmRelease reads besides its source, in its own namespace."""
    spec, namespace = obj.get("spec") or {}, obj["metadata"].get("namespace", "")
    values = spec.get("valuesFrom") or [] if obj.get("kind") == "HelmRelease" else []
    for entry in [*((spec.get("postBuild") or {}).get("substituteFrom") or []), *values]:
        yield Ref(str(entry.get("kind")), namespace, str(entry.get("name")))
    for place, name, kind in (
        ("decryption", "secretRef", "Secret"),
        ("kubeConfig", "secretRef", "Secret"),
        ("kubeConfig", "configMapRef", "ConfigMap"),
    ):
        reference = (spec.get(place) or {}).get(name)
        if reference:
            yield Ref(kind, namespace, str(reference.get("name")))


def digest(obj: Mapping[str, Any], versions: Mapping[Ref, str]) -> str:
    """One short word for the versions of all that the object refers to; empty when it refers to nothing."""
    words = [f"{ref}@{versions.get(ref, '')}" for ref in sorted(set(referred(obj)))]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16] if words else ""


@dataclass(slots=True)
class ConfigWatch:
    """The versions of what one cluster's objects refer to, looked up again when they are no longer fresh."""

    _versions: dict[Ref, str] = field(default_factory=dict)
    _wanted: frozenset[Ref] = frozenset()
    _at: float = float("-inf")

    async def look(self, cluster: Cluster, objects: Iterable[Mapping[str, Any]]) -> dict[Ref, str]:
        """Versions by reference; what does not exist is missing. A kind that cannot be listed keeps its versions."""
        wanted = frozenset(ref for obj in objects for ref in referred(obj))
        if wanted <= self._wanted and time.monotonic() - self._at < FRESH:
            return self._versions
        places: dict[str, set[str]] = defaultdict(set)
        for ref in wanted:
            places[ref.kind].add(ref.namespace)
        listings = [
            (kind, namespace)
            for kind, namespaces in places.items()
            for namespace in (namespaces if len(namespaces) <= NAMESPACES else [""])
        ]
        found = await asyncio.gather(*(self._list(cluster, kind, namespace) for kind, namespace in listings))
        self._versions = {ref: version for part in found for ref, version in part.items() if ref in wanted}
        self._wanted, self._at = wanted, time.monotonic()
        return self._versions

    async def _list(self, cluster: Cluster, kind: str, namespace: str) -> dict[Ref, str]:
        try:
            items = await cluster.list(await cluster.resource("v1", kind), namespace, metadata_only=True)
        except ApiProblem:  # whoever reads it will say so in its status
            return {
                ref: version
                for ref, version in self._versions.items()
                if ref.kind == kind and namespace in {"", ref.namespace}
            }
        return {Ref.of(item): str(item["metadata"].get("resourceVersion", "")) for item in items}
