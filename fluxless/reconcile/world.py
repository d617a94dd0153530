"""All Flux objects of one cluster at one moment: one LIST per kind. Plans and steps read it, nobody changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fluxless.api.kinds import Kind
from fluxless.kube.client import Cluster
from fluxless.kube.errors import Forbidden, NoSuchKind
from fluxless.limits import DEPENDENCIES
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

    `others` are objects that `dependsOn` names, of foreign kinds or with a `readyExpr` over another namespace, as the
    user that its object is worked on as sees them: a tenant must not learn by an expression what is in somebody else's
    objects. `denied` are those that this user may not read. Nobody reconciles foreign kinds.
    `configs` are the versions of the ConfigMaps and Secrets that
    objects refer to.
    """

    objects: Mapping[Ref, dict[str, Any]]
    taken: float
    others: Mapping[tuple[str, Ref], dict[str, Any]] = field(default_factory=dict)
    denied: frozenset[tuple[str, Ref]] = frozenset()
    configs: Mapping[Ref, str] = field(default_factory=dict)
    rules: Rules = FLUX_RULES
    reckoned: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was found out about this snapshot once, by those who look at it: it never changes."""

    def get(self, ref: Ref) -> dict[str, Any] | None:
        """The object as it was, or None when it did not exist."""
        return self.objects.get(ref)

    def dependency(self, obj: Mapping[str, Any], ref: Ref) -> dict[str, Any] | None:
        """What `dependsOn` of the object means by a reference, or None when there is none that it may see."""
        return self.objects.get(ref) or self.others.get((self.user(obj), ref))

    def as_seen_by(self, obj: Mapping[str, Any], ref: Ref) -> dict[str, Any] | None:
        """The same for an expression over it: what is elsewhere is as the object's account sees it."""
        if not self.user(obj) or ref.namespace == obj["metadata"].get("namespace", ""):
            return self.dependency(obj, ref)
        return self.others.get((self.user(obj), ref))

    def user(self, obj: Mapping[str, Any]) -> str:
        """As whom the object is worked on; empty for the app itself."""
        return user_of(obj, self.rules.default_account)


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
    others, denied = await _others(cluster, objects.values(), known, rules.default_account)
    return World(objects, now, others, denied, rules=rules)


async def _others(
    cluster: Cluster, objects: Iterable[dict[str, Any]], kinds: Iterable[Kind], default_account: str
) -> tuple[dict[tuple[str, Ref], dict[str, Any]], frozenset[tuple[str, Ref]]]:
    """What `dependsOn` names and this snapshot must not answer for: one GET each, and none in most clusters. The second
    are those that the user may not read.
    """
    versions = {kind.kind: kind.api_version for kind in kinds}
    wanted = {found for obj in objects for found in _asked_for(obj, versions, default_account)}
    denied: set[tuple[str, Ref]] = set()

    async def get(user: str, api_version: str, ref: Ref) -> dict[str, Any] | None:
        view = cluster.impersonating(user) if user else cluster
        try:
            resource = await cluster.resource(api_version, ref.kind)
            return await view.get(resource, ref.name, ref.namespace if resource.namespaced else "")
        except NoSuchKind:
            return None
        except Forbidden:
            denied.add((user, ref))
            return None

    found = await asyncio.gather(*(get(*one) for one in wanted))
    there = {(user, ref): obj for (user, _, ref), obj in zip(wanted, found, strict=True) if obj is not None}
    return there, frozenset(denied)


def _asked_for(
    obj: Mapping[str, Any], versions: Mapping[str, str], default_account: str
) -> Iterator[tuple[str, str, Ref]]:
    """(user, API version, reference) of foreign kinds, and of what an account's `readyExpr` reads elsewhere."""
    user, mine = user_of(obj, default_account), obj["metadata"].get("namespace", "")
    entries = (obj.get("spec") or {}).get("dependsOn") or []
    for entry in entries if len(entries) <= DEPENDENCIES else ():
        kind, namespace = str(entry.get("kind") or obj["kind"]), str(entry.get("namespace") or mine)
        foreign = bool(entry.get("apiVersion") and entry.get("kind") and kind not in versions)
        if foreign or (user and entry.get("readyExpr") and namespace != mine and kind in versions):
            version = str(entry["apiVersion"]) if foreign else versions[kind]
            yield user, version, Ref(kind, namespace, str(entry["name"]))
