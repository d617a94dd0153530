"""Does one thing to a release and notes what came of it (HR-64, HR-75).

What is about to be done is noted before it is begun, so that a release that was made by a worker that died is known as
ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.helm import actions, book
from fluxless.helm.book import RELEASED, REMEDIATED, TESTED, WORD, chart, failed_text, full, handled, named, observe
from fluxless.helm.explain import of_hooks
from fluxless.helm.objects import note_objects
from fluxless.helm.records import after_an_action, mark_failed, read_records
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import Action, been_tested, previous
from fluxless.helm.values import digest
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.status import FORCE_ANNOTATION

RELEASING = {Action.INSTALL, Action.UPGRADE}


async def act(run: HelmReleaseRun, action: Action) -> None:
    """Set Released, Remediated or TestSuccess. Raises `Waiting` when the lease was lost, `Transient` for a failure that
    has left no record.
    """
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
        run.tell(Event("Warning", "PendingRelease", text, book.about(run.history[0])))
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


async def _test(run: HelmReleaseRun) -> None:
    """Run the chart's tests. A failure counts for what made the release, unless the spec ignores it (HR-75)."""
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
        run.tell(Event("Normal", "TestSucceeded", text, book.about(entry)))
        return
    text = f"Helm test failed for {where}: {problem.failures[0].message}{await of_hooks(run, last)}"
    run.status.mark(TESTED, "False", "TestFailed", text)
    counted = ["failures"] + ([] if run.ignores_test_failures else [f"{entry.get('action') or 'upgrade'}Failures"])
    book.count(run, *counted)
    if not been_tested(run.history[0]):  # helm has not come as far as that
        raise Transient("TestFailed", Failure(FailureClass.HEALTH, text, str(run.ref)))
    run.tell(Event("Warning", "TestFailed", text, book.about(entry)))


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
        run.tell(Event("Normal", "UninstallSucceeded", text, book.about(entry)))
        return
    target = previous(run.history, ignore_tests=run.ignores_test_failures) if action is Action.ROLLBACK else None
    last = run.records[0]
    observe(run, last.version, action.value)
    if target is not None:
        await note_objects(run, last)
        text = f"Helm rollback to previous release {full(target)} with chart {chart(target)} succeeded"
        run.status.mark(REMEDIATED, "True", "RollbackSucceeded", text)
        run.tell(Event("Normal", "RollbackSucceeded", text, _back_to(run, target)))
        return
    run.memory.since = run.services.clock()


async def _failed(run: HelmReleaseRun, action: Action, problem: Problem, before: int) -> None:
    """Note a failed action, which counts when Helm has written a record of it (HR-64)."""
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
        run.tell(Event("Warning", f"{WORD[action]}Failed", text, _undone(run, action)))
        raise Transient(f"{WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)), event=False)
    text = failed_text(run, action, words)
    book.tell_of_retry(run)
    if last is None or last.version == before:  # nothing was recorded, so nothing has to be undone
        book.count(run, "failures")
        run.status.mark(RELEASED, "False", f"{WORD[action]}Failed", text)
        raise Transient(f"{WORD[action]}Failed", Failure(FailureClass.BUILD, text, str(run.ref)))
    book.count_failure(run, action, last.version, text)
    await note_objects(run, last)


def _undone(run: HelmReleaseRun, action: Action) -> dict[str, str]:
    """What an event of a remediation that failed carries: of the release to be removed, or to be gone back to."""
    if action is Action.UNINSTALL:
        return book.about(run.history[0] if run.history else {})
    return _back_to(run, previous(run.history, ignore_tests=run.ignores_test_failures) or {})


def _back_to(run: HelmReleaseRun, target: Mapping[str, Any]) -> dict[str, str]:
    """The same of a rollback; the values are those that it leaves (HR-54)."""
    return book.about(target) | {"token": digest(run.values)}
