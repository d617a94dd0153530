"""An object that leaves one Kustomization for another is moved: never deleted and created again.

Before something is deleted, every Kustomization that has yet to apply its newest content is built, to see whether it
wants the object; so are Kustomizations that are only about to be created. One that cannot be built claims nothing.
This costs renders, which the cache shares with the steps that need them anyway, and only when something would be
deleted.

What is about to be created is only text in a repository: nobody has admitted it. It is looked into only with rights
that whoever renders it has as well, and only so far. Nor does a Kustomization claim what belongs to another tenant.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fluxless.api import conditions, reasons
from fluxless.api.failure import Problem
from fluxless.api.kinds import KUSTOMIZATION
from fluxless.apply.inventory import Inventory
from fluxless.apply.objects import group_of, identify, parse_id
from fluxless.kustomize.content import fetch, render, resolve_source
from fluxless.kustomize.inputs import read_variables
from fluxless.kustomize.keyring import read_keys
from fluxless.kustomize.run import KustomizationRun
from fluxless.limits import MOVE_BUILDS, MOVE_DEPTH, MOVE_SECONDS
from fluxless.reconcile.accounts import user_of
from fluxless.reconcile.dependencies import artifact_of, source_of
from fluxless.reconcile.target import open_target
from fluxless.reconcile.world import Ref

log = logging.getLogger("fluxless.kustomize")
LOOK = (resolve_source, open_target, read_variables, read_keys, fetch, render)
AT_ONCE = 4
Name = tuple[str, str, str, str]
"""(group, kind, namespace, name)."""


async def moved(run: KustomizationRun, dropped: Inventory) -> dict[str, Ref]:
    """Which of the objects that `run` no longer wants are wanted by another Kustomization of the same cluster."""
    search = _Search(run, {_name(id_): id_ for id_ in dropped})
    try:
        async with asyncio.timeout(MOVE_SECONDS):
            await search.all()
    except TimeoutError:
        log.warning("cluster=%s object=%s not all built to look for moves", run.cluster.name, run.ref)
    return search.found


class _Search:
    """Round by round: what is there, what that would create, what this would create, and so on."""

    def __init__(self, run: KustomizationRun, names: Mapping[Name, str]) -> None:
        self._run = run
        self._names = names
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._seen = {run.ref}
        self.found: dict[str, Ref] = {}

    async def all(self) -> None:
        """Fill `found`, until nothing is left to be found or to be looked into."""
        there = self._run.survey.world.objects.items()
        todo = [obj for ref, obj in there if ref != self._run.ref and self._may_want(ref, obj)]
        self._seen |= {Ref.of(obj) for obj in todo}
        for _ in range(MOVE_DEPTH + 1):
            if not todo or len(self.found) == len(self._names):
                return
            rendered = await asyncio.gather(*(self._ask(obj) for obj in todo))
            todo = [new for owner, objects in zip(todo, rendered, strict=True) for new in self._created(owner, objects)]
            del todo[MOVE_BUILDS:]

    async def _ask(self, owner: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._slots:
            objects = await _objects_of(self._run, owner)
        for obj in objects:
            if id_ := _among(obj, self._names):
                self.found.setdefault(id_, Ref.of(owner))
        return objects

    def _created(self, owner: dict[str, Any], objects: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The Kustomizations among the objects that nobody has seen yet, and that may be looked into."""
        rights = self._user(owner)
        for obj in objects:
            if not _is_kustomization(obj) or Ref.of(obj) in self._seen or self._run.survey.world.get(Ref.of(obj)):
                continue
            if rights in {"", self._user(obj)} and self._same_target(obj) and self._may_claim(obj):
                self._seen.add(Ref.of(obj))
                yield obj

    def _may_want(self, ref: Ref, obj: dict[str, Any]) -> bool:
        """Another Kustomization for the same cluster whose newest content is neither applied nor known to be broken."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        if ref.kind != KUSTOMIZATION.kind or spec.get("suspend") or obj["metadata"].get("deletionTimestamp"):
            return False
        if not self._same_target(obj) or not self._may_claim(obj):
            return False
        source = source_of(obj)
        artifact = artifact_of(self._run.survey.world.get(source)) if source is not None else None
        if artifact is None:
            return False
        newest = artifact.get("revision"), obj["metadata"].get("generation")
        tried, seen = status.get("lastAttemptedRevision"), status.get("observedGeneration")
        broken = (conditions.get(obj, "Ready") or {}).get("reason") == reasons.BUILD_FAILED and (tried, seen) == newest
        return not broken and (status.get("lastAppliedRevision"), seen) != newest

    def _may_claim(self, obj: dict[str, Any]) -> bool:
        """Whose word counts: the app's, and that of one's own namespace."""
        return not self._user(obj) or obj["metadata"].get("namespace") == self._run.ref.namespace

    def _same_target(self, obj: dict[str, Any]) -> bool:
        """A kubeConfig names a Secret of the object's own namespace."""
        wanted = (obj.get("spec") or {}).get("kubeConfig")
        mine = self._run.spec.get("kubeConfig")
        return wanted == mine and (not wanted or obj["metadata"].get("namespace") == self._run.ref.namespace)

    def _user(self, obj: dict[str, Any]) -> str:
        return user_of(obj, self._run.services.settings.default_service_account)


async def _objects_of(run: KustomizationRun, obj: dict[str, Any]) -> list[dict[str, Any]]:
    """What a Kustomization would apply, read with its own rights; nothing when that cannot be told."""
    metadata = {"uid": "", "generation": 0, **obj["metadata"]}
    scout = KustomizationRun(run.kind, obj | {"metadata": metadata}, run.survey, run.services)
    try:
        for phase in LOOK:
            await phase(scout)
    except (Problem, LookupError, TypeError, ValueError, AttributeError) as problem:  # it may never have been validated
        log.info("cluster=%s object=%s not built to look for moves: %s", run.cluster.name, scout.ref, problem)
        return []
    return [item.object for item in scout.build.objects]


def _is_kustomization(obj: dict[str, Any]) -> bool:
    named = obj["metadata"].get("name") and obj["metadata"].get("namespace")
    return bool(named) and obj["kind"] == KUSTOMIZATION.kind and group_of(obj["apiVersion"]) == KUSTOMIZATION.group


def _name(id_: str) -> Name:
    parsed = parse_id(id_)
    return parsed.group, parsed.kind, parsed.namespace, parsed.name


def _among(obj: dict[str, Any], names: Mapping[Name, str]) -> str:
    """The inventory id that the object has; one of cluster scope may have been given a namespace by kustomize."""
    id_ = identify(obj)
    both = (id_.group, id_.kind, id_.namespace, id_.name), (id_.group, id_.kind, "", id_.name)
    return next((names[name] for name in both if name in names), "")
