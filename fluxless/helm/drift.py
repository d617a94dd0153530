"""Has somebody changed the objects of a release (HR-13, HR-74)? By ownership first, then by a dry-run of what drifted.

Whose fields are whose is one LIST for each kind, shared by all releases of a cluster. Only objects of which nothing is
known, or whose ownership has changed, are asked for one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.applier import Drifted
from fluxless.apply.changes import changes
from fluxless.apply.drift import Drift, drifted
from fluxless.apply.ignore import Rule, leave_to_others, without_ignored
from fluxless.apply.many import each
from fluxless.apply.normalise import normalise
from fluxless.apply.objects import KubeObject, Manifest, identify, object_id, version_of
from fluxless.apply.order import sort_key
from fluxless.apply.owner import HELM_GROUP, hands_off
from fluxless.apply.record import Entry
from fluxless.helm.book import about, full
from fluxless.helm.objects import objects_of, record_of
from fluxless.helm.records import read_records
from fluxless.helm.release import Release
from fluxless.helm.run import MANAGER, HelmReleaseRun
from fluxless.kube.errors import ApiProblem, Unreachable
from fluxless.reconcile import drift_history
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.lease import held

CONDITION = "Drifted"
STATE_ERROR = "StateError"
EVERYTHING = ""
"""The JSON pointer of a whole object."""


@dataclass(frozen=True, slots=True)
class Found:
    """A drifted object, and what is to be sent for it."""

    wanted: KubeObject
    drifted: Drifted


async def check_drift(run: HelmReleaseRun) -> None:
    """Drifted=True DriftDetected, or False NoDriftDetected; in mode `enabled` what has drifted is set right."""
    mode = (run.spec.get("driftDetection") or {}).get("mode") or "disabled"
    if mode == "disabled":
        run.status.unmark(CONDITION)
        return
    suspects = None if run.did else await _suspects(run)
    if suspects is not None:
        async with held(run, run.services.settings.release_lease):
            await _examine(run, suspects, correct=mode == "enabled")
        return
    _mark_none(run)


async def _suspects(run: HelmReleaseRun) -> frozenset[str] | None:
    """Ids of objects that have to be looked at; empty means all of them, None that there are none."""
    record = run.memory.applied
    if record.revision != str(run.history[0]["version"]):
        return frozenset()
    return frozenset(await drifted(run.census, record)) or None


async def _examine(run: HelmReleaseRun, suspects: frozenset[str], *, correct: bool) -> None:
    rules, left_alone = _rules(run)
    last = run.last or (await read_records(run))[0]
    objects = await objects_of(run, last)
    if not suspects:
        run.memory.applied = record_of(run, last, objects)
    looked_at = [obj for obj in objects if not suspects or object_id(obj) in suspects]

    async def one(obj: KubeObject) -> Found | None:
        wanted = _as_sent(obj, last, run)
        if hands_off(wanted, HELM_GROUP) or any(rule.means(wanted) for rule in left_alone):
            return None
        try:
            return await _compared(run, wanted, rules)
        except Unreachable:
            raise
        except ApiProblem as problem:
            words = f"unable to determine cluster state: {identify(wanted).subject}: {problem.failures[0].message}"
            raise Transient(STATE_ERROR, Failure(FailureClass.INTERNAL, words, str(run.ref))) from problem

    found = [each_one for each_one in await each(one, looked_at) if each_one is not None]
    _tell(run, found)
    if found and correct:
        await _correct(run, found)
    elif found:
        await drift_history.remember(run, [each_one.drifted for each_one in found], "reported")
    await run.save_memory()


async def _compared(run: HelmReleaseRun, wanted: KubeObject, rules: Sequence[Rule]) -> Found | None:
    subject = identify(wanted).subject
    resource = await run.target.resource(wanted["apiVersion"], wanted["kind"])
    namespace, name = wanted["metadata"].get("namespace", ""), wanted["metadata"]["name"]
    live = await run.target.get(resource, name, namespace)
    if live is None:
        return Found(wanted, Drifted(subject, Drift.MISSING, ()))
    if hands_off(live, HELM_GROUP):
        return None
    sent = without_ignored(leave_to_others(wanted, live, rules, MANAGER), live, rules)
    answer = await run.target.apply(sent, manager=MANAGER, dry_run=True)
    fields = tuple(changes(live, answer, MANAGER))
    if fields:
        return Found(sent, Drifted(subject, Drift.CHANGED, fields))
    _note(run, live)
    return None


def _mark_none(run: HelmReleaseRun) -> None:
    run.status.mark(CONDITION, "False", "NoDriftDetected", "No drift detected against the cluster state")


def _note(run: HelmReleaseRun, live: KubeObject) -> None:
    """The object is as it should be: this is how it looks then."""
    sighting, record = run.census.sight(live), run.memory.applied
    entry = Entry(version_of(live["apiVersion"]), "", sighting.uid, sighting.mark)
    run.memory.applied = replace(record, entries={**record.entries, object_id(live): entry})


def _tell(run: HelmReleaseRun, found: Sequence[Found]) -> None:
    if not found:
        _mark_none(run)
        return
    text = f"Cluster state of release {full(run.history[0])} has drifted from the desired state:\n"
    text += drift_history.describe(one.drifted for one in found)
    known = run.status.condition(CONDITION) or {}
    run.status.mark(CONDITION, "True", "DriftDetected", text)
    if known.get("message") != text:
        run.tell(Event("Warning", "DriftDetected", text, about(run.history[0])))


async def _correct(run: HelmReleaseRun, found: Sequence[Found]) -> None:
    """One after the other; what is refused does not keep the others from being set right."""
    done: list[str] = []
    refused: list[str] = []
    for one in sorted(found, key=lambda one: sort_key(identify(one.wanted))):
        if run.lease is not None:
            run.lease.check()
        subject = one.drifted.subject
        try:
            live = await run.target.apply(one.wanted, manager=MANAGER)
        except ApiProblem as problem:
            refused.append(f"{subject}: {problem.failures[0].message}")
            continue
        action = "created" if one.drifted.drift is Drift.MISSING else "configured"
        done.append(f"{subject} {action}")
        run.changes.append((subject, action))
        _note(run, live)
        await run.census.note(await run.target.resource(live["apiVersion"], live["kind"]), live)
    await drift_history.remember(run, [one.drifted for one in found], "corrected")
    release = full(run.history[0])
    if refused:
        await run.save_memory()
        text = f"Failed to {'partially ' if done else ''}correct cluster state of release {release}:\n"
        text += "\n".join(refused) + ("\n\nSuccessful corrections:\n" + "\n".join(done) if done else "")
        step = "make the change by an upgrade of the chart, or leave the field to others by driftDetection.ignore"
        raise Transient("DriftCorrectionFailed", Failure(FailureClass.VALIDATION, text, str(run.ref), next_step=step))
    _mark_none(run)
    text = f"Cluster state of release {release} has been corrected:\n" + "\n".join(done)
    run.tell(Event("Normal", "DriftCorrected", text, about(run.history[0])))


def _as_sent(obj: KubeObject, last: Release, run: HelmReleaseRun) -> KubeObject:
    """With what Helm adds to every object of a release."""
    metadata: dict[str, Any] = obj["metadata"]
    labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    notes = {"meta.helm.sh/release-name": last.name, "meta.helm.sh/release-namespace": last.namespace}
    annotations = {**(metadata.get("annotations") or {}), **notes}
    whole = {**obj, "metadata": {**metadata, "labels": labels, "annotations": annotations}}
    sent = normalise([Manifest(whole)], run.owner)[0].object
    for label in run.owner.labels.keys() - labels.keys():  # of a release that was made by Helm itself
        del sent["metadata"]["labels"][label]
    return sent


def _rules(run: HelmReleaseRun) -> tuple[list[Rule], list[Rule]]:
    """Fields that are left to others, and objects that are. Raises `Stalled` for what is no JSON pointer."""
    said: list[Mapping[str, Any]] = (run.spec.get("driftDetection") or {}).get("ignore") or []
    try:
        rules = [Rule.parse({**one, "paths": [path for path in one["paths"] if path != EVERYTHING]}) for one in said]
    except ValueError as error:
        step = "write it like /spec/replicas"
        failure = Failure(FailureClass.VALIDATION, f"spec.driftDetection.ignore: {error}", str(run.ref), next_step=step)
        raise Stalled("ReconcileError", failure) from None
    return rules, [Rule.parse({**one, "paths": []}) for one in said if EVERYTHING in one["paths"]]
