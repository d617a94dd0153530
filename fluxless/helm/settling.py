"""Determine how a release stands, then act, until nothing is left to do (HR-60..65).

Every action is an activity of its own, and a remediation ends what follows from one change.
"""

from __future__ import annotations

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.helm import book
from fluxless.helm.acting import RELEASING, act
from fluxless.helm.book import RELEASED, REMEDIATED, TESTED, chart, failed_text, full, handled, named, observe
from fluxless.helm.exhausted import exhausted, may_try_again, no_target
from fluxless.helm.health import await_health
from fluxless.helm.moves import leave_old_target
from fluxless.helm.objects import note_objects
from fluxless.helm.post import observed
from fluxless.helm.recognise import inputs
from fluxless.helm.records import read_records
from fluxless.helm.release import DEPLOYED, FAILED, Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import (
    Action,
    Exhausted,
    Found,
    NoTarget,
    State,
    adoptable,
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
from fluxless.reconcile.lease import held
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.status import FORCE_ANNOTATION, RESET_ANNOTATION

MOST_ACTIONS = 6
"""In one step; more means that determining and acting do not agree."""
_TYPES = dict.fromkeys(RELEASING, "release")
"""Actions of one type are done once in a step."""


async def release(run: HelmReleaseRun) -> Outcome | None:
    """Determine and act, alone. Released, Remediated; Stalled RetriesExceeded, MissingRollbackTarget."""
    if run.settled:
        return None
    async with turn() as run.turn, held(run, run.services.settings.release_lease):
        _forget_failures(run)
        await leave_old_target(run)
        outcome = await _settle(run)
        run.memory.settled = inputs(run, run.records[0].stamp) if outcome is None else ""
        return outcome


def _forget_failures(run: HelmReleaseRun) -> None:
    """Begin to count failures from zero where something is new, or where it is asked for (HR-64)."""
    known, config = run.status.fields, digest(run.values)
    same = known.get("lastAttemptedGeneration") == run.generation
    same = same and known.get("lastAttemptedRevision") == run.revision
    same = same and known.get("lastAttemptedConfigDigest") == config
    if not same or run.asked(RESET_ANNOTATION, "lastHandledResetAt"):
        run.status.set(failures=None, installFailures=None, upgradeFailures=None)
        handled(run, RESET_ANNOTATION, "lastHandledResetAt")
    run.status.set(
        lastAttemptedGeneration=run.generation,
        lastAttemptedRevision=run.revision,
        lastAttemptedRevisionDigest=run.oci_digest or None,
        lastAttemptedConfigDigest=config,
    )


async def _settle(run: HelmReleaseRun) -> Outcome | None:
    run.records = await read_records(run)
    await _adopt(run)
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
        await act(run, action)
        if action in {Action.ROLLBACK, Action.UNINSTALL}:
            known = remedy(run.spec, run.status.fields)
            if known is not None and known.exhausted and not known.reinstalls:
                return exhausted(run)
            raise book.try_again(run)
    raise Transient("ReconcileError", Failure(FailureClass.INTERNAL, "the release does not settle; it is tried again"))


async def _adopt(run: HelmReleaseRun) -> None:
    """A release that somebody has made with Helm, and that is what is wanted, becomes ours as it is."""
    last, rendered = run.last, any(observed(run.spec).values())
    if last is None or run.history or run.memory.made == last.version or rendered or not adoptable(last, run.wanted):
        return
    observe(run, last.version, "")
    await note_objects(run, last)
    await run.keep()
    text = f"Helm release {named(last)} is adopted as it is"
    run.status.mark(RELEASED, "True", "UpgradeSucceeded", text)
    run.tell(Event("Normal", "UpgradeSucceeded", text, book.about(run.history[0])))


async def _awaited(run: HelmReleaseRun, last: Release) -> bool:
    """Whether it was a release whose objects are awaited. Raises `Waiting` while they are not ready."""
    await _of_a_worker_that_died(run, last)
    if not run.memory.awaits(last.version) or last.status != DEPLOYED:
        return False
    if determine(last, run.wanted, run.history).state is State.OUT_OF_SYNC:
        run.memory.over = True  # something else is wanted by now: nobody waits for what is not
        return False
    await await_health(run, last)
    return True


async def _of_a_worker_that_died(run: HelmReleaseRun, last: Release) -> None:
    """It had begun the action, and Helm has brought that to its end: it is ours as if the status said so."""
    if run.memory.made != last.version or last.status not in {DEPLOYED, FAILED}:
        return
    if run.history and run.history[0]["version"] == last.version:
        return
    if last.status == DEPLOYED:
        observe(run, last.version, run.memory.action)
    else:
        action = Action(run.memory.action)
        run.memory.over = True
        book.count_failure(run, action, last.version, failed_text(run, action, last.description))
    await note_objects(run, last)


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
    """The state, where another way to render counts as well while the generation is new (HR-61)."""
    if found.state is State.IN_SYNC and run.status.fields.get("observedGeneration") != run.generation:
        for field, value in observed(run.spec).items():
            if (run.status.fields.get(field) or None) != value:
                return Found(State.OUT_OF_SYNC, f"{field} has changed")
    return found


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
