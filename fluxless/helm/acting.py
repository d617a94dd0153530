"""Determine how a release stands, then act, until nothing is left to do (HR-60..65).

Every action runs once in a step, and a remediation ends it. What is about to be done is noted before it is begun, so
that a release that was made by a worker that died is known as ours.
"""

from __future__ import annotations

from typing import Any

from fluxless.api import conditions
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.helm import actions
from fluxless.helm.book import (
    RELEASED,
    REMEDIATED,
    TESTED,
    WORD,
    chart,
    count,
    count_failure,
    exhausted,
    failed_text,
    full,
    handled,
    is_exhausted,
    named,
    observe,
    try_again,
)
from fluxless.helm.health import await_health
from fluxless.helm.post import observed
from fluxless.helm.release import DEPLOYED, Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import Action, Exhausted, Found, State, been_tested, determine, next_action, rollback_target
from fluxless.helm.values import digest
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.status import FORCE_ANNOTATION, RESET_ANNOTATION

MOST_ACTIONS = 6
"""In one step; more means that determining and acting do not agree."""


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
        handled(run, RESET_ANNOTATION, "lastHandledResetAt")


async def leave_old_target(run: HelmReleaseRun) -> None:
    """HR-63: a release that was elsewhere, had another name or was of another chart goes before the new one comes."""
    last = run.history[0] if run.history else None
    if last is not None:
        before = (last["name"], last["namespace"], run.status.fields.get("storageNamespace") or run.storage_namespace)
        moved = before != (run.release_name, run.namespace, run.storage_namespace)
        if moved or last["chartName"] != run.wanted.chart_name:
            run.did = True
            await run.write_status()
            await uninstall_known(run)
            run.status.set(history=None, inventory=None)
            run.memory = {}
            await run.save_memory()
    run.status.set(storageNamespace=run.storage_namespace)


async def uninstall_known(run: HelmReleaseRun) -> None:
    """The release as the status knows it, wherever the spec says that it should be now."""
    unseen: dict[str, Any] = {
        "name": run.release_name,
        "namespace": run.namespace,
        "version": run.memory.get("awaiting"),
    }
    last = run.history[0] if run.history else unseen
    records = str(run.status.fields.get("storageNamespace") or run.storage_namespace)
    await actions.uninstall(run, last["name"], last["namespace"], records)
    text = f"Helm uninstall succeeded for release {full(last)} with chart {chart(last)}"
    run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))


async def release(run: HelmReleaseRun) -> Outcome | None:
    """Determine and act (HR-60..65). Released, Remediated; Stalled RetriesExceeded."""
    done: set[Action] = set()
    for _ in range(MOST_ACTIONS):
        run.records = await actions.read_records(run)
        last = run.records[0] if run.records else None
        if last is not None and run.memory.get("awaiting") == last.version and last.status == DEPLOYED:
            if not run.history or run.history[0]["version"] != last.version:  # made by a worker that died
                await observe(run, last.version, str(run.memory.get("action") or ""))
            if determine(last, run.wanted, run.history).state is not State.OUT_OF_SYNC:
                await await_health(run, last)
                continue
            run.memory = {}  # something else is wanted by now: nobody waits for what is not
        found = _by_spec(run, determine(last, run.wanted, run.history))
        if found.state is State.UNKNOWN:
            failure = Failure(FailureClass.INTERNAL, f"Could not determine release state: {found.why}", str(run.ref))
            raise Transient("StateError", failure)
        force = run.asked(FORCE_ANNOTATION, "lastHandledForceAt")
        try:
            action = next_action(found, run.spec, run.status.fields, force=force)
        except Exhausted:
            return exhausted(run)
        if action is None:
            _in_sync(run, last)
            return None
        if action in done:
            raise try_again(run)
        done.add(action)
        if found.state is State.UNMANAGED:
            run.status.set(history=None)
        await _act(run, action, last)
        if action in {Action.ROLLBACK, Action.UNINSTALL}:
            if is_exhausted(run):
                return exhausted(run)
            raise try_again(run)
    raise Transient("ReconcileError", Failure(FailureClass.INTERNAL, "the release does not settle; it is tried again"))


def _by_spec(run: HelmReleaseRun, found: Found) -> Found:
    """HR-61: another way to render counts while the generation is new."""
    if found.state is State.IN_SYNC and run.status.fields.get("observedGeneration") != run.generation:
        for field, value in observed(run.spec).items():
            if (run.status.fields.get(field) or None) != value:
                return Found(State.OUT_OF_SYNC, f"{field} has changed")
    return found


async def _test(run: HelmReleaseRun) -> None:
    """HR-75: a failure counts for the action that made the release, unless the spec says that it decides nothing."""
    run.progress(f"Running 'test' action with timeout of {format_duration(run.timeout('test'))}")
    await run.write_status()
    problem: Problem | None = None
    try:
        await actions.test(run)
    except Problem as caught:
        problem = caught
    run.records = await actions.read_records(run)
    entry, last = run.history[0], run.records[0]
    hooks = last.tests(run.action_spec("test").get("filters") or [])
    run.status.set(history=[{**entry, "testHooks": hooks}, *run.history[1:]])
    where = f"release {full(entry)} with chart {chart(entry)}"
    if problem is None:
        completed = (
            f"{len(hooks)} test hook{'s' if len(hooks) > 1 else ''} completed successfully"
            if hooks
            else "no test hooks"
        )
        text = f"Helm test succeeded for {where}: {completed}"
        run.status.mark(TESTED, "True", "TestSucceeded", text)
        run.tell(Event("Normal", "TestSucceeded", text, run.revisions))
        return
    text = f"Helm test failed for {where}: {problem.failures[0].message}"
    run.status.mark(TESTED, "False", "TestFailed", text)
    counted = ["failures"] + ([] if run.ignores_test_failures else [f"{entry.get('action') or 'upgrade'}Failures"])
    count(run, *counted)
    if not been_tested(run.history[0]):  # helm has not come as far as that
        raise Transient("TestFailed", Failure(FailureClass.HEALTH, text, str(run.ref)))
    run.tell(Event("Warning", "TestFailed", text, run.revisions))


async def _act(run: HelmReleaseRun, action: Action, last: Release | None) -> None:
    run.did = True
    if action is Action.TEST:
        await _test(run)
        return
    if action is Action.UNLOCK:
        assert last is not None  # noqa: S101  (a locked release is there)
        await actions.mark_failed(run, last, f"Release unlocked from stale '{last.status}' state")
        await observe(run, last.version, "")
        text = f"Unlocked Helm release {named(last)} in {last.status} state"
        run.tell(Event("Warning", "PendingRelease", text, run.revisions))
        return
    limit = format_duration(run.timeout(action.value))
    run.progress(f"Running '{action.value}' action with timeout of {limit}")
    await run.keep()
    await run.write_status()
    began = run.services.clock()
    before = last.version if last is not None else 0
    if action in {Action.INSTALL, Action.UPGRADE}:
        run.memory = {"awaiting": before + 1, "since": began, "action": action.value}
        await run.save_memory()
        run.status.set(lastAttemptedReleaseAction=action.value)
        handled(run, FORCE_ANNOTATION, "lastHandledForceAt")
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
        text = f"Helm uninstall remediation for release {full(entry)} with chart {chart(entry)} succeeded"
        run.status.set(history=None)
        run.status.mark(REMEDIATED, "True", "UninstallSucceeded", text)
        run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))
        return
    last = run.records[0]
    await observe(run, last.version, action.value)
    if action is Action.ROLLBACK:
        entry = run.history[0]
        text = f"Helm rollback to previous release {full(entry)} with chart {chart(entry)} succeeded"
        run.status.mark(REMEDIATED, "True", "RollbackSucceeded", text)
        run.tell(Event("Normal", "RollbackSucceeded", text, run.revisions))
        return
    run.memory["since"] = run.services.clock()
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
    if action in {Action.ROLLBACK, Action.UNINSTALL}:
        text = f"Helm {action.value} failed for release {run.namespace}/{run.release_name}: {words}"
        run.status.mark(REMEDIATED, "False", f"{WORD[action]}Failed", text)
        raise Transient(f"{WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)), event=True)
    text = failed_text(run, action, words)
    if last is None or last.version == before:  # nothing was recorded, so nothing has to be undone
        count(run, "failures")
        run.status.mark(RELEASED, "False", f"{WORD[action]}Failed", text)
        raise Transient(f"{WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)))
    await count_failure(run, action, last.version, text)


def _in_sync(run: HelmReleaseRun, last: Release | None) -> None:
    """A remediation may have led to what is wanted: then the release is good."""
    if conditions.is_true(run.obj, REMEDIATED) or run.status.condition(RELEASED) is None:
        entry = run.history[0]
        text = f"Helm upgrade succeeded for release {full(entry)} with chart {chart(entry)}"
        run.status.unmark(REMEDIATED)
        run.status.mark(RELEASED, "True", "UpgradeSucceeded", text)
    if not run.action_spec("test").get("enable"):
        run.status.unmark(TESTED)
    released = run.status.condition(RELEASED) or {}
    if last is not None and released.get("status") != "True":
        raise try_again(run)
