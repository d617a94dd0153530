"""Where the chart of a HelmRelease comes from (HR-1, HR-5, HR-68..70): a HelmChart made for it, or a reference."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from fluxless.api import conditions, reasons
from fluxless.api.duration import parse_duration
from fluxless.api.failure import Failure, FailureClass
from fluxless.api.kinds import HELM_CHART
from fluxless.artifacts import verified
from fluxless.artifacts.unpack import ArchiveProblem
from fluxless.charts import versions
from fluxless.charts.chart import load_archive
from fluxless.charts.errors import ChartProblem
from fluxless.helm import gates
from fluxless.helm.run import MANAGER, HelmReleaseRun
from fluxless.reconcile.dependencies import artifact_of, chart_of
from fluxless.reconcile.errors import Stalled, Transient, Waiting
from fluxless.reconcile.events import Event
from fluxless.reconcile.world import Ref

NOT_READY = "SourceNotReady"
GONE = 2.0
"""Seconds until the next look for an artifact that its source makes again: nothing else tells of it."""


async def make_chart(run: HelmReleaseRun) -> None:
    """Keep the HelmChart of `spec.chart` as it is wanted, and delete the one of before when something else has taken
    its place (HR-70). Ready=False SourceNotReady when it is new.
    """
    template, ref, before = run.spec.get("chart"), chart_of(run.obj), _made_before(run)
    if ref is None:
        return
    if before is not None and before != ref:
        await _remove(run, before)
        run.status.set(helmChart=None)
    if not template:
        run.status.set(helmChart=None)
        return
    _check_access(run, ref)
    body = _wanted(run, template, ref)
    known = run.survey.world.get(ref)
    if known is not None and _same(known, body):
        made = known
    else:
        await run.keep()
        made = await run.cluster.apply(body, manager=MANAGER)
    run.status.set(helmChart=f"{ref.namespace}/{ref.name}")
    if known is not None and made["metadata"].get("generation") == known["metadata"].get("generation"):
        return
    verb = "Created" if known is None else "Configured"
    text = f"{verb} HelmChart/{ref.namespace}/{ref.name}"
    run.tell(Event("Normal", "HelmChartCreated" if known is None else "HelmChartConfigured", text, {}))
    raise _not_ready(run, ref, "it is new")


def _wanted(run: HelmReleaseRun, template: dict[str, Any], ref: Ref) -> dict[str, Any]:
    said = template["spec"]
    metadata = template.get("metadata") or {}
    spec = {key: said[key] for key in said if key not in {"interval", "sourceRef", "valuesFile"}}
    source = {key: value for key, value in said["sourceRef"].items() if key != "namespace"}
    return {
        "apiVersion": HELM_CHART.api_version,
        "kind": "HelmChart",
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {**(metadata.get("labels") or {}), **run.owner.labels},
            **({"annotations": metadata["annotations"]} if metadata.get("annotations") else {}),
        },
        "spec": {**spec, "interval": said.get("interval") or run.spec["interval"], "sourceRef": source},
    }


def _same(known: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether the API server has what we would apply; what it has added is its own."""
    theirs, ours = dict(known.get("spec") or {}), dict(body["spec"])
    intervals = {parse_duration(str(spec.pop("interval", "0s"))) for spec in (theirs, ours)}
    labels, mine = known["metadata"].get("labels") or {}, body["metadata"]["labels"]
    return theirs == ours and len(intervals) == 1 and all(labels.get(key) == value for key, value in mine.items())


def _check_access(run: HelmReleaseRun, ref: Ref) -> None:
    if run.services.settings.no_cross_namespace_refs and ref.namespace != run.ref.namespace:
        text = f"can't access '{ref}', cross-namespace references have been blocked"
        raise Stalled(reasons.ACCESS_DENIED, Failure(FailureClass.FORBIDDEN, text, str(run.ref)))


async def find_chart(run: HelmReleaseRun) -> None:
    """Set `run.artifact`. Ready=False SourceNotReady while its source is not ready for its generation (HR-69)."""
    ref = chart_of(run.obj)
    assert ref is not None  # noqa: S101  (the schema asks for one of both)
    _check_access(run, ref)
    source = run.survey.world.get(ref)
    if source is None:
        raise _not_ready(run, ref, "it does not exist")
    ready, artifact = conditions.get(source, "Ready") or {}, artifact_of(source)
    current = (source.get("status") or {}).get("observedGeneration") == source["metadata"].get("generation")
    if ref.kind != "ExternalArtifact" and (artifact is None or ready.get("status") != "True" or not current):
        raise _not_ready(run, ref, str(ready.get("message") or "waiting for it to be reconciled"))
    if artifact is None:
        raise _not_ready(run, ref, "it has no artifact")
    run.artifact = artifact


async def load_chart(run: HelmReleaseRun) -> None:
    """Have the chart, unless there is nothing to do with it. Ready=False ArtifactFailed."""
    ref, artifact = chart_of(run.obj), run.artifact
    if run.settled or ref is None:
        return
    try:
        run.chart = await _fetch(run, artifact, ref)
    except ChartProblem as problem:
        raise Transient(reasons.ARTIFACT_FAILED, problem.failures) from problem
    if ref.kind != "HelmChart":
        digest = str(artifact["revision"]).rpartition("@")[2]
        run.oci_digest = digest if digest.startswith("sha256:") else str(artifact["digest"])
        if gates.NO_DIGESTS not in run.gates:
            suffix = run.oci_digest.partition(":")[2][:12]
            run.chart.rename(version=versions.with_metadata(run.chart.version, suffix))
    run.revision = run.chart.version


async def _fetch(run: HelmReleaseRun, artifact: dict[str, Any], ref: Ref) -> Any:
    with tempfile.TemporaryDirectory(prefix="fluxless-chart-") as folder:
        archive = Path(folder) / "chart.tgz"
        try:
            there = await verified.fetch(run.services.store, artifact, archive)
        except ArchiveProblem as problem:
            raise Transient(reasons.ARTIFACT_FAILED, problem.failures) from problem
        if not there:
            raise _not_ready(run, ref, "its artifact is gone; it is made again", GONE)
        return await asyncio.to_thread(load_archive, archive, f"the chart of {ref.kind} '{ref.name}'")


def _not_ready(run: HelmReleaseRun, ref: Ref, why: str, again: float = 0.0) -> Waiting:
    text = f"{ref.kind} '{ref.namespace}/{ref.name}' is not ready: {why}"
    run.fulfilling()
    return Waiting(
        NOT_READY,
        Failure(FailureClass.DEPENDENCY, text, str(run.ref)),
        retry_after=again or run.services.settings.requeue_dependency,
        event=False,
    )


async def remove_chart(run: HelmReleaseRun) -> None:
    """The HelmChart goes with the object (HR-70), and so does one of before that no step has come to remove."""
    wanted = chart_of(run.obj) if run.spec.get("chart") else None
    for ref in {wanted, _made_before(run)}:
        if ref is not None:
            await _remove(run, ref)


def _made_before(run: HelmReleaseRun) -> Ref | None:
    """The HelmChart of `status.helmChart`."""
    namespace, _, name = str(run.status.fields.get("helmChart") or "").partition("/")
    return Ref("HelmChart", namespace, name) if name else None


async def _remove(run: HelmReleaseRun, ref: Ref) -> None:
    """Delete a HelmChart that says it is of this release: a status may name those of others."""
    resource = await run.cluster.resource(HELM_CHART.api_version, "HelmChart")
    live = await run.cluster.get(resource, ref.name, ref.namespace)
    if live is None or not run.owner.owns(live):
        return
    if await run.cluster.delete(resource, ref.name, ref.namespace, uid=live["metadata"]["uid"]):
        run.tell(Event("Normal", "HelmChartDeleted", f"Deleted HelmChart/{ref.namespace}/{ref.name}", {}))
