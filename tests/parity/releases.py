"""Plays and records scenarios of HelmReleases: what they say of themselves, what Helm has recorded, what is there."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

from fluxless.api import conditions
from fluxless.apply.objects import object_id
from fluxless.kube.client import Cluster
from fluxless.reconcile.status import FORCE_ANNOTATION, RECONCILE_ANNOTATION, RESET_ANNOTATION
from tests.parity.play import IGNORED, STILL, Player
from tests.parity.record import events_of, flux_fields, named, plain
from tests.parity.scenario import APP, Obj, Step, unplaced
from tests.parity.sources import API, KINDS

RELEASE = ("helm.toolkit.fluxcd.io/v2", "HelmRelease")
NOT_ALONE = {"kube-root-ca.crt", "default"}
LOOKED_AT = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("networking.k8s.io/v1", "Ingress"),
)
"""The kinds that the charts of scenarios make."""
HELM_RECORD = "helm.sh/release.v1"
RESTS = 3.0
"""Seconds without a change after which a release that is not ready has come to rest."""
PASSING = {"SourceNotReady", "DependencyNotReady", "Progressing"}
"""Reasons that are not waited for to stay, unless a step says so."""
_COUNTERS = ("installFailures", "upgradeFailures")
_ATTEMPTED = ("lastAttemptedRevision", "lastAttemptedReleaseAction", "lastAttemptedConfigDigest", "helmChart")
_OBSERVED = ("observedPostRenderersDigest", "observedCommonMetadataDigest", "storageNamespace")
_SNAPSHOT = ("name", "namespace", "version", "status", "action", "chartName", "chartVersion", "appVersion")
_TIME = re.compile(r"\d+(\.\d+)?m?s\b")


class ReleasePlayer(Player):
    """Every step writes `sources`, then changes the release `app` and waits until it has come to rest."""

    kinds_made = (RELEASE, *KINDS)

    async def _step(self, step: Step, seen: dict[str, Obj]) -> Obj:
        token = f"token-{next(self.side.tokens)}"
        for obj in step.put:
            await self._put(self.placed(obj))
        for obj in step.drop:
            await self._delete(obj["apiVersion"], obj["kind"], obj["metadata"]["name"])
        if step.push:
            await asyncio.to_thread(self._push, step)
        for name, spec in step.sources.items():
            kind, _, short = name.partition("/")
            await self._write((API, kind), short, self.placed({"interval": "10m", **spec}), token)
        for obj in step.patch:
            await self._patch(self.placed(obj))
        settled = await self._release(step, token)
        await self._quiet()
        commits = await asyncio.to_thread(self._commits) if any(one.push for one in self.scenario.steps) else {}
        record: dict[str, Any] = await look(self.side.cluster, self.namespace)
        record = named(unplaced(record, self.namespace, self.side.marks), commits)
        return record if settled else record | {"unsettled": True}

    async def _release(self, step: Step, token: str) -> bool:
        for name, spec in step.others.items():
            await self._write(RELEASE, name, {"interval": "10m", **self.placed(spec)}, token)
        if step.delete:
            await self._delete(*RELEASE, APP)
            return await self._until(lambda: self.watch.get(RELEASE[1], self.namespace, APP) is None)
        self.release = _deeply(getattr(self, "release", {"interval": "10m"}), self.placed(step.release))
        notes = {RECONCILE_ANNOTATION: token}
        notes |= {FORCE_ANNOTATION: token} if "force" in step.asks else {}
        notes |= {RESET_ANNOTATION: token} if "reset" in step.asks else {}
        metadata = {"name": APP, "namespace": self.namespace, "annotations": notes}
        body = {"apiVersion": RELEASE[0], "kind": RELEASE[1], "metadata": metadata, "spec": self.release}
        await self.side.cluster.apply(body, manager="user")
        if step.ignored:
            return await self._rest(IGNORED)
        return await self._rests(step, token)

    async def _rests(self, step: Step, token: str) -> bool:
        """Until it has answered, and nothing has changed for a while: retries come with pauses."""

        def answered() -> bool:
            found = self.watch.get(RELEASE[1], self.namespace, APP)
            ready = conditions.get(found or {}, "Ready") or {}
            handled = ((found or {}).get("status") or {}).get("lastHandledReconcileAt") == token
            reason = str(ready.get("reason"))
            passing = reason in PASSING and reason not in step.ends
            stalled = not step.stalls or conditions.is_true(found or {}, "Stalled")
            return handled and stalled and not passing and step.ends.partition(" ")[0] == ready.get("status")

        def state() -> list[Obj]:
            found = self.watch.all(RELEASE[1], self.namespace)
            return [_plain_status(obj) for obj in found]

        if not await self._until(answered):
            return False
        retried = step.ends != "True" and not step.stalls
        while True:
            before = state()
            await asyncio.sleep(RESTS if retried else 0.0)
            if not await self._rest(STILL):
                return False
            await self.watch.next()
            if answered() and before == state():
                return True

    async def _clean(self, seen: Mapping[str, Obj]) -> None:
        await super()._clean(seen)
        resource = await self.side.cluster.resource("v1", "Namespace")
        await self.side.cluster.delete(resource, f"{self.namespace}-x")


def _deeply(known: Any, changes: Mapping[str, Any]) -> Obj:
    """Mappings into mappings; None takes a field away."""
    merged = {**known}
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in {"values", "chart"}
        merged[key] = _deeply(merged[key], value) if both else value
    return {key: value for key, value in merged.items() if value is not None}


async def look(cluster: Cluster, namespace: str) -> Obj:
    """The state after a step; events are taken away, so that the next step has its own."""
    found = await cluster.list(await cluster.resource(*RELEASE), namespace)
    events = await cluster.list(await cluster.resource("v1", "Event"), namespace)
    await cluster.request("DELETE", (await cluster.resource("v1", "Event")).path(namespace))
    objects: Obj = {}
    records: list[str] = []
    for place in (namespace, f"{namespace}-x"):
        for version, kind in LOOKED_AT:
            for obj in await cluster.list(await cluster.resource(version, kind), place):
                if obj.get("type") == HELM_RECORD:
                    records.append(_record(obj))
                elif obj["metadata"]["name"] not in NOT_ALONE and "deletionTimestamp" not in obj["metadata"]:
                    objects[object_id(obj)] = plain(obj)
    return {
        "flux": {f"{obj['kind']}/{obj['metadata']['name']}": release_fields(obj) for obj in found},
        "objects": objects,
        "records": sorted(records),
        **events_of(events, {RELEASE[1]}),
    }


def release_fields(obj: Obj) -> Obj:
    """What the status of a HelmRelease says."""
    known = flux_fields(obj)
    fields = {key: known[key] for key in ("conditions", "observed", "finalizers", "inventory")}
    return fields | _plain_status(obj)


def _plain_status(obj: Obj) -> Obj:
    status = obj.get("status") or {}
    found: Obj = {key: status[key] for key in (*_COUNTERS, *_ATTEMPTED, *_OBSERVED) if key in status}
    found["history"] = [_snapshot(entry) for entry in status.get("history") or []]
    found["handled"] = [key for key in ("lastHandledForceAt", "lastHandledResetAt") if key in status]
    found["messages"] = {
        condition["type"]: _TIME.sub("<time>", condition["message"])
        for condition in status.get("conditions") or []
        if condition["type"] not in {"Reconciling", "Stalled", "Drifted"} and condition["status"] == "True"
    }
    return found


def _snapshot(entry: Obj) -> Obj:
    tests = {name: (hook or {}).get("phase", "") for name, hook in (entry.get("testHooks") or {}).items()}
    found = {key: entry[key] for key in _SNAPSHOT if key in entry}
    found |= {"tests": tests} if "testHooks" in entry else {}
    return found | ({"ociDigest": "some"} if entry.get("ociDigest") else {})


def _record(secret: Obj) -> str:
    """Name, version, status, chart, and how it was applied."""
    document = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    chart, info = document["chart"]["metadata"], document["info"]
    where, method = secret["metadata"]["namespace"], document.get("apply_method", "")
    words = (where, document["name"], document["version"], info["status"], chart["name"], chart["version"], method)
    return " ".join(str(word) for word in words)
