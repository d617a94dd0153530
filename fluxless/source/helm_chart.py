"""The HelmChart controller: a chart from a repository, a registry or a source, as an artifact (CH and SC rows).

A step in which nothing is new costs a look at the index or the tags, and writes nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fluxless.api import conditions, reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.kinds import Kind
from fluxless.artifacts.pack import pack
from fluxless.artifacts.repack import hash_file
from fluxless.charts import versions
from fluxless.charts.chart import Chart, inside, load_archive, load_folder, merged
from fluxless.charts.errors import ChartProblem, InvalidChart
from fluxless.go_yaml import ManifestProblem, load
from fluxless.reconcile.dependencies import artifact_of
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref
from fluxless.source import helm_origin
from fluxless.source.base import SourceController, SourceRun, collect_garbage

PULLED, PACKAGED = "ChartPullSucceeded", "ChartPackageSucceeded"
REFERENCE, PULL, PATCH, VALUES, DEPENDENCIES, PACKAGE = (
    *("InvalidChartReference", "ChartPullError", "MetadataPatchError", "ValuesFilesError"),
    *("DependencyBuildError", "ChartPackageError"),
)
STALLING = {REFERENCE, PATCH, VALUES}
BUILDING = {PATCH, VALUES, DEPENDENCIES, PACKAGE}
"""Reasons that are the chart's, not the fetch's: BuildFailed."""


@dataclass(slots=True)
class Build:
    """What is made of the chart."""

    name: str
    version: str
    packaged: bool
    merged: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """The reason of conditions and of the event (CH-22)."""
        return PACKAGED if self.packaged else PULLED

    def summary(self) -> str:
        """What was done, with version and values files, in Flux's words (CH-22)."""
        verb = "packaged" if self.packaged else "pulled"
        files = f" and merged values files [{' '.join(self.merged)}]" if self.merged else ""
        return f"{verb} '{self.name}' chart with version '{self.version}'{files}"


class HelmChartRun(SourceRun):
    """The state of the step."""

    OBSERVED: ClassVar[dict[str, str]] = {}

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.build: Build | None = None  # reconcile_artifact

    @property
    def chart(self) -> str:
        """Name or path."""
        return str(self.spec["chart"])

    @property
    def values_files(self) -> list[str]:
        """`spec.valuesFiles`."""
        return [str(path) for path in self.spec.get("valuesFiles") or []]

    @property
    def forced(self) -> bool:
        """Whether the spec is another one than that of the artifact."""
        return self.status.fields.get("observedGeneration") != self.generation

    async def has(self, name: str, version: str) -> bool:
        """Whether the artifact is this chart, made with this spec."""
        self.revision = version
        same = self.status.fields.get("observedChartName") == name and not self.forced
        self.fresh = same and await self.is_current()
        return self.fresh

    def merged_before(self) -> list[str]:
        """Which values files the artifact has."""
        seen = self.status.fields.get("observedValuesFiles")
        return [str(path) for path in seen] if seen is not None else self.values_files


class HelmChartController(SourceController):
    """Finds the chart in its source, builds it where it has to be built, and keeps it as an artifact."""

    reason = PULL
    failures = (reasons.FETCH_FAILED, "BuildFailed", reasons.STORAGE_OPERATION_FAILED)

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES

    def in_storage(self, run: HelmChartRun) -> str:
        """The message of ArtifactInStorage and Ready: how the chart was made (CH-22)."""
        return run.build.summary() if run.build else ""

    def stored_reason(self, run: HelmChartRun) -> str:
        """Whether the chart was pulled or packaged (CH-22)."""
        return run.build.reason if run.build else PULLED


async def reconcile_artifact(run: HelmChartRun) -> Outcome | None:
    """Find the source, then the chart, and make it. FetchFailed, BuildFailed, SourceVerified."""
    if conditions.is_false(run.obj, reasons.SOURCE_VERIFIED) or not run.spec.get("verify"):
        run.status.unmark(reasons.SOURCE_VERIFIED)
    kind, name = str(run.spec["sourceRef"]["kind"]), str(run.spec["sourceRef"]["name"])
    source = run.survey.world.get(Ref(kind, run.ref.namespace, name))
    if source is None:
        words = f"failed to get source: {kind} '{name}' not found"
        raise _fetch_failed(run, "SourceUnavailable", words, "create it, or correct spec.sourceRef")
    artifact = artifact_of(source)
    if artifact is None and not (kind == "HelmRepository" and source["spec"].get("type") == "oci"):
        words = f"no artifact available for {kind} source '{name}'"
        raise _fetch_failed(run, "NoSourceArtifact", words, "look at its conditions")
    if artifact is not None:
        run.status.set(observedSourceArtifactRevision=artifact["revision"])
    with tempfile.TemporaryDirectory(prefix="fluxless-chart-") as folder:
        if kind == "HelmRepository":
            await _remote(run, source, Path(folder))
        else:
            await _local(run, kind, artifact or {}, Path(folder))
    return None


async def _remote(run: HelmChartRun, source: dict[str, Any], folder: Path) -> None:
    origin = helm_origin.declared(run, source)
    try:
        found = await origin.find(run.chart, str(run.spec.get("version") or ""), folder)
    except InvalidChart as problem:  # a new index starts the chart again; of a registry there is none
        raise _problem(run, PULL if origin.oci else REFERENCE, problem) from problem
    except ChartProblem as problem:
        raise _problem(run, PULL, problem) from problem
    version = found.version
    if run.values_files:
        version = _patched(run, version, str(run.generation))
    run.build = Build(found.name, version, bool(run.values_files), run.merged_before() if run.values_files else [])
    if run.spec.get("verify"):
        await origin.verify(run, found, run.chart, f"version {version}")
    if await run.has(found.name, version):
        return
    run.outdated(run.build.summary(), "NewChart")
    await run.keep()
    archive = folder / "chart.tgz"
    try:
        await origin.download(found, run.chart, archive)
        made = await asyncio.to_thread(load_archive, archive, f"chart '{run.chart}'")
    except ChartProblem as problem:
        raise _problem(run, PULL, problem) from problem
    if not run.values_files:
        run.build.name = made.name
        await _store(run, archive)
        return
    await asyncio.to_thread(made.rename, version=version)
    _merge(run, made, {path: made.values_in(path) for path in run.values_files})
    await _package(run, made, folder)


async def _local(run: HelmChartRun, kind: str, artifact: dict[str, Any], folder: Path) -> None:
    try:
        tree = await run.services.artifacts.tree(artifact)
    except Problem as problem:
        raise Transient(reasons.READ_OPERATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem
    if tree is None:
        words = "the artifact of the source is gone"
        raise _fetch_failed(run, "NoSourceArtifact", words, "reconcile the source")
    place = inside(tree, run.chart)
    shown = f"chart '{run.chart}'"
    directory = await asyncio.to_thread(place.is_dir)
    try:
        if not await asyncio.to_thread(place.exists):
            raise ChartProblem(f"no chart found at '{run.chart}'", "correct spec.chart: it is a path of the source")
        loaded = await asyncio.to_thread(_load, tree, run.chart, shown)
    except ChartProblem as problem:
        raise _problem(run, REFERENCE, problem) from problem
    metadata = [_short(kind, str(artifact["revision"]))] if run.spec.get("reconcileStrategy") == "Revision" else []
    metadata += [str(run.generation)] if run.values_files else []
    version = _patched(run, loaded.version, ".".join(metadata)) if metadata else loaded.version
    packaged = directory or bool(metadata)
    run.build = Build(loaded.name, version, packaged, run.merged_before() if run.values_files else [])
    if await run.has(loaded.name, version):
        return
    run.outdated(run.build.summary(), "NewChart")
    await run.keep()
    if not packaged:
        await _store(run, place)
        return
    await asyncio.to_thread(loaded.rename, version=version)
    if run.values_files:
        texts = await asyncio.to_thread(lambda: {path: _values(tree, path) for path in run.values_files})
        _merge(run, loaded, texts)
    if directory:
        try:
            count = await helm_origin.build_dependencies(run, loaded, tree, run.chart, folder)
        except ChartProblem as problem:
            raise _problem(run, DEPENDENCIES, problem) from problem
        if count:
            run.tell(Event("Normal", "ResolvedDependencies", f"resolved {count} chart dependencies"))
    await _package(run, loaded, folder)


def _load(tree: Path, path: str, shown: str) -> Chart:
    """A chart of the source, as a folder or packed; blocking."""
    place = inside(tree, path)
    return load_folder(tree, path, shown) if place.is_dir() else load_archive(place, shown)


def _short(kind: str, revision: str) -> str:
    """What goes into a chart's version: the first twelve digits of the commit, or of the bucket's digest (CH-21)."""
    return revision.rpartition(":")[2][:12] if kind in {"GitRepository", "Bucket"} else revision


def _patched(run: HelmChartRun, version: str, metadata: str) -> str:
    try:
        return versions.with_metadata(version, metadata)
    except ChartProblem as problem:
        raise _problem(run, PATCH, problem) from problem


def _values(tree: Path, path: str) -> dict[str, Any] | ChartProblem | None:
    """The values in a file of the source; blocking."""
    place = inside(tree, path)
    if not place.is_file():
        return None
    try:
        found = load(place.read_bytes(), path)
    except ManifestProblem as problem:
        first = problem.failures[0]
        words = f"unmarshaling values from '{path}' failed: {first.message} ({first.origin})"
        return ChartProblem(words, first.next_step)
    if found is not None and not isinstance(found, dict):
        return ChartProblem(f"unmarshaling values from '{path}' failed: it is no mapping", "correct it")
    return found or {}


def _merge(run: HelmChartRun, made: Chart, values: dict[str, dict[str, Any] | ChartProblem | None]) -> None:
    """Merge the values files in order, in the place of the chart's values (CH-4). Stalled ValuesFilesError."""
    used: list[str] = []
    for path in run.values_files:
        found = values[path]
        if isinstance(found, ChartProblem):
            raise _problem(run, VALUES, found)
        if found is not None:
            used.append(path)
        elif not run.spec.get("ignoreMissingValuesFiles"):
            step = "correct spec.valuesFiles, or set spec.ignoreMissingValuesFiles"
            raise _problem(run, VALUES, ChartProblem(f"no values file found at path '{path}'", step))
    kept = [found for path in used if isinstance(found := values[path], dict)]
    if kept:
        made.set_values(merged(kept))
    if run.build is not None:
        run.build.merged = used


async def _package(run: HelmChartRun, made: Chart, folder: Path) -> None:
    packed = await asyncio.to_thread(pack, made.packed(), folder / "packed.tgz")
    await _keep(run, packed)


async def _store(run: HelmChartRun, archive: Path) -> None:
    await _keep(run, await asyncio.to_thread(hash_file, archive))


async def _keep(run: HelmChartRun, packed: Any) -> None:
    assert run.build is not None  # noqa: S101
    run.status.set(observedChartName=run.build.name)
    seen = run.build.merged if run.spec.get("ignoreMissingValuesFiles") else None
    run.status.set(observedValuesFiles=seen or None)
    run.status.unmark("BuildFailed")
    await run.keep_artifact(packed, run.build.summary(), suffix=".tgz", reason=run.build.reason)


def _problem(run: HelmChartRun, reason: str, problem: ChartProblem) -> Stalled | Transient:
    first = problem.failures[0]
    if problem.cls is FailureClass.SOURCE_AUTH and reason in {REFERENCE, PULL}:
        text, reason = (
            f"failed to authenticate with the Helm repository: {first.message}",
            reasons.AUTHENTICATION_FAILED,
        )
    else:
        text = f"{_WORDS.get(reason, '')}{first.message}"
    failure = Failure(first.cls, text, str(run.ref), first.origin, first.next_step)
    building = reason in BUILDING
    run.status.unmark(reasons.FETCH_FAILED if building else "BuildFailed")
    condition = "BuildFailed" if building else reasons.FETCH_FAILED
    if reason in STALLING:
        return Stalled(reason, failure, condition=condition)
    return Transient(reason, failure, condition=condition)


_WORDS = {
    REFERENCE: "invalid chart reference: ",
    PULL: "chart pull error: ",
    PATCH: "metadata patch error: ",
    VALUES: "values files merge error: ",
    DEPENDENCIES: "dependency build error: ",
    PACKAGE: "chart package error: ",
}


def _fetch_failed(run: HelmChartRun, reason: str, words: str, next_step: str) -> Transient:
    failure = Failure(FailureClass.DEPENDENCY, words, str(run.ref), next_step=next_step)
    return Transient(reason, failure, condition=reasons.FETCH_FAILED, others=True)


PHASES = (reconcile_artifact, collect_garbage)
