"""The objects of a release: which they are, and what the API server said when they were written (HR-44, HR-74)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from fluxless.apply import inventory
from fluxless.apply.inventory import Inventory
from fluxless.apply.objects import KubeObject, object_id, version_of
from fluxless.apply.record import AppliedRecord, Entry
from fluxless.charts.chart import Chart
from fluxless.charts.subcharts import definitions
from fluxless.go_yaml import Source, apart, load_all
from fluxless.helm.release import Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.kube.errors import NoSuchKind

_HOOK = "helm.sh/hook"


async def objects_of(run: HelmReleaseRun, last: Release) -> list[KubeObject]:
    """Those of the manifest, with the namespace that Helm gives them. Raises `ManifestProblem`, `ApiProblem`."""
    found = []
    for obj in await apart(_documents, last.manifest, "the release's manifest"):
        if _HOOK in (obj["metadata"].get("annotations") or {}):
            continue
        if not obj["metadata"].get("namespace") and await _namespaced(run, obj):
            obj["metadata"]["namespace"] = last.namespace
        found.append(obj)
    return found


async def _namespaced(run: HelmReleaseRun, obj: KubeObject) -> bool:
    try:
        return (await run.target.resource(obj["apiVersion"], obj["kind"])).namespaced
    except NoSuchKind:
        return True  # it was there when the release was made, and is gone


def definitions_of(chart: Chart) -> list[KubeObject]:
    """The objects in `crds/` of the chart and the charts in it; blocking. Raises `ChartProblem`, `ManifestProblem`."""
    found: list[KubeObject] = []
    for path, content in definitions(chart):
        found += _documents(content, path)
    return found


def inventory_of(run: HelmReleaseRun, objects: list[KubeObject], *, defined: bool = True) -> Inventory:
    """What `status.inventory` holds: these objects and, where asked for, the definitions of the chart (HR-44)."""
    more = definitions_of(run.chart) if defined and run.chart is not None else []
    return {object_id(obj): version_of(obj["apiVersion"]) for obj in (*objects, *more)}


async def note_objects(run: HelmReleaseRun, last: Release) -> list[KubeObject]:
    """Bring `status.inventory` (HR-44) and what is known of the objects up to date with a record; the objects."""
    objects = await objects_of(run, last)
    run.status.set(inventory=inventory.write(await asyncio.to_thread(inventory_of, run, objects)))
    run.memory.applied = record_of(run, last, objects)
    return objects


def record_of(run: HelmReleaseRun, last: Release, objects: list[KubeObject]) -> AppliedRecord:
    """What is known of the objects: answers to this step's writes, then what was known before."""
    known = run.memory.applied.entries
    entries = {}
    for obj in objects:
        id_ = object_id(obj)
        if id_ in run.seen:
            sighting = run.census.sight(run.seen[id_])
            entries[id_] = Entry(version_of(obj["apiVersion"]), "", sighting.uid, sighting.mark)
        else:  # nothing is known of it: it is looked at once
            entries[id_] = known.get(id_) or Entry(version_of(obj["apiVersion"]), "", "", "")
    owner = (run.owner.name, run.owner.namespace)
    return AppliedRecord(revision=str(last.version), owner=owner, entries=entries)


def _documents(text: Source, where: str) -> list[KubeObject]:
    return [obj for document in load_all(text, where) for obj in _expanded(document)]


def _expanded(document: Any) -> Iterator[KubeObject]:
    """An object, or those of a list; what is none is left out."""
    if not isinstance(document, dict) or not document.get("kind"):
        return
    if str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _expanded(item)
    elif isinstance(document.get("metadata"), dict) and document.get("apiVersion"):
        yield document
