"""All Flux objects of one cluster at one moment: one LIST per kind. Plans and steps read it, nobody changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fluxless.api.kinds import Kind
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind


class Ref(NamedTuple):
    """The name of one Flux object in one cluster; its text form is `Kind/namespace/name`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """The text form, as events and logs print it."""
        return f"{self.kind}/{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """The reverse of `str`. Raises ValueError for anything else."""
        kind, namespace, name = text.split("/")
        return cls(kind, namespace, name)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Ref:
        """The reference of a live object."""
        metadata = obj["metadata"]
        return cls(obj["kind"], metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True, slots=True)
class World:
    """`objects` by reference; `taken` is the time (seconds since the epoch) before the first LIST was sent."""

    objects: Mapping[Ref, dict[str, Any]]
    taken: float

    def get(self, ref: Ref) -> dict[str, Any] | None:
        """The object as it was, or None when it did not exist."""
        return self.objects.get(ref)


async def take(cluster: Cluster, kinds: Iterable[Kind], now: float) -> World:
    """List every kind at once. A kind whose CRD is not installed has no objects."""

    async def objects_of(kind: Kind) -> list[dict[str, Any]]:
        try:
            resource = await cluster.resource(kind.api_version, kind.kind)
        except NoSuchKind:
            return []
        return await cluster.list(resource)

    listed = await asyncio.gather(*(objects_of(kind) for kind in kinds))
    return World({Ref.of(obj): obj for items in listed for obj in items}, now)
