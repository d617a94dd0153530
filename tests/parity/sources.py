"""Plays and records scenarios that are about sources alone: what they say of themselves, and which files they give."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import yaml

from fluxless.api import conditions
from fluxless.kube.client import Cluster
from tests.parity.play import STILL, Player, handled
from tests.parity.record import events_of, flux_fields, named
from tests.parity.scenario import Obj, Step, unplaced

API = "source.toolkit.fluxcd.io/v1"
KINDS = tuple((API, kind) for kind in ("HelmChart", "HelmRepository", "OCIRepository", "Bucket", "GitRepository"))
Reader = Callable[[Obj], Awaitable[bytes]]
"""The bytes of a `status.artifact`."""


class SourcePlayer(Player):
    """Every step writes `sources` and waits until each of them has answered."""

    kinds_made = KINDS

    async def _step(self, step: Step, seen: dict[str, Obj]) -> Obj:
        token = f"token-{next(self.side.tokens)}"
        for obj in step.put:
            await self._put(self.placed(obj))
        if step.push:
            await asyncio.to_thread(self._push, step)
        awaited = []
        for name, spec in step.sources.items():
            kind, _, short = name.partition("/")
            await self._write((API, kind), short, self.placed({"interval": "10m", **spec}), token)
            if spec.get("type") != "oci" and not spec.get("suspend"):
                awaited.append((kind, short))
        settled = await self._all_settled(awaited, token, step.ends)
        await self._quiet()
        commits = await asyncio.to_thread(self._commits) if any(one.push for one in self.scenario.steps) else {}
        assert self.side.read is not None
        words = {commit[:12]: name for commit, name in commits.items()}
        words |= {meant: mark for mark, meant in self.side.marks.items()}
        record: dict[str, Any] = await look(self.side.cluster, self.namespace, self.side.read, words)
        record = named(unplaced(record, self.namespace, self.side.marks), commits)
        return record if settled else record | {"unsettled": True}

    async def _all_settled(self, awaited: list[tuple[str, str]], token: str, ends: str) -> bool:
        def found() -> list[Obj | None]:
            return [self.watch.get(kind, self.namespace, name) for kind, name in awaited]

        def over() -> bool:
            return all(
                handled(obj, token) and (not ends or conditions.get(obj or {}, "Ready")["status"] == ends)  # type: ignore[index]
                for obj in found()
            )

        if not await self._until(over):
            return False
        while True:
            before = [obj and obj["metadata"]["resourceVersion"] for obj in found()]
            if not await self._rest(STILL):
                return False
            await self.watch.next()
            if over() and before == [obj and obj["metadata"]["resourceVersion"] for obj in found()]:
                return True


async def look(cluster: Cluster, namespace: str, read: Reader, words: Mapping[str, str]) -> Obj:
    """The sources after a step; events are taken away, so that the next step has its own. `words` are those in files
    that differ from run to run, with what to read in their place.
    """
    objects = [obj for version, kind in KINDS for obj in await _all(cluster, version, kind, namespace)]
    events = await _all(cluster, "v1", "Event", namespace)
    await cluster.request("DELETE", (await cluster.resource("v1", "Event")).path(namespace))
    return {
        "flux": {f"{obj['kind']}/{obj['metadata']['name']}": await _source(obj, read, words) for obj in objects},
        **events_of(events, {kind for _, kind in KINDS}),
    }


async def _all(cluster: Cluster, version: str, kind: str, namespace: str) -> list[Obj]:
    return await cluster.list(await cluster.resource(version, kind), namespace)


async def _source(obj: Obj, read: Reader, words: Mapping[str, str]) -> Obj:
    status = obj.get("status") or {}
    known = flux_fields(obj)
    observed = {key: value for key, value in status.items() if key.startswith("observed") and key[8:] != "Generation"}
    artifact = status.get("artifact") or {}
    fields = {key: known[key] for key in ("conditions", "observed", "artifact")}
    fields |= {"fields": observed, "metadata": artifact.get("metadata") or {}}
    if artifact:
        fields["files"] = _files(obj["kind"], await read(artifact), words)
    return fields


def _files(kind: str, data: bytes, words: Mapping[str, str]) -> list[str]:
    """Each file with the digest of what it holds; of YAML what it means counts, not how it is written."""
    if kind == "HelmRepository":
        return ["an index"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}  # type: ignore[union-attr]
    return sorted(f"{name.removeprefix('./')} {_digest(name, content, words)}" for name, content in files.items())


def _digest(name: str, content: bytes, words: Mapping[str, str]) -> str:
    if name.endswith((".yaml", ".lock")):
        known: Any = yaml.safe_load(content)
        if isinstance(known, dict):
            known.pop("generated", None)  # the time, in a Chart.lock
        content = json.dumps(known, sort_keys=True, default=str).encode()
    for word, instead in words.items():
        content = content.replace(word.encode(), instead.encode())
    return hashlib.sha256(content).hexdigest()[:8]
