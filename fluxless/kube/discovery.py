"""Which kinds an API server serves, by aggregated discovery: two requests for everything. Pure parsing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fluxless.kube.resource import Resource

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
"""Media type of aggregated discovery (Kubernetes 1.30 and later serve `v2`)."""
PATHS = ("/api", "/apis")


def _names(entry: Mapping[str, Any]) -> tuple[str, ...]:
    singular = entry.get("singularResource")
    return (entry["resource"], *([singular] if singular else []), *(entry.get("shortNames") or []))


def parse(documents: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Resource]:
    """Resources by (apiVersion, kind), from `APIGroupDiscoveryList` documents. Subresources are left out."""
    found: dict[tuple[str, str], Resource] = {}
    for document in documents:
        for group in document.get("items") or []:
            name = group["metadata"].get("name", "")
            for version in group.get("versions") or []:
                for entry in version.get("resources") or []:
                    kind = (entry.get("responseKind") or {}).get("kind")
                    if not kind:
                        continue
                    resource = Resource(
                        group=name,
                        version=version["version"],
                        kind=kind,
                        plural=entry["resource"],
                        namespaced=entry.get("scope") == "Namespaced",
                        names=_names(entry),
                    )
                    found.setdefault((resource.api_version, kind), resource)
    return found
