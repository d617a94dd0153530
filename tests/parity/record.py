"""What a step left in a cluster, as plain data that two sides can be compared by.

Everything that differs from run to run is left out or named: ids, times, versions, commits, the namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fluxless.apply.inventory import read
from fluxless.apply.objects import object_id, parse_id
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind
from tests.parity.scenario import Obj, unplaced

KINDS = (
    *(("v1", kind) for kind in ("ConfigMap", "Secret", "Service", "ServiceAccount", "LimitRange", "ResourceQuota")),
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet")),
    *(("batch/v1", kind) for kind in ("Job", "CronJob")),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("Role", "RoleBinding")),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "Ingress"),
)
"""Namespaced kinds that scenarios use; whatever stands in an inventory is looked at as well."""
FLUX_KINDS = (("source.toolkit.fluxcd.io/v1", "GitRepository"), ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"))
WAITS = (" Normal DependencyNotReady", " NoSourceArtifact")
_EVERYWHERE = {"kube-root-ca.crt", "default"}
_SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink")
_PLATFORM = ("kube-", "kwok", "k3s")
_CHANGE = re.compile(r"^(\S+/\S+) (created|configured|deleted|skipped|unchanged)$", re.MULTILINE)


async def look(
    cluster: Cluster, namespace: str, kinds: Iterable[tuple[str, str]], commits: Mapping[str, str], seen: dict[str, Obj]
) -> Obj:
    """The state of a scenario after a step. `seen` keeps the objects of earlier steps by id, and is brought up to
    date; events are taken away, so that the next step has its own. `said` is for people, and compared with nothing.
    """
    flux = [obj for version, kind in FLUX_KINDS for obj in await _all(cluster, version, kind, namespace)]
    objects = await _objects(cluster, namespace, kinds, flux, seen)
    recreated = [id_ for id_, obj in objects.items() if id_ in seen and _uid(seen[id_]) != _uid(obj)]
    seen.update(objects)
    events = await _all(cluster, "v1", "Event", namespace)
    await cluster.request("DELETE", (await cluster.resource("v1", "Event")).path(namespace))
    found = {
        "flux": {f"{obj['kind']}/{obj['metadata']['name']}": flux_fields(obj) for obj in flux},
        "objects": {id_: plain(obj) for id_, obj in sorted(objects.items())},
        "recreated": sorted(recreated),
        **events_of(events, {kind for _, kind in FLUX_KINDS}),
    }
    shown: dict[str, Any] = named(unplaced(found, namespace), commits)
    return shown


def events_of(events: Iterable[Obj], kinds: set[str]) -> Obj:
    """What the events about these kinds say."""
    mine = [event for event in events if event["involvedObject"]["kind"] in kinds]
    return {
        "events": _events(mine),
        "changes": _changes(mine),
        "said": sorted({f"{_subject(event)} {event['reason']}: {event['message']}" for event in mine}),
    }


def without_retries(record: Obj, before: Obj) -> Obj:
    """A record without the warnings that the step before has given in the same words, on objects that are ready now.

    A failing object is tried again on its own, and a try may fall between two steps: whether it does is a matter of
    chance.
    """
    again = {line.partition(": ")[0] for line in set(record["said"]) & set(before.get("said", ()))}
    told = {line.partition(": ")[0] for line in set(record["said"]) - set(before.get("said", ()))}
    ready = {name for name, fields in record["flux"].items() if ["Ready", "True"] in _heads(fields)}

    def by_chance(event: str) -> bool:
        subject, type_, reason = event.split(" ", 2)
        said = f"{subject} {reason}"
        return type_ == "Warning" and subject in ready and said in again - told

    return record | {"events": [event for event in record["events"] if not by_chance(event)]}


def _heads(fields: Obj) -> list[list[str]]:
    return [condition[:2] for condition in fields["conditions"]]


def kinds_in(text: str) -> list[tuple[str, str]]:
    """The kinds that a text names."""
    return [(version, kind) for version, kind in KINDS if kind in text]


async def _all(cluster: Cluster, version: str, kind: str, namespace: str) -> list[Obj]:
    return await cluster.list(await cluster.resource(version, kind), namespace)


async def _objects(
    cluster: Cluster, namespace: str, kinds: Iterable[tuple[str, str]], flux: Iterable[Obj], seen: Iterable[str]
) -> dict[str, Obj]:
    found: dict[str, Obj] = {}
    for version, kind in kinds:
        for obj in await _all(cluster, version, kind, namespace):
            if obj["metadata"]["name"] not in _EVERYWHERE:
                found[object_id(obj)] = obj
    listed = {id_: entry for obj in flux for id_, entry in read(obj.get("status") or {}).items()}
    for id_ in {*listed, *seen} - {*found}:
        left = await _one(cluster, id_, listed.get(id_, "v1"))
        if left is not None:
            found[id_] = left
    return {id_: obj for id_, obj in found.items() if "deletionTimestamp" not in obj["metadata"]}


async def _one(cluster: Cluster, id_: str, version: str) -> Obj | None:
    wanted = parse_id(id_)
    api_version = f"{wanted.group}/{version}" if wanted.group else version
    try:
        resource = await cluster.resource(api_version, wanted.kind)
    except NoSuchKind:
        return None
    obj = await cluster.get(resource, wanted.name, wanted.namespace)
    return None if obj is None else {**obj, "apiVersion": api_version, "kind": wanted.kind}


def _uid(obj: Obj) -> str:
    return str(obj["metadata"]["uid"])


def flux_fields(obj: Obj) -> Obj:
    """What the status of a Flux object says."""
    status = obj.get("status") or {}
    generation = obj["metadata"]["generation"]
    observed = status.get("observedGeneration")
    return {
        "conditions": sorted([c["type"], c["status"], c["reason"]] for c in status.get("conditions") or []),
        "observed": {None: "never", -1: "never", generation: "this generation"}.get(observed, "an earlier generation"),
        "finalizers": obj["metadata"].get("finalizers") or [],
        "inventory": sorted(f"{e['id']} {e['v']}" for e in (status.get("inventory") or {}).get("entries") or []),
        "lastAppliedRevision": status.get("lastAppliedRevision"),
        "lastAttemptedRevision": status.get("lastAttemptedRevision"),
        "artifact": (status.get("artifact") or {}).get("revision"),
        "history": sorted({str(entry.get("lastReconciledStatus")) for entry in status.get("history") or []}),
    }


def plain(obj: Obj) -> Obj:
    """An object without what the API server and its controllers say; who owns fields stands under `managers`."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_FIELDS}
    managers = {
        f"{entry['manager']} {entry['operation']}"
        for entry in obj["metadata"].get("managedFields") or []
        if "subresource" not in entry and not entry["manager"].startswith(_PLATFORM)
    }
    rest = {key: value for key, value in obj.items() if key not in {"metadata", "status"}}
    found: Obj = _without(rest | {"metadata": metadata, "managers": sorted(managers)}, _uid(obj))
    spec = found.get("spec") or {}
    if obj["kind"] == "Service" and spec.get("clusterIP") != "None":
        found["spec"] = {key: value for key, value in spec.items() if key not in {"clusterIP", "clusterIPs"}}
    return found


def _without(value: Any, uid: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, uid) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, uid) for item in value]
    return "<uid>" if value == uid else value


def _events(events: Iterable[Obj]) -> list[str]:
    """Without waits for dependencies and sources: whether there is time for one is a matter of chance."""
    said = {f"{_subject(event)} {event['type']} {event['reason']}" for event in events}
    return sorted(text for text in said if not text.endswith(WAITS))


def _changes(events: Iterable[Obj]) -> list[str]:
    found = [(event, match) for event in events for match in _CHANGE.finditer(event["message"])]
    return sorted({f"{_subject(event)}: {match[1]} {match[2]}" for event, match in found})


def _subject(event: Obj) -> str:
    return f"{event['involvedObject']['kind']}/{event['involvedObject']['name']}"


def named(value: Any, commits: Mapping[str, str]) -> Any:
    """A copy with `commit N` in place of every commit."""
    if isinstance(value, dict):
        return {key: named(item, commits) for key, item in value.items()}
    if isinstance(value, list):
        return [named(item, commits) for item in value]
    if isinstance(value, str):
        for commit, name in commits.items():
            value = value.replace(commit, name).replace(commit[:12], name)
    return value
