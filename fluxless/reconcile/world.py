"""All Flux objects of one cluster at one moment: one LIST per kind. Plans and steps read it, nobody changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fluxless.api.kinds import Kind
from fluxless.kube.client import Cluster
from fluxless.kube.errors import Forbidden, NoSuchKind
from fluxless.reconcile.accounts import user_of


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
class Rules:
    """App settings that decide who works on what, and when: plans and steps must go by the same.

    `default_account` stands for objects that name no service account. `additive` is Flux's gate
    `AdditiveCELDependencyCheck`: a `readyExpr` comes on top of the built-in check (CM-22). `selector` is Flux's
    `--watch-label-selector` (CM-13): objects that it does not select are read, and worked on by somebody else. A
    source that is asked for again and again is started every `spacing` seconds.
    """

    default_account: str = ""
    additive: bool = False
    selector: str = ""
    spacing: float = 0.0


FLUX_RULES = Rules()
"""Those of Flux without flags."""


@dataclass(frozen=True, slots=True)
class World:
    """`objects` by reference; `taken` is the time (seconds since the epoch) before the first LIST was sent.

    `others` are objects of foreign kinds that `dependsOn` names, as the user that its object is worked on as may see
    them: a tenant must not learn by a `readyExpr` what is in somebody else's objects. Nobody reconciles them.
    `configs` are the versions of the ConfigMaps and Secrets that
    objects refer to.
    """

    objects: Mapping[Ref, dict[str, Any]]
    taken: float
    others: Mapping[tuple[str, Ref], dict[str, Any]] = field(default_factory=dict)
    configs: Mapping[Ref, str] = field(default_factory=dict)
    rules: Rules = FLUX_RULES

    def get(self, ref: Ref) -> dict[str, Any] | None:
        """The object as it was, or None when it did not exist."""
        return self.objects.get(ref)

    def dependency(self, obj: Mapping[str, Any], ref: Ref) -> dict[str, Any] | None:
        """What `dependsOn` of the object means by a reference, or None when there is none that it may see."""
        return self.objects.get(ref) or self.others.get((user_of(obj, self.rules.default_account), ref))


async def take(cluster: Cluster, kinds: Iterable[Kind], now: float, rules: Rules = FLUX_RULES) -> World:
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
    others = await _others(cluster, objects.values(), {kind.kind for kind in known}, rules.default_account)
    return World(objects, now, others, rules=rules)


async def _others(
    cluster: Cluster, objects: Iterable[dict[str, Any]], known: set[str], default_account: str
) -> dict[tuple[str, Ref], dict[str, Any]]:
    """The objects of foreign kinds that `dependsOn` names: one GET each, and none in most clusters."""
    wanted = {
        (
            user_of(obj, default_account),
            str(entry["apiVersion"]),
            Ref(entry["kind"], entry.get("namespace") or obj["metadata"]["namespace"], entry["name"]),
        )
        for obj in objects
        for entry in (obj.get("spec") or {}).get("dependsOn") or []
        if entry.get("apiVersion") and entry.get("kind") and entry["kind"] not in known
    }

    async def get(user: str, api_version: str, ref: Ref) -> dict[str, Any] | None:
        view = cluster.impersonating(user) if user else cluster
        try:
            resource = await cluster.resource(api_version, ref.kind)
            return await view.get(resource, ref.name, ref.namespace if resource.namespaced else "")
        except (NoSuchKind, Forbidden):
            return None

    found = await asyncio.gather(*(get(*one) for one in wanted))
    return {(user, ref): obj for (user, _, ref), obj in zip(wanted, found, strict=True) if obj is not None}
