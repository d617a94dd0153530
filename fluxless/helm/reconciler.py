"""The HelmRelease controller: from a chart and values to a healthy release (HR rows).

Determine, then act, until nothing is left to do: every action once in a step, and a remediation ends it (HR-60).
Waiting for objects to become ready is no part of an action: the step ends, and the next one looks again.
"""

from __future__ import annotations

from typing import Any

from fluxless.api import conditions, reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.unbuilt import unbuilt_fields
from fluxless.apply import inventory
from fluxless.apply.health import Look, Target, look
from fluxless.apply.objects import object_id, version_of
from fluxless.helm import actions
from fluxless.helm.compose import compose_values
from fluxless.helm.post import observed
from fluxless.helm.release import DEPLOYED, Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.sources import load_chart, make_chart, remove_chart
from fluxless.helm.state import Action, Exhausted, Found, State, determine, next_action, remedy, rollback_target
from fluxless.helm.values import digest
from fluxless.reconcile.errors import Ended, Stalled, Transient, Waiting
from fluxless.reconcile.events import Event
from fluxless.reconcile.interval import jittered
from fluxless.reconcile.judgement import judge_by
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.outcome import State as OutcomeState
from fluxless.reconcile.records import read_json
from fluxless.reconcile.status import FORCE_ANNOTATION, RESET_ANNOTATION
from fluxless.reconcile.target import open_target
from fluxless.reconcile.waiting import wait_for_others
from fluxless.render.manifests import load_all

RELEASED, REMEDIATED = "Released", "Remediated"
MOST_ACTIONS = 6
"""In one step; more means that determining and acting do not agree."""
_WORD = {
    Action.INSTALL: "Install",
    Action.UPGRADE: "Upgrade",
    Action.ROLLBACK: "Rollback",
    Action.UNINSTALL: "Uninstall",
}


class HelmReleaseController:
    """`phases` is the design."""

    reason = "ReconcileError"

    def __init__(self) -> None:
        self.phases = PHASES

    async def finalize(self, run: HelmReleaseRun) -> Outcome:
        """HR-77."""
        if not run.spec.get("suspend") and run.history:
            await open_target(run)
            await _uninstall_known(run)
        await remove_chart(run)
        await run.services.store.delete(run.memory_name)
        return Outcome(OutcomeState.GONE)

    def succeed(self, run: HelmReleaseRun) -> Outcome:
        """Ready says what Released says."""
        released = run.status.condition(RELEASED) or {}
        run.status.mark("Ready", "True", str(released.get("reason") or ""), str(released.get("message") or ""))
        after = jittered(run.interval, f"{run.cluster.name}/{run.interval}")
        return Outcome(OutcomeState.READY, after, str(released.get("reason") or ""), run.revision)

    def retry_after(self, run: HelmReleaseRun) -> float | None:
        """CM-28: backoff."""
        return None

    def event_metadata(self, run: HelmReleaseRun) -> dict[str, str]:
        """HR-54."""
        return run.revisions


async def _uninstall_known(run: HelmReleaseRun) -> None:
    """The release as the status knows it, wherever the spec says that it should be now."""
    last = run.history[0]
    records = str(run.status.fields.get("storageNamespace") or run.storage_namespace)
    await actions.uninstall(run, last["name"], last["namespace"], records)
    text = f"Helm uninstall succeeded for release {_full(last)} with chart {_chart(last)}"
    run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))


async def check_dependencies(run: HelmReleaseRun) -> None:
    """Ready=False DependencyNotReady until every dependency is ready (HR-80)."""
    wait_for_others(run)


async def refuse_unbuilt(run: HelmReleaseRun) -> None:
    """What this version does not do is said, and never half-done. Stalled UnsupportedField."""
    fields = [f"spec.{name}" for name in unbuilt_fields(run.kind.kind, run.spec)]
    if fields:
        text = f"{', '.join(fields)} is not supported by this version of Fluxless"
        step = "remove the field, or leave this object to a version that supports it"
        raise Stalled("UnsupportedField", Failure(FailureClass.VALIDATION, text, str(run.ref), next_step=step))


async def recall(run: HelmReleaseRun) -> None:
    """What is remembered of a wait that is under way. Sets no condition."""
    run.memory, _ = await read_json(run.services.store, run.memory_name)


async def forget_failures(run: HelmReleaseRun) -> None:
    """HR-64: what is new, or a request, begins to count from zero."""
    known = run.status.fields
    same = known.get("lastAttemptedGeneration") == run.generation
    same = same and known.get("lastAttemptedRevision") == run.revision
    same = same and known.get("lastAttemptedConfigDigest") == digest(run.values)
    if not same or run.asked(RESET_ANNOTATION, "lastHandledResetAt"):
        run.status.set(failures=None, installFailures=None, upgradeFailures=None)
    run.status.set(
        lastAttemptedGeneration=run.generation,
        lastAttemptedRevision=run.revision,
        lastAttemptedRevisionDigest=run.oci_digest or None,
        lastAttemptedConfigDigest=digest(run.values),
    )
    if not same or run.asked(RESET_ANNOTATION, "lastHandledResetAt"):
        _handled(run, RESET_ANNOTATION, "lastHandledResetAt")


def _handled(run: HelmReleaseRun, annotation: str, field: str) -> None:
    if token := (run.obj["metadata"].get("annotations") or {}).get(annotation):
        run.status.set(**{field: token})


async def leave_old_target(run: HelmReleaseRun) -> None:
    """HR-63: a release that was elsewhere, had another name or was of another chart goes before the new one comes."""
    last = run.history[0] if run.history else None
    if last is not None:
        before = (last["name"], last["namespace"], run.status.fields.get("storageNamespace") or run.storage_namespace)
        moved = before != (run.release_name, run.namespace, run.storage_namespace)
        if moved or last["chartName"] != run.wanted.chart_name:
            run.did = True
            await run.write_status()
            await _uninstall_known(run)
            run.status.set(history=None, inventory=None)
            run.memory = {}
            await run.save_memory()
    run.status.set(storageNamespace=run.storage_namespace)


async def release(run: HelmReleaseRun) -> Outcome | None:
    """Determine and act (HR-60..65). Released, Remediated; Stalled RetriesExceeded."""
    done: set[Action] = set()
    for _ in range(MOST_ACTIONS):
        run.records = await actions.read_records(run)
        last = run.records[0] if run.records else None
        if last is not None and run.memory.get("awaiting") == last.version and last.status == DEPLOYED:
            await _await_health(run, last)
            continue
        found = _by_spec(run, determine(last, run.wanted, run.history))
        if found.state is State.UNKNOWN:
            raise Transient(
                "StateError", Failure(FailureClass.INTERNAL, f"Could not determine release state: {found.why}")
            )
        force = run.asked(FORCE_ANNOTATION, "lastHandledForceAt")
        try:
            action = next_action(found, run.spec, run.status.fields, force=force)
        except Exhausted:
            return _exhausted(run)
        if action is None:
            _in_sync(run, last)
            return None
        if action in done:
            raise _try_again(run)
        done.add(action)
        if found.state is State.UNMANAGED:
            run.status.set(history=None)
        await _act(run, action, last)
        if action in {Action.ROLLBACK, Action.UNINSTALL}:
            if _is_exhausted(run):
                return _exhausted(run)
            raise _try_again(run)
    raise Transient("ReconcileError", Failure(FailureClass.INTERNAL, "the release does not settle; it is tried again"))


def _by_spec(run: HelmReleaseRun, found: Found) -> Found:
    """HR-61: another way to render counts while the generation is new."""
    if found.state is State.IN_SYNC and run.status.fields.get("observedGeneration") != run.generation:
        for field, value in observed(run.spec).items():
            if (run.status.fields.get(field) or None) != value:
                return Found(State.OUT_OF_SYNC, f"{field} has changed")
    return found


async def _act(run: HelmReleaseRun, action: Action, last: Release | None) -> None:
    run.did = True
    if action is Action.UNLOCK:
        assert last is not None  # noqa: S101  (a locked release is there)
        await actions.mark_failed(run, last, f"Release unlocked from stale '{last.status}' state")
        await _observe(run, last.version, "")
        run.tell(
            Event(
                "Warning",
                "PendingRelease",
                f"Unlocked Helm release {_full_of(last)} in {last.status} state",
                run.revisions,
            )
        )
        return
    limit = format_duration(run.timeout(action.value))
    run.progress(f"Running '{action.value}' action with timeout of {limit}")
    await run.keep()
    await run.write_status()
    began = run.services.clock()
    before = last.version if last is not None else 0
    if action in {Action.INSTALL, Action.UPGRADE}:
        run.status.set(lastAttemptedReleaseAction=action.value)
        _handled(run, FORCE_ANNOTATION, "lastHandledForceAt")
    try:
        await _run(run, action)
    except Problem as problem:
        await _failed(run, action, problem, before)
        return
    finally:
        if action in {Action.INSTALL, Action.UPGRADE}:
            took = format_duration(round(run.services.clock() - began, 3))
            run.status.set(lastAttemptedReleaseActionDuration=took)
    await _succeeded(run, action)


async def _run(run: HelmReleaseRun, action: Action) -> None:
    if action is Action.INSTALL:
        await actions.install(run)
    elif action is Action.UPGRADE:
        await actions.upgrade(run)
    elif action is Action.UNINSTALL:
        await actions.uninstall(run, run.release_name, run.namespace, run.storage_namespace)
    else:
        version = rollback_target(run.status.fields)
        assert version is not None  # noqa: S101  (next_action has looked)
        await actions.rollback(run, version)


async def _succeeded(run: HelmReleaseRun, action: Action) -> None:
    """The record is there; whether the objects become ready is seen next."""
    run.records = await actions.read_records(run)
    if action is Action.UNINSTALL:
        entry = run.history[0] if run.history else {}
        text = f"Helm uninstall remediation for release {_full(entry)} with chart {_chart(entry)} succeeded"
        run.status.set(history=None)
        run.status.mark(REMEDIATED, "True", "UninstallSucceeded", text)
        run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))
        return
    last = run.records[0]
    await _observe(run, last.version, action.value)
    if action is Action.ROLLBACK:
        entry = run.history[0]
        text = f"Helm rollback to previous release {_full(entry)} with chart {_chart(entry)} succeeded"
        run.status.mark(REMEDIATED, "True", "RollbackSucceeded", text)
        run.tell(Event("Normal", "RollbackSucceeded", text, run.revisions))
        return
    run.memory = {"awaiting": last.version, "since": run.services.clock(), "action": action.value}
    await run.save_memory()


async def _failed(run: HelmReleaseRun, action: Action, problem: Problem, before: int) -> None:
    """HR-64: it counts when Helm has written a record of it."""
    words = problem.failures[0].message
    run.records = await actions.read_records(run)
    last = run.records[0] if run.records else None
    if last is not None and last.pending:  # helm was killed, or gave up over its own record
        await actions.mark_failed(run, last, words[:500])
        run.records = await actions.read_records(run)
        last = run.records[0]
    wanted = run.wanted
    if action in {Action.ROLLBACK, Action.UNINSTALL}:
        text = f"Helm {action.value} failed for release {run.namespace}/{run.release_name}: {words}"
        run.status.mark(REMEDIATED, "False", f"{_WORD[action]}Failed", text)
        raise Transient(f"{_WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)), event=True)
    where = f"{run.namespace}/{run.release_name} with chart {wanted.chart_name}@{wanted.chart_version}"
    text = f"Helm {action.value} failed for release {where}: {words}"
    if last is None or last.version == before:  # nothing was recorded, so nothing has to be undone
        run.status.set(failures=int(run.status.fields.get("failures") or 0) + 1)
        run.status.mark(RELEASED, "False", f"{_WORD[action]}Failed", text)
        raise Transient(f"{_WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)))
    await _count_failure(run, action, last.version, text)


async def _count_failure(run: HelmReleaseRun, action: Action, version: int, text: str) -> None:
    field = f"{action.value}Failures"
    run.status.set(**{name: int(run.status.fields.get(name) or 0) + 1 for name in ("failures", field)})
    await _observe(run, version, action.value)
    run.status.unmark(REMEDIATED)
    run.status.mark(RELEASED, "False", f"{_WORD[action]}Failed", text)
    run.tell(Event("Warning", f"{_WORD[action]}Failed", text, run.revisions))


async def _observe(run: HelmReleaseRun, version: int, action: str) -> None:
    """Bring `status.history` up to date with Helm's records of the versions that are ours (HR-43)."""
    run.records = await actions.read_records(run)
    ours = {entry["version"]: entry for entry in run.history} | {version: {"action": action}}
    entries = []
    for record in run.records:
        known = ours.get(record.version)
        if known is not None:
            oci = str(known.get("ociDigest") or (run.oci_digest if record.version == version else ""))
            entries.append(record.snapshot(str(known.get("action") or ""), oci))
    run.status.set(history=entries[:5] or None)


# -- health -----------------------------------------------------------------------------------------------------------


async def _await_health(run: HelmReleaseRun, last: Release) -> None:
    """A short look, then a durable wait. A release that does not become ready in time has failed, as in Flux."""
    action = Action(str(run.memory.get("action") or "upgrade"))
    objects = await _objects(run, last)
    _keep_inventory(run, objects)
    if run.action_spec(action.value).get("disableWait"):
        await _healthy(run, action)
        return
    targets = [Target.of_inventory(object_id(obj), version_of(obj["apiVersion"])) for obj in objects]
    judge = judge_by(run.spec.get("healthCheckExprs") or [])
    found = await look(run.census, targets, fleeting=set(), judge=judge, since=run.services.clock())
    if not found.pending and not found.failed:
        await _healthy(run, action)
        return
    waited = run.services.clock() - float(run.memory.get("since") or 0.0)
    if found.failed or waited >= run.timeout(action.value):
        await _unhealthy(run, action, last, found)
        return
    run.progress(f"Running '{action.value}' action with timeout of {format_duration(run.timeout(action.value))}")
    raise Waiting(
        reasons.PROGRESSING,
        Failure(FailureClass.HEALTH, found.pending_text(), str(run.ref)),
        retry_after=min(run.services.settings.health_poll, max(0.5, waited / 3)),
        event=False,
        working=True,
    )


async def _healthy(run: HelmReleaseRun, action: Action) -> None:
    run.memory = {}
    await run.save_memory()
    entry = run.history[0]
    word = "install" if action is Action.INSTALL else "upgrade"
    text = f"Helm {word} succeeded for release {_full(entry)} with chart {_chart(entry)}"
    run.status.unmark(REMEDIATED)
    run.status.mark(RELEASED, "True", f"{_WORD[action]}Succeeded", text)
    run.status.set(failures=None, installFailures=None, upgradeFailures=None, **observed(run.spec))
    run.tell(Event("Normal", f"{_WORD[action]}Succeeded", text, run.revisions))


async def _unhealthy(run: HelmReleaseRun, action: Action, last: Release, found: Look) -> None:
    words = found.failed_text() if found.failed else f"timeout waiting for: {found.pending_text()}"
    run.memory = {}
    await run.save_memory()
    await actions.mark_failed(run, last, words[:500])
    wanted = run.wanted
    where = f"{run.namespace}/{run.release_name} with chart {wanted.chart_name}@{wanted.chart_version}"
    await _count_failure(run, action, last.version, f"Helm {action.value} failed for release {where}: {words}")


async def _objects(run: HelmReleaseRun, last: Release) -> list[dict[str, Any]]:
    """The objects of the release, with the namespace that helm gives them."""
    found = []
    for document in load_all(last.manifest, "the release's manifest"):
        if isinstance(document, dict) and document.get("kind") and document.get("metadata"):
            scoped = (await run.target.resource(document["apiVersion"], document["kind"])).namespaced
            metadata = document["metadata"]
            if scoped and not metadata.get("namespace"):
                metadata["namespace"] = last.namespace
            found.append(document)
    return found


def _keep_inventory(run: HelmReleaseRun, objects: list[dict[str, Any]]) -> None:
    """HR-44."""
    entries = {object_id(obj): version_of(obj["apiVersion"]) for obj in objects}
    run.status.set(inventory=inventory.write(entries))


# -- the end of a step ------------------------------------------------------------------------------------------------


def _in_sync(run: HelmReleaseRun, last: Release | None) -> None:
    """HR-60: older records than the one before are let go."""
    if conditions.is_true(run.obj, REMEDIATED) or run.status.condition(RELEASED) is None:
        entry = run.history[0]
        text = f"Helm upgrade succeeded for release {_full(entry)} with chart {_chart(entry)}"
        run.status.unmark(REMEDIATED)
        run.status.mark(RELEASED, "True", "UpgradeSucceeded", text)
    released = run.status.condition(RELEASED) or {}
    if last is not None and released.get("status") != "True":
        raise _try_again(run)


def _is_exhausted(run: HelmReleaseRun) -> bool:
    known = remedy(run.spec, run.status.fields)
    return known is not None and known.exhausted


def _exhausted(run: HelmReleaseRun) -> Outcome:
    """Stalled says that nothing more is tried, Ready what went wrong."""
    known = remedy(run.spec, run.status.fields)
    action, failures = (known.action, known.failures) if known is not None else ("release", 0)
    step = "correct the chart or the values; `flux reconcile helmrelease --reset` tries again as it is"
    run.status.unmark("Reconciling")
    run.status.mark("Stalled", "True", "RetriesExceeded", f"Failed to {action} after {failures} attempt(s) — {step}")
    said = run.status.condition(REMEDIATED) or run.status.condition(RELEASED) or {}
    run.status.mark("Ready", "False", str(said.get("reason") or "ReconcileError"), str(said.get("message") or ""))
    run.status.set(observedGeneration=run.generation)
    return Outcome(OutcomeState.STALLED, None, "RetriesExceeded", run.revision)


def _try_again(run: HelmReleaseRun) -> Ended:
    """What went wrong stands in Released or Remediated already."""
    said = run.status.condition(REMEDIATED) or run.status.condition(RELEASED) or {}
    failure = Failure(FailureClass.HEALTH, str(said.get("message") or "the release has failed"), str(run.ref))
    return Transient(str(said.get("reason") or "ReconcileError"), failure, event=False)


def _full(entry: dict[str, Any]) -> str:
    return f"{entry.get('namespace')}/{entry.get('name')}.v{entry.get('version')}"


def _full_of(last: Release) -> str:
    return f"{last.full_name} with chart {last.chart_name}@{last.chart_version}"


def _chart(entry: dict[str, Any]) -> str:
    return f"{entry.get('chartName')}@{entry.get('chartVersion')}"


PHASES = (
    refuse_unbuilt,
    check_dependencies,
    open_target,
    make_chart,
    recall,
    compose_values,
    load_chart,
    forget_failures,
    leave_old_target,
    release,
)
