"""The ArtifactGenerator controller: artifacts made of the artifacts of others, as ExternalArtifacts (AG-1..8, EA-2)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.kinds import EXTERNAL_ARTIFACT, Kind
from fluxless.artifacts.compose import Budget, Copy
from fluxless.artifacts.ignore import Ignore
from fluxless.artifacts.pack import Packed
from fluxless.artifacts.repack import pack_folder
from fluxless.artifacts.store import StoreUnavailable
from fluxless.kube.errors import NotFound
from fluxless.oci.media import REVISION
from fluxless.reconcile.dependencies import artifact_of
from fluxless.reconcile.errors import Stalled, Transient, Waiting
from fluxless.reconcile.interval import jittered
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.run import Run
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref
from fluxless.source.base import described, is_stored, remove_all, remove_old
from fluxless.source.path_pattern import PatternProblem, Wanted, expand

INTERVAL = 3600.0
GENERATOR = "source.extensions.fluxcd.io/generator"
CONTROL = "source.extensions.fluxcd.io/reconcile"
MANAGER = "source-watcher"


class ArtifactGeneratorRun(Run):
    """The state of the step; every field is set by the phase named beside it."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.artifacts: dict[str, dict[str, Any]] = {}  # observe: by alias
        self.inventory: list[dict[str, str]] = []  # make
        self.fresh = False  # observe

    def notable(self, outcome: Outcome) -> bool:
        """Whether the run record is worth keeping."""
        return not (self.fresh and outcome.state is State.READY)

    def prefix(self, name: str) -> str:
        """The folder of the artifacts of one ExternalArtifact."""
        return f"artifacts/{EXTERNAL_ARTIFACT.singular}/{self.cluster.name}/{self.ref.namespace}/{name}/"


class ArtifactGeneratorController:
    """Copies files of its sources into artifacts, and keeps an ExternalArtifact for each."""

    reason = reasons.BUILD_FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES

    async def finalize(self, run: ArtifactGeneratorRun) -> Outcome:
        """All that was made goes as well."""
        await _remove(run, [entry["name"] for entry in run.status.fields.get("inventory") or []])
        return Outcome(State.GONE)

    def succeed(self, run: ArtifactGeneratorRun) -> Outcome:
        """Ready tells how many artifacts there are; the next look comes in an hour (AG-6, AG-8)."""
        text = f"reconciliation succeeded, generated {len(run.inventory)} artifact(s)"
        run.status.mark("Ready", "True", reasons.SUCCEEDED, text)
        return Outcome(State.READY, jittered(INTERVAL, f"{run.ref}"), reasons.SUCCEEDED)

    def retry_after(self, run: ArtifactGeneratorRun) -> float | None:
        """None: failures are tried again with exponential backoff (CM-28)."""
        return None

    def event_metadata(self, run: ArtifactGeneratorRun) -> dict[str, str]:
        """Nothing: a generator has no revision of its own (CM-20)."""
        return {}


async def check_spec(run: ArtifactGeneratorRun) -> Outcome | None:
    """Refuse blocked namespaces, and aliases and names that contradict each other (AG-8). Stalled AccessDenied,
    ValidationFailed. Ends the step where the annotation switches the generator off.
    """
    if (run.obj["metadata"].get("annotations") or {}).get(CONTROL, "").lower() == "disabled":
        run.status.unmark("Reconciling", "Stalled")
        run.status.mark("Ready", "Unknown", "ReconciliationDisabled", "Reconciliation is disabled")
        run.status.set(observedGeneration=run.generation)
        return Outcome(State.STALLED)
    aliases: list[str] = []
    for source in run.spec["sources"]:
        namespace = source.get("namespace") or run.ref.namespace
        if run.services.settings.no_cross_namespace_refs and namespace != run.ref.namespace:
            words = f"cross-namespace reference to source {source['kind']}/{namespace}/{source['name']} is not allowed"
            raise _stalled(run, reasons.ACCESS_DENIED, words)
        if source["alias"] in aliases:
            raise _stalled(run, reasons.VALIDATION_FAILED, f"duplicate source alias '{source['alias']}' found")
        aliases.append(source["alias"])
    names: set[str] = set()
    for output in run.spec["artifacts"]:
        name, revision = output["name"], str(output.get("revision") or "").removeprefix("@")
        if name in names:
            raise _stalled(run, reasons.VALIDATION_FAILED, f"duplicate artifact name '{name}' found")
        names.add(name)
        if revision and revision not in aliases:
            words = f"artifact {name} revision source alias '{revision}' not found"
            raise _stalled(run, reasons.VALIDATION_FAILED, words)
    return None


async def observe(run: ArtifactGeneratorRun) -> None:
    """The artifacts of the sources, and whether anything is to be made. Ready=False SourceFetchFailed."""
    for source in run.spec["sources"]:
        ref = Ref(source["kind"], source.get("namespace") or run.ref.namespace, source["name"])
        found = run.survey.world.get(ref)
        artifact = artifact_of(found)
        if artifact is None:
            state = "is not ready" if found is not None else "not found"
            words = f"get sources failed: source '{ref.kind}/{ref.namespace}/{ref.name}' {state}"
            failure = Failure(FailureClass.DEPENDENCY, words, str(run.ref), next_step="look at its conditions")
            pause = run.services.settings.requeue_dependency
            raise Waiting("SourceFetchFailed", failure, retry_after=pause)
        run.artifacts[source["alias"]] = artifact
    known = run.status.fields.get("inventory") or []
    same = run.status.fields.get("observedSourcesDigest") == _digest(run)
    settled = run.status.fields.get("observedGeneration") == run.generation
    run.fresh = same and settled and all([await _is_there(run, entry) for entry in known])
    if run.fresh:
        run.inventory = known


def _digest(run: ArtifactGeneratorRun) -> str:
    parts = sorted(f"{alias}=[{one.get('revision')}|{one['digest']}]" for alias, one in run.artifacts.items())
    return f"sha256:{hashlib.sha256('|'.join(parts).encode()).hexdigest()}"


async def _is_there(run: ArtifactGeneratorRun, entry: dict[str, str]) -> bool:
    """The object, and its artifact as it was stored."""
    made = run.survey.world.get(Ref(EXTERNAL_ARTIFACT.kind, entry["namespace"], entry["name"]))
    artifact = artifact_of(made)
    if artifact is None or artifact["digest"] != entry["digest"]:
        return False
    return await is_stored(run.services, artifact)


async def make(run: ArtifactGeneratorRun) -> None:
    """Copy, pack, store, and say so in ExternalArtifacts. Ready=False BuildFailed, ReconciliationFailed."""
    if run.fresh:
        return
    run.progress("Reconciliation in progress")
    await run.keep()
    sources: dict[str, Path] = {}
    for alias, artifact in run.artifacts.items():
        try:
            tree = await run.services.artifacts.tree(artifact)
        except Problem as problem:
            raise Transient("SourceFetchFailed", problem.failures) from problem
        if tree is None:
            words = f"fetch sources failed: the artifact of '{alias}' is gone"
            failure = Failure(FailureClass.DEPENDENCY, words, str(run.ref), next_step="reconcile the source")
            raise Transient("SourceFetchFailed", failure)
        sources[alias] = tree
    try:
        wanted = await asyncio.to_thread(expand, run.spec, sources)
    except PatternProblem as problem:
        first = problem.failures[0]
        raise _stalled(run, reasons.BUILD_FAILED, f"failed to expand path pattern: {first.message}") from problem
    with tempfile.TemporaryDirectory(prefix="fluxless-generator-") as name:
        for number, one in enumerate(wanted):
            folder = Path(name) / str(number)
            folder.mkdir()
            run.inventory.append(await _one(run, one, sources, folder))
    before = [entry["name"] for entry in run.status.fields.get("inventory") or []]
    now = {entry["name"] for entry in run.inventory}
    await _remove(run, [name for name in before if name not in now])
    run.status.set(inventory=run.inventory or None, observedSourcesDigest=_digest(run))


async def _one(run: ArtifactGeneratorRun, one: Wanted, sources: dict[str, Path], folder: Path) -> dict[str, str]:
    name = str(one.output["name"])
    try:
        packed = await asyncio.to_thread(_build, one, sources, folder)
    except Problem as problem:
        first = problem.failures[0]
        failure = Failure(first.cls, f"{name} build failed: {first.message}", str(run.ref), next_step=first.next_step)
        raise Transient(reasons.BUILD_FAILED, failure) from problem
    path = f"{run.prefix(name)}{packed.digest.partition(':')[2]}.tar.gz"
    try:
        await run.services.store.put_file(path, packed.path, packed.digest)
        await _say(run, one, packed, path)
        await remove_old(run.services, run.prefix(name), {path})
    except (StoreUnavailable, Problem) as problem:
        first = problem.failures[0]
        words = f"{name} reconcile failed: {first.message}"
        failure = Failure(first.cls, words, str(run.ref), next_step=first.next_step)
        raise Transient(reasons.RECONCILIATION_FAILED, failure) from problem
    run.changes.append((f"ExternalArtifact/{run.ref.namespace}/{name}", "stored"))
    return {
        "name": name,
        "namespace": run.ref.namespace,
        "digest": packed.digest,
        "filename": path.rpartition("/")[2],
    }


def _build(one: Wanted, sources: dict[str, Path], folder: Path) -> Packed:
    staging = folder / "staging"
    staging.mkdir()
    budget = Budget()
    for copy in one.output["copy"]:
        strategy = str(copy.get("strategy") or "Overwrite")
        exclude = tuple(map(str, copy.get("exclude") or ()))
        Copy(str(copy["from"]), str(copy["to"]), exclude, strategy, budget).into(staging, sources)
    rules = Ignore({}, "")
    packed = pack_folder(staging, folder / "artifact.tar.gz", lambda _: rules)
    shutil.rmtree(staging)
    return packed


async def _say(run: ArtifactGeneratorRun, one: Wanted, packed: Packed, path: str) -> None:
    name = str(one.output["name"])
    common: dict[str, Any] = run.spec.get("commonMetadata") or {}
    labels = {**(common.get("labels") or {}), **one.labels, "app.kubernetes.io/managed-by": MANAGER}
    labels[GENERATOR] = str(run.obj["metadata"]["uid"])
    metadata: dict[str, Any] = {"name": name, "namespace": run.ref.namespace, "labels": labels}
    if common.get("annotations"):
        metadata["annotations"] = common["annotations"]
    maker = {"apiVersion": run.kind.api_version, "kind": run.kind.kind, "name": run.ref.name}
    body = {
        "apiVersion": EXTERNAL_ARTIFACT.api_version,
        "kind": EXTERNAL_ARTIFACT.kind,
        "metadata": metadata,
        "spec": {"sourceRef": maker | {"namespace": run.ref.namespace}},
    }
    applied = await run.cluster.apply(body, manager=MANAGER, force=True)
    revision = run.artifacts.get(str(one.output.get("revision") or "").removeprefix("@"), {}).get("revision")
    origin = run.artifacts.get(str(one.output.get("originRevision") or "").removeprefix("@"))
    notes = {REVISION: (origin.get("metadata") or {}).get(REVISION) or origin["revision"]} if origin else None
    artifact = described(run.services, packed, path, revision or f"latest@{packed.digest}", notes)
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": reasons.SUCCEEDED,
        "message": "Artifact is ready",
        "lastTransitionTime": artifact["lastUpdateTime"],
        "observedGeneration": applied["metadata"].get("generation", 1),
    }
    resource = await run.cluster.resource(EXTERNAL_ARTIFACT.api_version, EXTERNAL_ARTIFACT.kind)
    status = {"status": {"artifact": artifact, "conditions": [ready]}}
    await run.cluster.patch(resource, name, run.ref.namespace, body=status, subresource="status", manager=MANAGER)


async def _remove(run: ArtifactGeneratorRun, names: list[str]) -> None:
    """ExternalArtifacts that are no longer wanted, and what they had stored."""
    resource = await run.cluster.resource(EXTERNAL_ARTIFACT.api_version, EXTERNAL_ARTIFACT.kind)
    for name in names:
        found = await run.cluster.get(resource, name, run.ref.namespace)
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        if found is not None and labels.get(GENERATOR) == run.obj["metadata"]["uid"]:
            with contextlib.suppress(NotFound):
                await run.cluster.delete(resource, name, run.ref.namespace)
        await remove_all(run.services.store, run.prefix(name))


def _stalled(run: ArtifactGeneratorRun, reason: str, words: str) -> Stalled:
    return Stalled(reason, Failure(FailureClass.VALIDATION, words, str(run.ref), next_step="correct the spec"))


PHASES = (check_spec, observe, make)
