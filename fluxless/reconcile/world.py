"""All Flux objects of one cluster at one moment: one LIST per kind. Plans and steps read it, nobody changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fluxless.api.kinds import Kind
from fluxless.kube.client import Cluster
from fluxless.kube.errors import Forbidden, NoSuchKind


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
    """`objects` by reference; `taken` is the time (seconds since the epoch) before the first LIST was sent.

    `others` are objects of foreign kinds that `dependsOn` names; nobody reconciles them. `configs` are the versions of
    the ConfigMaps and Secrets that objects refer to.
    """

    objects: Mapping[Ref, dict[str, Any]]
    taken: float
    others: Mapping[Ref, dict[str, Any]] = field(default_factory=dict)
    configs: Mapping[Ref, str] = field(default_factory=dict)

    def get(self, ref: Ref) -> dict[str, Any] | None:
        """The object as it was, or None when it did not exist."""
        return self.objects.get(ref) or self.others.get(ref)


async def take(cluster: Cluster, kinds: Iterable[Kind], now: float) -> World:
    """List every kind at once. A kind whose CRD is not installed has no objects."""

    async def objects_of(kind: Kind) -> list[dict[str, Any]]:
        try:
            resource = await cluster.resource(kind.api_version, kind.kind)
        except NoSuchKind:
            return []
        return await cluster.list(resource)

    known = tuple(kinds)
    listed = await asyncio.gather(*(objects_of(kind) for kind in known))
    objects = {Ref.of(obj): obj for items in listed for obj in items}
    return World(objects, now, await _others(cluster, objects.values(), {kind.kind for kind in known}))


async def _others(cluster: Cluster, objects: Iterable[dict[str, Any]], known: set[str]) -> dict[Ref, dict[str, Any]]:
    """The objects of foreign kinds that `dependsOn` names: one GET each, and none in most clusters."""
    wanted = {
        (
            str(entry["apiVersion"]),
            Ref(entry["kind"], entry.get("namespace") or obj["metadata"]["namespace"], entry["name"]),
        )
        for obj in objects
        for entry in (obj.get("spec") or {}).get("dependsOn") or []
        if entry.get("apiVersion") and entry.get("kind") and entry["kind"] not in known
    }

    async def get(api_version: str, ref: Ref) -> dict[str, Any] | None:
        try:
            resource = await cluster.resource(api_version, ref.kind)
            return await cluster.get(resource, ref.name, ref.namespace if resource.namespaced else "")
        except (NoSuchKind, Forbidden):
            return None

    found = await asyncio.gather(*(get(api_version, ref) for api_version, ref in wanted))
    return {ref: obj for (_, ref), obj in zip(wanted, found, strict=True) if obj is not None}
