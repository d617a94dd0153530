"""What lives in one cluster, by one LIST per kind for everybody who asks in the same pass
(docs/decisions/drift-by-ownership.md).

The engine makes one census per cluster and hands it to all Kustomizations that it reconciles. It lists the objects that
carry an owner label, in all namespaces; metadata only, unless somebody needs their status. It never writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxless.apply import fields, owner
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject
from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem, TooManyRequests, Unreachable
from fluxless.kube.resource import Resource

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is empty."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at a live object tells an apply or a prune; small, because a cluster may have thousands."""

    uid: str
    resource_version: str
    mark: str
    """`fields.fingerprint` of the object."""
    owner: tuple[str, str]
    """(name, namespace) from its owner labels."""
    hands_off: bool
    keeps: bool
    merges: bool
    takeover: bool
    """Whether it has leftovers of earlier managers."""

    @classmethod
    def of(cls, obj: Mapping[str, Any], manager: str, managers: fields.Managers, group: str) -> Sighting:
        """Read a live object, whole or metadata only."""
        metadata = obj["metadata"]
        return cls(
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            mark=fields.fingerprint(obj, manager),
            owner=owner.owner_labels(obj, group),
            hands_off=owner.hands_off(obj, group),
            keeps=owner.keeps(obj, group),
            merges=owner.merges(obj, group),
            takeover=fields.to_take_over(obj, managers, group),
        )


@dataclass(slots=True)
class _Page:
    """One kind. `objects` is None for a metadata-only listing; `listed` is False where the LIST was refused."""

    sightings: dict[Key, Sighting] = field(default_factory=dict)
    objects: dict[Key, KubeObject] | None = None
    listed: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for a page, shared by all who wait for it."""

    at: float
    status: bool
    answer: asyncio.Future[_Page]


class Census:
    """Looks at live objects. `clock` gives seconds since the epoch, so that a plan and its batches can share a time."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        manager: str = owner.MANAGER,
        group: str = owner.GROUP,
        managers: fields.Managers = fields.TAKEN_OVER,
        max_age: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cluster = cluster
        self.manager = manager
        self.group = group
        self.managers = managers
        self._max_age = max_age
        self._clock = clock
        self._asked: dict[tuple[str, str], _Asked] = {}

    async def look(
        self, resource: Resource, keys: Iterable[Key], *, since: float = 0.0, status: bool = False
    ) -> dict[Key, Sighting]:
        """The labelled objects among `keys` that exist, as they were no earlier than `since` and `max_age` ago.

        `status` announces that `whole` will be asked next, so that one LIST serves both. Where listing the kind is
        forbidden or fails, one GET per object stands in (then also for unlabelled ones). Raises `ApiProblem` when that
        fails too.
        """
        page = await self._page(resource, status=status, since=since)
        wanted = list(keys)
        if page.listed:
            return {key: page.sightings[key] for key in wanted if key in page.sightings}
        found = await each(lambda key: self.cluster.get(resource, key[1], key[0]), wanted)
        return {key: self.sight(obj) for key, obj in zip(wanted, found, strict=True) if obj is not None}

    async def whole(self, resource: Resource, namespace: str, name: str, *, since: float = 0.0) -> KubeObject | None:
        """The whole object with its status, or None; a labelled one from the shared LIST, any other by its own GET."""
        page = await self._page(resource, status=True, since=since)
        found = (page.objects or {}).get((namespace, name))
        return found if found is not None else await self.cluster.get(resource, name, namespace)

    def sight(self, obj: Mapping[str, Any]) -> Sighting:
        """What an object that the caller holds would tell."""
        return Sighting.of(obj, self.manager, self.managers, self.group)

    async def note(self, resource: Resource, obj: KubeObject) -> None:
        """Put an API server's answer into a listing made before it, so that nobody takes our own write for drift."""
        page = await self._finished(resource)
        if page is not None:
            key = _key(obj)
            page.sightings[key] = self.sight(obj)
            if page.objects is not None:
                page.objects[key] = fields.without_managed_fields(obj)

    async def forget(self, resource: Resource, namespace: str, name: str) -> None:
        """Take an object that we have deleted out of a listing made before."""
        page = await self._finished(resource)
        if page is not None:
            page.sightings.pop((namespace, name), None)
            if page.objects is not None:
                page.objects.pop((namespace, name), None)

    async def _page(self, resource: Resource, *, status: bool, since: float) -> _Page:
        """The shared listing: the first who asks starts the request, the others wait for it."""
        kind = (resource.api_version, resource.kind)
        now = self._clock()
        asked = self._asked.get(kind)
        if asked is None or asked.at < max(since, now - self._max_age) or (status and not asked.status):
            asked = _Asked(now, status, asyncio.ensure_future(self._list(resource, status)))
            self._asked[kind] = asked
        try:
            # Shielded: one caller's timeout must not take the answer away from the others.
            return await asyncio.shield(asked.answer)
        except Exception:
            if self._asked.get(kind) is asked:
                del self._asked[kind]
            raise

    async def _finished(self, resource: Resource) -> _Page | None:
        asked = self._asked.get((resource.api_version, resource.kind))
        if asked is None:
            return None
        try:
            return await asyncio.shield(asked.answer)
        except ApiProblem:
            return None

    async def _list(self, resource: Resource, status: bool) -> _Page:
        try:
            items = await self.cluster.list(resource, labels=f"{self.group}/name", metadata_only=not status)
        except (Unreachable, TooManyRequests):
            raise
        except ApiProblem:
            return _Page(listed=False)
        page = _Page(objects={} if status else None)
        for obj in items:
            key = _key(obj)
            page.sightings[key] = self.sight(obj)
            if page.objects is not None:
                page.objects[key] = fields.without_managed_fields(obj)
        return page


def _key(obj: Mapping[str, Any]) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
