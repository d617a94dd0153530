"""Why is an object not well? Its last warning, and of what runs pods the pods' own words and the last lines they wrote.

Asked only about what has failed, for people: nothing is decided by it, and whatever cannot be read is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject
from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem

LINES = 50
"""Of a log that are kept; `SHOWN` of them fit into a message."""
SHOWN = 3
LONGEST_LINE = 300
MAX_LOG = 64 * 1024
"""Bytes of a log that are read."""
PODS = 3
"""Of one object that are looked at."""
WITHIN = 10.0
"""Seconds for all questions together."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """What one object says: `words` in one line, `log` the last lines of what a container wrote."""

    subject: str
    words: str
    log: tuple[str, ...] = ()

    def short(self) -> str:
        """For a condition."""
        lines = " / ".join(line[:LONGEST_LINE] for line in self.log[-SHOWN:])
        return f"{self.subject}: {self.words}" + (f"; last lines of its log: {lines}" if lines else "")

    def full(self) -> str:
        """For the run record."""
        return "\n".join((f"{self.subject}: {self.words}", *self.log))


async def symptoms(cluster: Cluster, objects: Iterable[tuple[str, str, str, str]]) -> list[Symptom]:
    """Of objects by (apiVersion, kind, namespace, name), in their order; nothing when nothing can be learnt in time."""
    found: list[Symptom] = []

    async def one(named: tuple[str, str, str, str]) -> list[Symptom]:
        try:
            return [symptom async for symptom in _of(cluster, *named)]
        except ApiProblem:
            return []

    try:
        async with asyncio.timeout(WITHIN):
            for some in await each(one, objects):
                found += some
    except TimeoutError:
        return found
    return found


async def _of(cluster: Cluster, api_version: str, kind: str, namespace: str, name: str) -> AsyncIterator[Symptom]:
    obj = await cluster.get(await cluster.resource(api_version, kind), name, namespace)
    subject = "/".join(part for part in (kind, namespace, name) if part)
    if warning := await _warning(cluster, kind, namespace, name):
        yield Symptom(subject, warning)
    if obj is None:
        return
    for pod in (await _pods(cluster, obj))[:PODS]:
        symptom = await _pod(cluster, pod)
        if symptom is not None:
            yield symptom


async def _warning(cluster: Cluster, kind: str, namespace: str, name: str) -> str:
    """The last event of type Warning about an object."""
    if not namespace:
        return ""
    about = f"involvedObject.kind={kind},involvedObject.name={name},type=Warning"
    path = (await cluster.resource("v1", "Event")).path(namespace)
    events = (await cluster.request("GET", path, query={"fieldSelector": about})).get("items") or []
    last = max(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default=None)
    return f"{last.get('reason')}: {_line(last.get('message'))}" if last is not None else ""


async def _pods(cluster: Cluster, obj: KubeObject) -> list[KubeObject]:
    """The object itself, or the pods that its selector means, those that are not well first."""
    if obj["kind"] == "Pod":
        return [obj]
    labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels")
    if not isinstance(labels, dict) or not labels:
        return []
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    found = await cluster.list(await cluster.resource("v1", "Pod"), obj["metadata"]["namespace"], labels=selector)
    return sorted(found, key=lambda pod: (pod.get("status") or {}).get("phase") in {"Succeeded", "Running"})


async def _pod(cluster: Cluster, pod: KubeObject) -> Symptom | None:
    status, metadata = pod.get("status") or {}, pod["metadata"]
    subject = f"Pod/{metadata['namespace']}/{metadata['name']}"
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        words = _container(container)
        if words:
            log = await _log(cluster, pod, str(container["name"]), before=_waits(container))
            return Symptom(subject, f"container {container['name']} {words}", tuple(log))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Symptom(subject, f"{condition.get('reason')}: {_line(condition.get('message'))}")
    if warning := await _warning(cluster, "Pod", str(metadata["namespace"]), str(metadata["name"])):
        return Symptom(subject, warning)
    return Symptom(subject, f"is {status.get('phase') or 'Unknown'}") if status.get("phase") != "Succeeded" else None


def _waits(container: Mapping[str, Any]) -> bool:
    return "waiting" in (container.get("state") or {})


def _container(container: Mapping[str, Any]) -> str:
    """What is wrong with it; empty when nothing is."""
    state = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if waiting := state.get("waiting"):
        before = f", after it ended with {ended['exitCode']}" if ended.get("exitCode") else ""
        return f"waits: {waiting.get('reason')}: {_line(waiting.get('message'))}".rstrip(": ") + before
    if ended.get("exitCode"):
        why = ended.get("reason") or "Error"
        return f"ended with {ended['exitCode']} ({why})"
    return "" if container.get("ready") or ended else "is not ready"


async def _log(cluster: Cluster, pod: KubeObject, container: str, *, before: bool) -> list[str]:
    """The last lines; with `before`, of the container that ended before the one that waits."""
    metadata = pod["metadata"]
    query = {"container": container, "tailLines": str(LINES), "limitBytes": str(MAX_LOG)}
    if before:
        query["previous"] = "true"
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log?{urlencode(query)}"
    try:
        async with cluster.stream("GET", path, {}, None) as answer:
            if answer.status != 200:
                return []
            data = await answer.content.read(MAX_LOG)
    except ApiProblem:
        return []
    return [line for line in data.decode(errors="replace").splitlines() if line.strip()]


def _line(text: object) -> str:
    return " ".join(str(text or "").split())[:LONGEST_LINE]
