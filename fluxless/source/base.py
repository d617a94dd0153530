"""What the sources do alike: where artifacts lie, how one is stored and told, and what is removed again (SC rows)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from fluxless.api import conditions, reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.api.kinds import Kind
from fluxless.api.timestamps import format_timestamp
from fluxless.artifacts.pack import Packed
from fluxless.artifacts.store import Store, StoreUnavailable
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.interval import jittered, seconds
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.run import Run
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey

DEFAULT_TIMEOUT = 60.0
"""Seconds that one operation on a remote may take where `spec.timeout` says nothing (GR-2, OR-8, BK-8)."""
DEFAULT_INTERVAL = 60.0
"""Seconds; only a HelmRepository may have none (HRP-3)."""
KEPT = 2
"""Artifacts that stay in the store (SC-7): a consumer may still be reading the one before."""


class SourceRun(Run):
    """The state of a step over a source. `OBSERVED` maps fields of the spec that decide the artifact's content to the
    fields of the status that say with which values it was made.
    """

    OBSERVED: ClassVar[Mapping[str, str]] = {"ignore": "observedIgnore"}

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.fresh = False
        """The artifact is that of the newest revision and of this spec."""
        self.stored = ""
        """How the event tells of the artifact that this step has stored."""

    @property
    def url(self) -> str:
        """The address of the source."""
        return str(self.spec["url"])

    @property
    def timeout(self) -> float:
        """Seconds for one operation on the remote."""
        return seconds(self.spec, "timeout", DEFAULT_TIMEOUT)

    @property
    def prefix(self) -> str:
        """The folder of its artifacts in the store."""
        return f"artifacts/{self.kind.singular}/{self.cluster.name}/{self.ref.namespace}/{self.ref.name}/"

    @property
    def artifact(self) -> dict[str, Any]:
        """The artifact as the status shows it, or {}."""
        found: dict[str, Any] = self.status.fields.get("artifact") or {}
        return found

    def notable(self, outcome: Outcome) -> bool:
        """Whether the run record is worth keeping."""
        return not (self.fresh and outcome.state is State.READY)

    async def is_current(self) -> bool:
        """Whether the artifact has the run's revision, was made with this spec, and is still in the store as it was
        put there (SC-8).
        """
        known, status = self.artifact, self.status.fields
        if known.get("revision") != self.revision:
            return False
        if any((self.spec.get(field) or None) != (status.get(seen) or None) for field, seen in self.OBSERVED.items()):
            return False
        return await is_stored(self.services, known)

    async def keep_artifact(
        self,
        packed: Packed,
        text: str,
        *,
        suffix: str = ".tar.gz",
        metadata: Mapping[str, str] | None = None,
        reason: str = reasons.NEW_ARTIFACT,
    ) -> None:
        """Upload, then point the status to it and tell. `text` and `reason` are the event's. StorageOperationFailed."""
        name = f"{self.prefix}{packed.digest.partition(':')[2]}{suffix}"
        try:
            await self.services.store.put_file(name, packed.path, packed.digest)
        except StoreUnavailable as problem:
            raise Transient(
                reasons.ARCHIVE_OPERATION_FAILED, problem.failures, condition=reasons.STORAGE_OPERATION_FAILED
            ) from problem
        before = self.artifact
        self.status.set(artifact=described(self.services, packed, name, self.revision, metadata))
        self.status.set(**{seen: self.spec.get(field) or None for field, seen in self.OBSERVED.items()})
        self.status.unmark(reasons.ARTIFACT_OUTDATED)
        self.stored = text
        self.changes.append((f"artifact {self.revision} ({packed.files} files, {packed.size} bytes)", "stored"))
        if before.get("digest") != packed.digest:
            metadata = {"revision": self.revision, "digest": packed.digest}
            self.tell(Event("Normal", reason, text, metadata))

    def outdated(self, message: str, reason: str = reasons.NEW_REVISION) -> None:
        """There is something newer than the artifact (SC-1)."""
        if self.artifact:
            self.status.mark(reasons.ARTIFACT_OUTDATED, "True", reason, message)
        self.progress(f"building artifact: {message}")


class SourceController:
    """What the loop asks of every source; a kind adds its `phases` and its words."""

    reason = reasons.FAILED
    failures: ClassVar[tuple[str, ...]] = (reasons.FETCH_FAILED, reasons.STORAGE_OPERATION_FAILED)
    """Conditions that a success removes."""

    def in_storage(self, run: Any) -> str:
        """The message of ArtifactInStorage and Ready."""
        return f"stored artifact for revision '{run.artifact.get('revision', '')}'"

    def stored_reason(self, run: Any) -> str:
        """The reason of ArtifactInStorage and Ready."""
        return reasons.SUCCEEDED

    async def finalize(self, run: Any) -> Outcome:
        """The artifacts go with the object (SC-7)."""
        await remove_all(run.services.store, run.prefix)
        return Outcome(State.GONE)

    def succeed(self, run: Any) -> Outcome:
        """Ready is the summary of the others (SC-1)."""
        text, reason = self.in_storage(run), self.stored_reason(run)
        failed_before = conditions.is_false(run.obj, "Ready")
        run.status.unmark(*self.failures, reasons.ARTIFACT_OUTDATED)
        run.status.mark(reasons.ARTIFACT_IN_STORAGE, "True", reason, text)
        run.status.mark("Ready", "True", reason, text)
        if failed_before and not run.stored:
            run.tell(Event("Normal", reason, text, self.event_metadata(run)))
        pause = jittered(seconds(run.spec, "interval", DEFAULT_INTERVAL), f"{run.ref}")
        return Outcome(State.READY, pause, reasons.SUCCEEDED, run.artifact.get("revision", ""))

    def retry_after(self, run: Any) -> float | None:
        """None: failures are tried again with exponential backoff (CM-28)."""
        return None

    def event_metadata(self, run: Any) -> dict[str, str]:
        """Revision and digest of the artifact, for its events (CM-20)."""
        return {"revision": run.artifact.get("revision", ""), "digest": run.artifact.get("digest", "")}


def invalid(run: SourceRun, reason: str, words: str, next_step: str = "") -> Stalled:
    """The spec itself is wrong."""
    failure = Failure(FailureClass.VALIDATION, words, str(run.ref), next_step=next_step)
    return Stalled(reason, failure, condition=reasons.FETCH_FAILED)


async def collect_garbage(run: SourceRun) -> None:
    """Keep the newest artifacts only (SC-7). What cannot be deleted now is deleted after the next one."""
    if not run.stored:
        return
    shown = ((run.obj.get("status") or {}).get("artifact") or {}).get("path", "")
    try:
        await remove_old(run.services, run.prefix, {run.artifact["path"], str(shown)})
    except StoreUnavailable:
        return


def described(
    services: Services, packed: Packed, name: str, revision: str, metadata: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The `status.artifact` of a blob that has just been stored (SC-3)."""
    artifact: dict[str, Any] = {
        "digest": packed.digest,
        "lastUpdateTime": format_timestamp(services.clock()),
        "path": name,
        "revision": revision,
        "size": packed.size,
        "url": f"{services.settings.artifact_base_url}/{name}",
    }
    if metadata:
        artifact["metadata"] = dict(sorted(metadata.items()))
    return artifact


async def is_stored(services: Services, artifact: Mapping[str, Any]) -> bool:
    """Whether an artifact is still in the store as it was put there (SC-8). Raises `StoreUnavailable`."""
    stored = await services.store.stat(str(artifact.get("path")))
    return stored is not None and stored.digest == artifact.get("digest")


async def remove_old(services: Services, prefix: str, keep: Collection[str]) -> None:
    """Of a folder stay those to `keep` (what is current, and what the status on the API server still points at), at
    least two, and what is so young that another worker may be about to point at it. Raises `StoreUnavailable`.
    """
    before = services.clock() - services.settings.artifact_retention
    found = [blob async for blob in services.store.list(prefix)]
    found.sort(key=lambda blob: blob.modified, reverse=True)
    others = [blob for blob in found if blob.name not in keep]
    old = others[max(0, KEPT - (len(found) - len(others))) :]
    await asyncio.gather(*(services.store.delete(blob.name) for blob in old if blob.modified <= before))


async def remove_all(store: Store, prefix: str) -> None:
    """Empty a folder. Raises `StoreUnavailable`."""
    async for blob in store.list(prefix):
        await store.delete(blob.name)
