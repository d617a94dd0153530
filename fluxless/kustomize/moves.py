"""An object that leaves one Kustomization for another is moved: never deleted and created again.

Before something is deleted, every Kustomization that has yet to apply its newest content is built, to see whether it
wants the object; so are Kustomizations that are only about to be created. One that cannot be built claims nothing.
This costs renders, which the cache shares with the steps that need them anyway, and only when something would be
deleted.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fluxless.api.failure import Problem
from fluxless.api.kinds import KUSTOMIZATION
from fluxless.apply.inventory import Inventory
from fluxless.apply.objects import group_of, identify, parse_id
from fluxless.kustomize.content import fetch, render, resolve_source
from fluxless.kustomize.inputs import read_variables
from fluxless.kustomize.keyring import read_keys
from fluxless.kustomize.run import KustomizationRun
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
    names = {_name(id_): id_ for id_ in dropped}
    found: dict[str, Ref] = {}
    todo = [obj for ref, obj in run.survey.world.objects.items() if ref != run.ref and _may_want(run, ref, obj)]
    seen = {run.ref} | {Ref.of(obj) for obj in todo}
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(obj: dict[str, Any]) -> list[dict[str, Any]]:
        async with slots:
            return await _objects_of(run, obj)

    while todo and len(found) < len(dropped):
        rendered = await asyncio.gather(*(ask(obj) for obj in todo))
        new: list[dict[str, Any]] = []
        for owner, objects in zip(todo, rendered, strict=True):
            for obj in objects:
                if id_ := _among(obj, names):
                    found.setdefault(id_, Ref.of(owner))
                if _is_kustomization(obj) and Ref.of(obj) not in seen and run.survey.world.get(Ref.of(obj)) is None:
                    seen.add(Ref.of(obj))
                    new.append(obj)
        todo = new
    return found


def _may_want(run: KustomizationRun, ref: Ref, obj: dict[str, Any]) -> bool:
    """Another Kustomization for the same cluster whose newest content is not applied yet."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if ref.kind != KUSTOMIZATION.kind or spec.get("suspend") or obj["metadata"].get("deletionTimestamp"):
        return False
    if spec.get("kubeConfig") != run.spec.get("kubeConfig"):
        return False
    source = source_of(obj)
    artifact = artifact_of(run.survey.world.get(source)) if source is not None else None
    applied = status.get("lastAppliedRevision"), status.get("observedGeneration")
    return artifact is not None and applied != (artifact.get("revision"), obj["metadata"].get("generation"))


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


def _among(obj: dict[str, Any], names: dict[Name, str]) -> str:
    """The inventory id that the object has; one of cluster scope may have been given a namespace by kustomize."""
    id_ = identify(obj)
    both = (id_.group, id_.kind, id_.namespace, id_.name), (id_.group, id_.kind, "", id_.name)
    return next((names[name] for name in both if name in names), "")
