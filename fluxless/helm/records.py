"""Reads and marks Helm's records of releases in a cluster (HR-66): which are there is one LIST for everybody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from fluxless.helm import release as releases
from fluxless.helm.release import Release, UnreadableRecord
from fluxless.helm.run import MANAGER, HelmReleaseRun
from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem, TooManyRequests, Unreachable

MAX_HISTORY = 5
"""Records of a release that Helm keeps where `spec.maxHistory` says nothing (HR-10)."""
MAX_AGE = 10.0
"""Seconds that a list may be old."""
NONE = "none"
"""The stamp of a release that has no record."""
Newest = dict[tuple[str, str], tuple[int, str]]


class RecordIndex:
    """The newest record of every release of a cluster, by one LIST of metadata."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asked: tuple[float, asyncio.Future[Newest | None]] | None = None

    async def stamp(self, namespace: str, name: str) -> str:
        """What changes whenever anything is done to the release: `NONE` without one, empty where nobody may list all
        Secrets. Raises `ApiProblem`.
        """
        now = time.monotonic()
        if self._asked is None or self._asked[0] < now - MAX_AGE:
            self._asked = (now, asyncio.ensure_future(self._list()))
        asked = self._asked
        try:
            found = await asyncio.shield(asked[1])
        except Exception:
            if self._asked is asked:
                self._asked = None
            raise
        if found is None:
            return ""
        return found.get((namespace, name), (0, NONE))[1]

    async def _list(self) -> Newest | None:
        try:
            resource = await self._cluster.resource("v1", "Secret")
            items = await self._cluster.list(resource, labels="owner=helm", metadata_only=True)
        except (Unreachable, TooManyRequests):
            raise
        except ApiProblem:
            return None
        newest: Newest = {}
        for item in items:
            metadata = item["metadata"]
            labels: Mapping[str, str] = metadata.get("labels") or {}
            key = (str(metadata["namespace"]), labels.get("name", ""))
            version = int(labels["version"]) if labels.get("version", "").isdigit() else 0
            newest[key] = max(newest.get(key, (0, "")), (version, releases.stamp_of(item)))
        return newest


def index(run: HelmReleaseRun) -> RecordIndex:
    """The one of this survey. A tenant may not list all Secrets; what is learnt from it is whether one has changed."""
    return run.survey.shared(run.as_app, "helm records", lambda: RecordIndex(run.as_app))


async def read_records(run: HelmReleaseRun) -> list[Release]:
    """Helm's records of the release, newest first; what is no record is left out. Raises `ApiProblem`."""
    if not run.did and await index(run).stamp(run.storage_namespace, run.release_name) == NONE:
        return []
    resource = await run.target.resource("v1", "Secret")
    labels = f"owner=helm,name={run.release_name}"
    found = []
    for secret in await run.target.list(resource, run.storage_namespace, labels=labels):
        try:
            found.append(releases.read(secret))
        except UnreadableRecord:
            continue
    return sorted(found, key=lambda one: one.version, reverse=True)


async def after_an_action(run: HelmReleaseRun) -> list[Release]:
    """The records as Helm has left them: what it wrote has passed through the door. What it may have deleted as well
    is read anew. Raises `ApiProblem`.
    """
    written = [releases.read(secret) for secret in run.recorded.values()]
    run.recorded.clear()
    known = {record.version: record for record in run.records} | {record.version: record for record in written}
    kept = int(run.spec.get("maxHistory", MAX_HISTORY))
    if not written or (kept and len(known) > kept):
        return await read_records(run)
    return sorted(known.values(), key=lambda one: one.version, reverse=True)


async def mark_failed(run: HelmReleaseRun, record: Release, description: str) -> None:
    """A release that nobody is at work on any more, or that has not become ready, has failed."""
    resource = await run.target.resource("v1", "Secret")
    body = releases.failed_record(record, description)
    answer = await run.target.patch(resource, record.secret, run.storage_namespace, body=body, manager=MANAGER)
    marked = releases.read(answer)
    run.records = [marked if known.version == marked.version else known for known in run.records]
