"""The Kustomization controller: from an artifact to healthy objects in the cluster (KC rows).

A step in which nothing has changed reads one memory blob, compares one digest and looks at shared lists: it fetches,
renders, applies and writes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from fluxless.api import conditions, reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.apply.applier import apply_set
from fluxless.apply.drift import Drift, drifted
from fluxless.apply.ignore import Rule
from fluxless.apply.inventory import Inventory, restrict, stale, union, write
from fluxless.apply.normalise import normalise
from fluxless.apply.objects import parse_id
from fluxless.apply.prune import Pruned
from fluxless.apply.prune import prune as prune_objects
from fluxless.kustomize import prune_guard
from fluxless.kustomize.build import PathProblem, build
from fluxless.kustomize.drift_report import reports, tell_of_drift
from fluxless.kustomize.finalize import finalize
from fluxless.kustomize.health import check_health
from fluxless.kustomize.inputs import read_variables
from fluxless.kustomize.keyring import read_keys
from fluxless.kustomize.run import KustomizationRun, Memory
from fluxless.kustomize.target import open_target
from fluxless.reconcile.dependencies import artifact_of, source_of, waits_for
from fluxless.reconcile.errors import Stalled, Transient, Waiting, internal
from fluxless.reconcile.events import Event
from fluxless.reconcile.interval import jittered
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.records import read_json

QUIET = {"unchanged", "drifted"}
"""Actions that have changed nothing."""


class KustomizationController:
    """`PHASES` is the design; each phase says which conditions it may set."""

    reason = reasons.RECONCILIATION_FAILED

    def __init__(self) -> None:
        self.phases = PHASES

    async def finalize(self, run: KustomizationRun) -> Outcome:
        """KC-92."""
        return await finalize(run)

    def succeed(self, run: KustomizationRun) -> Outcome:
        """Ready, the revisions, the history and the closing event (KC-41, KC-44, KC-46, KC-96)."""
        after = jittered(run.interval, f"{run.cluster.name}/{run.interval}")
        outcome = Outcome(State.READY, after, reasons.RECONCILIATION_SUCCEEDED, run.revision)
        known = run.obj.get("status") or {}
        quiet = (
            (run.settled or run.only_reported) and run.healthy_after is None and conditions.is_true(run.obj, "Ready")
        )
        quiet = quiet and known.get("lastAppliedRevision") == run.revision
        quiet = quiet and known.get("observedGeneration") == run.generation
        if quiet and not run.requested:
            return outcome
        run.status.mark("Ready", "True", reasons.RECONCILIATION_SUCCEEDED, f"Applied revision: {run.revision}")
        run.status.set(lastAppliedRevision=run.revision, lastAttemptedRevision=run.revision)
        run.status.remember(run.checksum, reasons.RECONCILIATION_SUCCEEDED, run.seconds(), {"revision": run.revision})
        if not quiet:
            text = f"Reconciliation finished in {format_duration(round(run.seconds(), 3))}, "
            text += f"next run in {format_duration(run.interval)}"
            metadata = self.event_metadata(run) | {"commit_status": "update"}
            run.tell(Event("Normal", reasons.RECONCILIATION_SUCCEEDED, text, metadata))
        return outcome

    def retry_after(self, run: KustomizationRun) -> float | None:
        """CM-28: the retry interval, without backoff."""
        return run.retry_interval

    def event_metadata(self, run: KustomizationRun) -> dict[str, str]:
        """CM-20."""
        return {"revision": run.revision}


async def resolve_source(run: KustomizationRun) -> None:
    """Find the artifact to apply (KC-60). Ready=False ArtifactFailed while there is none."""
    source = source_of(run.obj)
    if source is None:
        raise Stalled(reasons.ARTIFACT_FAILED, internal("spec.sourceRef is missing"))
    if run.services.settings.no_cross_namespace_refs and source.namespace != run.ref.namespace:
        text = f"can't access '{source}', cross-namespace references have been blocked"
        raise Stalled(reasons.ACCESS_DENIED, Failure(FailureClass.FORBIDDEN, text, str(run.ref)))
    artifact = artifact_of(run.survey.world.get(source))
    if artifact is None:
        _wait_for_others(run)
    else:
        run.artifact, run.revision = artifact, str(artifact.get("revision", ""))


async def check_dependencies(run: KustomizationRun) -> None:
    """Ready=False DependencyNotReady until every dependency is ready (KC-62); a cycle is an error at once."""
    _wait_for_others(run)


def _wait_for_others(run: KustomizationRun) -> None:
    wait = waits_for(run.obj, run.survey.world)
    if wait is None:
        return
    if wait.impossible:
        step = "remove one of these dependsOn entries" if wait.reason == reasons.DEPENDENCY_NOT_READY else ""
        failure = Failure(FailureClass.DEPENDENCY, wait.message, str(run.ref), next_step=step)
        raise Stalled(wait.reason, failure, others=True)
    told = wait.reason == reasons.DEPENDENCY_NOT_READY
    cls = FailureClass.DEPENDENCY if told else FailureClass.SOURCE_NOT_FOUND
    raise Waiting(
        wait.reason,
        Failure(cls, wait.message, str(run.ref)),
        retry_after=run.services.settings.requeue_dependency,
        others=True,
        event=told,
    )


async def recall(run: KustomizationRun) -> None:
    """Read what is remembered of the last apply. Sets no condition."""
    document, _ = await read_json(run.services.store, run.memory_name)
    run.memory = Memory.from_json(document)


async def detect_drift(run: KustomizationRun) -> None:
    """When the inputs are those of the last apply, look for objects that somebody else has changed (design 5)."""
    record = run.memory.applied
    if record.inputs == run.inputs and not record.pending and not run.memory.floating:
        wait = bool(run.spec.get("wait") or run.spec.get("healthChecks"))
        run.drifted = await drifted(run.census, record, status=wait)
        _tell_of_rivals(run)


def _tell_of_rivals(run: KustomizationRun) -> None:
    """Two Kustomizations that hold the same object would take it from each other for ever: say so to their users."""
    for id_, finding in (run.drifted or {}).items():
        name, namespace = finding.owner
        if finding.drift is Drift.TAKEN and name:
            text = f"{parse_id(id_).subject} belongs to another owner by its labels: Kustomization {namespace}/{name}"
            text += " applies it as well; remove it from one of the two"
            run.tell(Event("Warning", reasons.SHARED_OBJECT, text, {"revision": run.revision}))


async def fetch(run: KustomizationRun) -> None:
    """Have the artifact on this worker (KC-63). Waits when its blob is gone: the source will make it anew."""
    if run.settled:
        return
    run.say("Fetching manifests")
    run.tree = await run.services.artifacts.tree(run.artifact)
    if run.tree is None:
        text = "Source is not ready, artifact not found, retrying in 30s"
        raise Waiting(
            reasons.ARTIFACT_FAILED,
            Failure(FailureClass.SOURCE_NOT_FOUND, text, str(run.ref)),
            retry_after=run.services.settings.requeue_dependency,
            event=False,
        )


async def render(run: KustomizationRun) -> None:
    """Build and substitute (KC-64..74). Ready=False BuildFailed."""
    if run.tree is None:
        return
    run.status.set(lastAttemptedRevision=run.revision)
    run.say("Building manifests")
    try:
        run.build = await build(
            run.tree,
            run.artifact["digest"],
            run.spec,
            run.variables,
            decryption=run.decryption,
            remote_bases=run.services.settings.remote_bases,
            timeout=run.timeout,
        )
    except PathProblem as problem:
        raise Transient(reasons.ARTIFACT_FAILED, problem.failures) from problem
    except Problem as problem:
        raise Transient(reasons.BUILD_FAILED, problem.failures) from problem


async def apply(run: KustomizationRun) -> None:
    """Make the cluster hold what was rendered (KC-75..90). Ready=False ReconciliationFailed."""
    if run.tree is None:
        return
    run.say("Detecting drift")
    await run.keep()
    common = run.spec.get("commonMetadata") or {}
    try:
        manifests = normalise(
            run.build.objects, run.owner, labels=common.get("labels"), annotations=common.get("annotations")
        )
        run.applied = await apply_set(
            run.target,
            run.census,
            manifests,
            owner=run.owner,
            previous=run.memory.applied,
            force=bool(run.spec.get("force")),
            ignore=_ignore_rules(run),
            salt=run.salt,
            before_create=lambda inventory: _write_ahead(run, inventory),
            custom_stage=run.services.settings.custom_stage_kinds,
            leave_drift=reports(run),
        )
    except Stalled:
        raise
    except Problem as problem:
        run.status.remember(run.inputs, reasons.RECONCILIATION_FAILED, run.seconds(), {"revision": run.revision})
        raise Transient(reasons.RECONCILIATION_FAILED, problem.failures) from problem
    run.changes += [(change.subject, change.action) for change in run.applied.changes if change.action not in QUIET]
    if run.applied.changed:
        text = "\n".join(f"{subject} {action}" for subject, action in run.changes)
        run.tell(Event("Normal", reasons.PROGRESSING, text, {"revision": run.revision}))


def _ignore_rules(run: KustomizationRun) -> list[Rule]:
    try:
        return [Rule.parse(entry) for entry in run.spec.get("ignore") or []]
    except ValueError as error:
        step = "write it like /spec/replicas"
        failure = Failure(FailureClass.VALIDATION, f"spec.ignore: {error}", str(run.ref), next_step=step)
        raise Stalled(reasons.RECONCILIATION_FAILED, failure) from None


async def _write_ahead(run: KustomizationRun, inventory: Inventory) -> None:
    """Before the first write: after a crash, what may be in the cluster is known although no inventory names it."""
    run.memory.applied = replace(run.memory.applied, pending=union(run.memory.applied.pending, inventory))
    await run.save_memory()


async def prune(run: KustomizationRun) -> None:
    """Delete what is no longer wanted (KC-91), write the inventory. Ready=False PruneFailed; survivors stay in it."""
    if run.applied is None:
        return
    wanted = run.applied.inventory
    left = stale(union(run.old_inventory, run.memory.applied.pending), wanted) if run.spec.get("prune") else {}
    hold = prune_guard.held(
        prune_guard.Limit.parse(run.services.settings.prune_limit),
        left,
        len(union(run.old_inventory, wanted)),
        _notes(run),
    )
    if hold:
        pruned = Pruned(survivors=set(left), failures=[Failure(FailureClass.VALIDATION, hold, str(run.ref))])
    else:
        pruned = await prune_objects(run.target, run.census, left, owner=run.owner) if left else Pruned()
    run.status.set(inventory=write(union(wanted, restrict(left, pruned.survivors))))
    if pruned.deleted:
        run.changes += [(subject, "deleted") for subject in pruned.deleted]
        text = "\n".join(f"{subject} deleted" for subject in pruned.deleted)
        run.tell(Event("Normal", reasons.PROGRESSING, text, {"revision": run.revision}))
    pending = restrict(left, pruned.survivors)
    record = replace(run.applied.record, inputs=run.inputs, revision=run.revision, pending=pending)
    same = run.memory.applied.inputs == run.inputs  # drift was corrected while a health check waits: it waits on
    run.memory = Memory(record, run.memory.checking_since if same else None, run.build.floating)
    await run.save_memory()
    if pruned.failures:
        reason = reasons.PRUNE_HELD if hold else reasons.PRUNE_FAILED
        run.status.remember(run.checksum, reason, run.seconds(), {"revision": run.revision})
        raise Transient(reason, pruned.failures)


def _notes(run: KustomizationRun) -> dict[str, str]:
    return run.obj["metadata"].get("annotations") or {}


PHASES = (
    resolve_source,
    check_dependencies,
    open_target,
    recall,
    read_variables,
    read_keys,
    detect_drift,
    fetch,
    render,
    apply,
    tell_of_drift,
    prune,
    check_health,
)
