"""Determine how a release stands, then act, until nothing is left to do (HR-60..65).

Every action runs once in a step, and a remediation ends it. What is about to be done is noted before it is begun, so
that a release that was made by a worker that died is known as ours.
"""

from __future__ import annotations

from typing import Any

from fluxless.api import reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.helm import actions, book
from fluxless.helm.book import RELEASED, REMEDIATED, TESTED, WORD, chart, failed_text, full, handled, named, observe
from fluxless.helm.exhausted import exhausted, may_try_again, no_target
from fluxless.helm.explain import of_hooks
from fluxless.helm.health import await_health
from fluxless.helm.lease import held
from fluxless.helm.objects import note_objects
from fluxless.helm.post import observed
from fluxless.helm.recognise import inputs
from fluxless.helm.records import after_an_action, mark_failed, read_records
from fluxless.helm.release import DEPLOYED, FAILED, Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import (
    Action,
    Exhausted,
    Found,
    NoTarget,
    State,
    been_tested,
    determine,
    next_action,
    previous,
    remedy,
    truncated,
)
from fluxless.helm.turns import turn
from fluxless.helm.values import digest
from fluxless.reconcile.errors import Transient, Waiting
from fluxless.reconcile.events import Event
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.status import FORCE_ANNOTATION, RESET_ANNOTATION

MOST_ACTIONS = 6
"""In one step; more means that determining and acting do not agree."""
RELEASING = {Action.INSTALL, Action.UPGRADE}
_TYPES = dict.fromkeys(RELEASING, "release")
"""Actions of one type are done once in a step."""


async def release(run: HelmReleaseRun) -> Outcome | None:
    """Determine and act, alone. Released, Remediated; Stalled RetriesExceeded, MissingRollbackTarget."""
    if run.settled:
        return None
    async with turn() as run.turn, held(run):
        _forget_failures(run)
        await _leave_old_target(run)
        outcome = await _settle(run)
        run.memory.settled = inputs(run, run.records[0].stamp) if outcome is None else ""
        return outcome


def _forget_failures(run: HelmReleaseRun) -> None:
    """HR-64: what is new, or a request, begins to count from zero."""
    known = run.status.fields
    same = known.get("lastAttemptedGeneration") == run.generation
    same = same and known.get("lastAttemptedRevision") == run.revision
    same = same and known.get("lastAttemptedConfigDigest") == digest(run.values)
    if not same or run.asked(RESET_ANNOTATION, "lastHandledResetAt"):
        run.status.set(failures=None, installFailures=None, upgradeFailures=None)
        handled(run, RESET_ANNOTATION, "lastHandledResetAt")
    run.status.set(
        lastAttemptedGeneration=run.generation,
        lastAttemptedRevision=run.revision,
        lastAttemptedRevisionDigest=run.oci_digest or None,
        lastAttemptedConfigDigest=digest(run.values),
    )


async def _leave_old_target(run: HelmReleaseRun) -> None:
    """HR-63, HR-24: a release that was elsewhere, had another name or was of another chart goes before the new one
    comes.
    """
    last = run.history[0] if run.history else None
    if last is not None:
        before = (last["name"], last["namespace"], run.status.fields.get("storageNamespace") or run.storage_namespace)
        moved = before != (run.release_name, run.namespace, run.storage_namespace)
        in_place = run.action_spec("upgrade").get("chartNameChangeStrategy") == "InPlaceUpdate"
        if moved or (last["chartName"] != run.wanted.chart_name and not in_place):
            run.did = True
            await uninstall_known(run)
            run.status.set(history=None, inventory=None)
            run.memory.forget()
            await run.save_memory()
    run.status.set(storageNamespace=run.storage_namespace)


async def uninstall_known(run: HelmReleaseRun) -> None:
    """The release as the status knows it, wherever the spec says that it should be now."""
    unseen: dict[str, Any] = {
        "name": run.release_name,
        "namespace": run.namespace,
        "version": run.memory.made,
    }
    last = run.history[0] if run.history else unseen
    records = str(run.status.fields.get("storageNamespace") or run.storage_namespace)
    await actions.uninstall(run, last["name"], last["namespace"], records)
    text = f"Helm uninstall succeeded for release {full(last)} with chart {chart(last)}"
    run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))


async def _settle(run: HelmReleaseRun) -> Outcome | None:
    run.records = await read_records(run)
    done: set[str] = set()
    for _ in range(MOST_ACTIONS):
        if run.last is not None and await _awaited(run, run.last):
            continue
        found = _by_spec(run, determine(run.last, run.wanted, run.history))
        if found.state is State.UNKNOWN:
            failure = Failure(FailureClass.INTERNAL, f"Could not determine release state: {found.why}", str(run.ref))
            raise Transient("StateError", failure)
        try:
            action = _next(run, found)
        except Exhausted:
            return exhausted(run)
        except NoTarget:
            return no_target(run)
        if action is None:
            _in_sync(run)
            return None
        kind = _TYPES.get(action, action.value)
        if kind in done:
            raise book.try_again(run)
        if done - {Action.UNLOCK.value}:
            raise _next_step(run)
        done.add(kind)
        if found.state is State.UNMANAGED:
            run.status.set(history=None)
        await _act(run, action)
        if action in {Action.ROLLBACK, Action.UNINSTALL}:
            known = remedy(run.spec, run.status.fields)
            if known is not None and known.exhausted and not known.reinstalls:
                return exhausted(run)
            raise book.try_again(run)
    raise Transient("ReconcileError", Failure(FailureClass.INTERNAL, "the release does not settle; it is tried again"))


async def _awaited(run: HelmReleaseRun, last: Release) -> bool:
    """Whether it was a release whose objects are awaited. Raises `Waiting` while they are not ready."""
    _of_a_worker_that_died(run, last)
    if not run.memory.awaits(last.version) or last.status != DEPLOYED:
        return False
    if determine(last, run.wanted, run.history).state is State.OUT_OF_SYNC:
        run.memory.over = True  # something else is wanted by now: nobody waits for what is not
        return False
    await await_health(run, last)
    return True


def _of_a_worker_that_died(run: HelmReleaseRun, last: Release) -> None:
    """He had begun it, and Helm has brought it to its end: it is ours as if he had noted that."""
    if run.memory.made != last.version:
        return
    if run.history and run.history[0]["version"] == last.version:
        return
    if last.status == DEPLOYED:
        observe(run, last.version, run.memory.action)
    elif last.status == FAILED:
        action = Action(run.memory.action)
        run.memory.over = True
        book.count_failure(run, action, last.version, failed_text(run, action, last.description))


def _next_step(run: HelmReleaseRun) -> Waiting:
    """Each action is an activity of its own: what has been done is told before the next thing is begun, which has all
    the time that an activity may take, and may be done by another worker.
    """
    failure = Failure(FailureClass.DEPENDENCY, "the next action follows", str(run.ref))
    return Waiting(reasons.PROGRESSING, failure, retry_after=0.0, event=False, working=True)


def _next(run: HelmReleaseRun, found: Found) -> Action | None:
    """What is done next. Raises `Exhausted`, `NoTarget`."""
    if found.state is State.FAILED and _interrupted_install(run):
        return Action.INSTALL
    force = run.asked(FORCE_ANNOTATION, "lastHandledForceAt")
    ignored = run.ignores_test_failures
    try:
        action = next_action(found, run.spec, run.status.fields, force=force, ignore_tests=ignored)
    except Exhausted:
        if not may_try_again(run):
            raise
        action = next_action(found, run.spec, run.status.fields, force=True, ignore_tests=ignored)
    if action is Action.ROLLBACK:
        target = previous(run.history, ignore_tests=ignored)
        if target is None or all(record.version != target["version"] for record in run.records):
            return Action.UPGRADE  # its record is gone: what is wanted is still to be had
    return action


def _interrupted_install(run: HelmReleaseRun) -> bool:
    """Whether a first install of ours was cut short: its hooks have to run, so it is made once more."""
    first = len(run.records) == 1 and run.memory.action == Action.INSTALL.value
    return first and run.memory.awaits(run.records[0].version)


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
    problem: Problem | None = None
    try:
        await actions.test(run)
    except Problem as caught:
        problem = caught
    await _look_again(run)
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
    text = f"Helm test failed for {where}: {problem.failures[0].message}{await of_hooks(run, last)}"
    run.status.mark(TESTED, "False", "TestFailed", text)
    counted = ["failures"] + ([] if run.ignores_test_failures else [f"{entry.get('action') or 'upgrade'}Failures"])
    book.count(run, *counted)
    if not been_tested(run.history[0]):  # helm has not come as far as that
        raise Transient("TestFailed", Failure(FailureClass.HEALTH, text, str(run.ref)))
    run.tell(Event("Warning", "TestFailed", text, run.revisions))


async def _act(run: HelmReleaseRun, action: Action) -> None:
    last = run.last
    run.did = True
    if action is Action.TEST:
        await _test(run)
        return
    if action is Action.UNLOCK:
        assert last is not None  # noqa: S101  (a locked release is there)
        await mark_failed(run, last, f"Release unlocked from stale '{last.status}' state")
        observe(run, last.version, run.memory.action)
        text = f"Unlocked Helm release {named(last)} in {last.status} state"
        run.tell(Event("Warning", "PendingRelease", text, run.revisions))
        return
    limit = format_duration(run.timeout(action.value))
    run.progress(f"Running '{action.value}' action with timeout of {limit}")
    began = run.services.clock()
    before = last.version if last is not None else 0
    if action in RELEASING:
        run.status.set(lastAttemptedReleaseAction=action.value)
        run.status.unmark(TESTED, REMEDIATED)
        handled(run, FORCE_ANNOTATION, "lastHandledForceAt")
        run.memory.begin(action.value, before + 1, began)
    await run.save_memory()
    await run.keep()
    try:
        await _run(run, action)
    except Problem as problem:
        await _failed(run, action, problem, before)
        return
    finally:
        run.turn.end()
        if action in RELEASING:
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
        target = previous(run.history, ignore_tests=run.ignores_test_failures)
        assert target is not None  # noqa: S101  (next_action has looked)
        await actions.rollback(run, int(target["version"]))


async def _look_again(run: HelmReleaseRun, *, gone: bool = False) -> None:
    """What Helm has left behind; after an uninstall (`gone`) that is less. Raises `Waiting` when the lease was lost:
    then somebody else has seen to it.
    """
    if run.lease is not None:
        run.lease.check()
    run.records = await (read_records(run) if gone else after_an_action(run))


async def _succeeded(run: HelmReleaseRun, action: Action) -> None:
    """The record is there; whether the objects become ready is seen next."""
    await _look_again(run, gone=action is Action.UNINSTALL)
    if action is Action.UNINSTALL:
        entry = run.history[0] if run.history else {}
        text = f"Helm uninstall remediation for release {full(entry)} with chart {chart(entry)} succeeded"
        gone = {**entry, "status": "uninstalling", "action": "uninstall-remediation"}
        run.status.set(history=[gone] if entry else None, inventory=None)
        run.status.mark(REMEDIATED, "True", "UninstallSucceeded", text)
        run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))
        return
    target = previous(run.history, ignore_tests=run.ignores_test_failures) if action is Action.ROLLBACK else None
    last = run.records[0]
    observe(run, last.version, action.value)
    if target is not None:
        await note_objects(run, last)
        text = f"Helm rollback to previous release {full(target)} with chart {chart(target)} succeeded"
        run.status.mark(REMEDIATED, "True", "RollbackSucceeded", text)
        run.tell(Event("Normal", "RollbackSucceeded", text, run.revisions))
        return
    run.memory.since = run.services.clock()


async def _failed(run: HelmReleaseRun, action: Action, problem: Problem, before: int) -> None:
    """HR-64: it counts when Helm has written a record of it."""
    await _look_again(run, gone=True)
    words = problem.failures[0].message + await of_hooks(run, run.last)
    if run.last is not None and run.last.pending:  # helm was killed, or gave up over its own record
        await mark_failed(run, run.last, words[:500])
    last = run.last
    if action in RELEASING:
        run.memory.over = True
    if action in {Action.ROLLBACK, Action.UNINSTALL}:
        text = f"Helm {action.value} failed for release {run.namespace}/{run.release_name}: {words}"
        book.count(run, "failures")
        run.status.mark(REMEDIATED, "False", f"{WORD[action]}Failed", text)
        raise Transient(f"{WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)), event=True)
    text = failed_text(run, action, words)
    book.tell_of_retry(run)
    if last is None or last.version == before:  # nothing was recorded, so nothing has to be undone
        book.count(run, "failures")
        run.status.mark(RELEASED, "False", f"{WORD[action]}Failed", text)
        raise Transient(f"{WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)))
    book.count_failure(run, action, last.version, text)
    await note_objects(run, last)


def _in_sync(run: HelmReleaseRun) -> None:
    """A remediation may have led to what is wanted: then the release is good."""
    run.status.set(history=truncated(run.history, ignore_tests=run.ignores_test_failures))
    remediated = run.status.condition(REMEDIATED) or {}
    released = run.status.condition(RELEASED) or {}
    if remediated.get("status") == "True" or released.get("status") != "True":
        entry = run.history[0]
        word = "install" if entry.get("action") == "install" and not remediated else "upgrade"
        text = f"Helm {word} succeeded for release {full(entry)} with chart {chart(entry)}"
        run.status.unmark(REMEDIATED)
        run.status.mark(RELEASED, "True", f"{word.capitalize()}Succeeded", text)
    if not run.action_spec("test").get("enable"):
        run.status.unmark(TESTED)
