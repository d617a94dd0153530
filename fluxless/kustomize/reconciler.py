"""The Kustomization controller: from an artifact to healthy objects in the cluster (KC rows).

A step in which nothing has changed reads one memory blob, compares one digest and looks at shared lists: it fetches,
renders, applies and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fluxless.api import conditions, reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.apply.applier import WRITTEN, apply_set
from fluxless.apply.drift import Drift, drifted
from fluxless.apply.ignore import Rule
from fluxless.apply.inventory import Inventory, union, write
from fluxless.apply.normalise import normalise
from fluxless.apply.objects import parse_id
from fluxless.apply.stage import StageProblem
from fluxless.kustomize.collect import prune
from fluxless.kustomize.content import check_dependencies, fetch, render, resolve_source
from fluxless.kustomize.drift_report import reports, tell_of_drift
from fluxless.kustomize.finalize import finalize
from fluxless.kustomize.health import check_health
from fluxless.kustomize.inputs import read_variables
from fluxless.kustomize.keyring import read_keys
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.errors import Ended, Stalled, Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.interval import jittered
from fluxless.reconcile.judgement import judge_by
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.target import explained, open_target

QUIET = {"unchanged", "drifted"}
"""Actions that have changed nothing."""
MOVING_INTERVAL = 15.0
"""Seconds until the next look at objects that are on their way to another Kustomization."""


class KustomizationController:
    """Goes through `PHASES`, from the source to the health of what was applied."""

    reason = reasons.RECONCILIATION_FAILED

    def __init__(self) -> None:
        self.phases = PHASES

    async def finalize(self, run: KustomizationRun) -> Outcome:
        """Do with the objects what the deletion policy says (KC-92)."""
        return await finalize(run)

    def succeed(self, run: KustomizationRun) -> Outcome:
        """Ready, the revisions, the history and the closing event (KC-41, KC-44, KC-46, KC-96)."""
        after = jittered(run.interval, f"{run.cluster.name}/{run.interval}")
        after = min(after, MOVING_INTERVAL) if run.moving else after
        outcome = Outcome(State.READY, after, reasons.RECONCILIATION_SUCCEEDED, run.revision)
        known = run.obj.get("status") or {}
        quiet = run.idle and conditions.is_true(run.obj, "Ready")
        quiet = quiet and known.get("lastAppliedRevision") == run.revision
        quiet = quiet and known.get("observedGeneration") == run.generation
        if quiet and not run.requested:
            return outcome
        run.status.mark("Ready", "True", reasons.RECONCILIATION_SUCCEEDED, f"Applied revision: {run.revision}")
        run.status.set(
            lastAppliedRevision=run.revision,
            lastAttemptedRevision=run.revision,
            lastAppliedOriginRevision=run.origin_revision,
        )
        run.status.remember(run.checksum, reasons.RECONCILIATION_SUCCEEDED, run.seconds(), run.revisions)
        if not quiet:
            text = f"Reconciliation finished in {format_duration(round(run.seconds(), 3))}, "
            text += f"next run in {format_duration(run.interval)}"
            metadata = self.event_metadata(run) | {"commit_status": "update"}
            run.tell(Event("Normal", reasons.RECONCILIATION_SUCCEEDED, text, metadata))
        return outcome

    def retry_after(self, run: KustomizationRun) -> float | None:
        """Seconds of the retry interval, always the same (CM-28)."""
        return run.retry_interval

    def event_metadata(self, run: KustomizationRun) -> dict[str, str]:
        """The revisions of the artifact, for its events (CM-20)."""
        return run.revisions


async def read_expressions(run: KustomizationRun) -> None:
    """Refuse expressions that are no CEL before anything is done (KC-47). Stalled InvalidCELExpression."""
    judge_by(run.spec.get("healthCheckExprs") or [])


async def recall(run: KustomizationRun) -> None:
    """Read what is remembered of the last apply. Sets no condition."""
    await run.remembered.recall()


async def detect_drift(run: KustomizationRun) -> None:
    """When the inputs are those of the last apply, look for objects that somebody else has changed. The status of that
    apply is written after its memory, and may have been lost between the two: so the inventory is what was applied.
    """
    record = run.memory.applied
    if record.inputs == run.inputs and not record.pending and not run.memory.floating:
        if run.old_inventory != record.inventory:
            run.status.set(inventory=write(record.inventory))
        wait = bool(run.spec.get("wait") or run.spec.get("healthChecks"))
        awaited = run.memory.checking_since is not None
        run.drifted = await drifted(run.census, record, status=wait, awaited=awaited)
        _tell_of_rivals(run)


def _tell_of_rivals(run: KustomizationRun) -> None:
    """Two Kustomizations that hold the same object would take it from each other for ever: say so to their users."""
    for id_, finding in (run.drifted or {}).items():
        name, namespace = finding.owner
        if finding.drift is Drift.TAKEN and name:
            text = f"{parse_id(id_).subject} belongs to another owner by its labels: Kustomization {namespace}/{name}"
            text += " applies it as well; remove it from one of the two"
            run.tell(Event("Warning", reasons.SHARED_OBJECT, text, run.revisions))


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
            before_write=lambda inventory: _write_ahead(run, inventory),
            fence=run.fence,
            custom_stage=run.services.settings.custom_stage_kinds,
            leave_drift=reports(run),
            awaited=run.drifted is not None and run.memory.checking_since is not None,
        )
    except Ended:
        raise
    except Problem as problem:
        await run.step_back()
        run.status.remember(run.inputs, reasons.RECONCILIATION_FAILED, run.seconds(), run.revisions)
        if isinstance(problem, StageProblem):
            _tell_changes(run, problem.done)  # earlier stages are in the cluster all the same
        raise Transient(reasons.RECONCILIATION_FAILED, await explained(run, problem.failures)) from problem
    if run.applied.unknown:
        text = "\n".join(map(str, run.applied.unknown))
        run.tell(Event("Warning", reasons.UNKNOWN_FIELD, text, run.revisions))
    _tell_changes(
        run, [(change.subject, change.action) for change in run.applied.changes if change.action not in QUIET]
    )


def _tell_changes(run: KustomizationRun, changes: Iterable[tuple[str, str]]) -> None:
    """In the run record all of them, by event what was written (KC-89)."""
    run.changes += changes
    written = [f"{subject} {action}" for subject, action in run.changes if action in WRITTEN]
    if written:
        run.tell(Event("Normal", reasons.PROGRESSING, "\n".join(written), run.revisions))


def _ignore_rules(run: KustomizationRun) -> list[Rule]:
    try:
        return [Rule.parse(entry) for entry in run.spec.get("ignore") or []]
    except ValueError as error:
        step = "write it like /spec/replicas"
        failure = Failure(FailureClass.VALIDATION, f"spec.ignore: {error}", str(run.ref), next_step=step)
        raise Stalled(reasons.RECONCILIATION_FAILED, failure) from None


async def _write_ahead(run: KustomizationRun, inventory: Inventory) -> None:
    """Before the first write: after a crash, what may be in the cluster is known although no inventory names it. By the
    same request this worker takes its turn.
    """
    run.memory.applied = replace(run.memory.applied, pending=union(run.memory.applied.pending, inventory))
    await run.fence()


PHASES = (
    read_expressions,
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
