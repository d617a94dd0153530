"""Runs the phases of a controller over one object and writes what came of it: the only place that turns errors into
conditions, events and the time of the next look (CM-1, CM-3, CM-4, CM-6, CM-28).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fluxless import disk, loop_lag
from fluxless.api import reasons
from fluxless.api.failure import Problem
from fluxless.kube.errors import ApiProblem, Forbidden, Unreachable
from fluxless.reconcile import suspension
from fluxless.reconcile.errors import Stalled, Transient, Waiting, internal
from fluxless.reconcile.events import Event
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.run import IN_PROGRESS, Run

log = logging.getLogger("fluxless.reconcile")

R_contra = TypeVar("R_contra", bound=Run, contravariant=True)
AnyRun = TypeVar("AnyRun", bound=Run)
PROGRESS_EVERY = 5.0
"""Seconds between two writes of progress."""
TERMINAL = "Reconciliation failed terminally due to configuration error"


class Controller(Protocol[R_contra]):
    """What one kind does alone. `phases` is its design; a phase returns an `Outcome` to end the step early.

    `reason` is the condition reason of a `Problem` that says none. `retry_after(run)` is the wait after a failure in
    seconds, None for exponential backoff.
    """

    @property
    def phases(self) -> Sequence[Callable[[Any], Awaitable[Outcome | None]]]:
        """The steps, in order."""
        ...

    reason: str

    async def finalize(self, run: R_contra) -> Outcome:
        """Undo what the object did to the world; the loop then removes the finalizer unless the outcome waits."""
        ...

    def succeed(self, run: R_contra) -> Outcome:
        """Every phase has passed: set the conditions and fields of success."""
        ...

    def retry_after(self, run: R_contra) -> float | None:
        """Seconds until a failed object is tried again; None for exponential backoff."""
        ...

    def event_metadata(self, run: R_contra) -> dict[str, str]:
        """What every event of this run carries (CM-20)."""
        ...


async def step(controller: Controller[AnyRun], run: AnyRun) -> Outcome:
    """Work on one object, then write its status and events. Raises nothing but cancellation."""
    over = asyncio.Event()
    ticker = asyncio.create_task(_tick(run, over))
    try:
        outcome = await _attempt(controller, run)
    finally:
        over.set()
        await ticker  # a write that is under way comes to its end: the API server would take it after the last one
    return await _write(run, outcome)


async def _attempt(controller: Controller[AnyRun], run: AnyRun) -> Outcome:
    try:
        if run.deleting:
            return await _delete(controller, run)
        if suspension.is_suspended(run.obj):
            suspension.note(run.obj, run.status)
            return Outcome(State.STALLED)
        for phase in controller.phases:
            _enter(run, phase.__name__)
            ended = await phase(run)
            if ended is not None:
                run.status.handled()
                return ended
    except Problem as problem:
        if disk.is_full(problem):
            await run.services.artifacts.clear()
        return _failed(controller, run, problem)
    except OSError as error:
        if not disk.is_full(error):
            return _defect(controller, run, error)
        await run.services.artifacts.clear()
        return _failed(controller, run, disk.DiskFull.of(f"what {run.ref} needs", Path(tempfile.gettempdir())))
    except Exception as error:  # a defect of ours: the object says so instead of standing still without a word
        return _defect(controller, run, error)
    outcome = controller.succeed(run)
    run.status.unmark("Reconciling", "Stalled")
    run.status.set(observedGeneration=run.generation)
    run.status.handled()
    return outcome


def _enter(run: Run, phase: str) -> None:
    loop_lag.entered(f"cluster={run.cluster.name} object={run.ref} phase={phase}")


def _defect(controller: Controller[AnyRun], run: AnyRun, error: Exception) -> Outcome:
    log.exception("cluster=%s object=%s step failed", run.cluster.name, run.ref, exc_info=error)
    words = f"unexpected {type(error).__name__} in Fluxless"
    step = "the app's log has the details; please report it. It is tried again"
    return _failed(controller, run, Problem(internal(words, step)))


async def _delete(controller: Controller[AnyRun], run: AnyRun) -> Outcome:
    _enter(run, "finalize")
    outcome = await controller.finalize(run)
    if outcome.state is State.GONE:
        try:
            await run.send_events()  # while the object is still there to point at
        except Forbidden as refused:  # as in a namespace that is being deleted, which waits for this object
            log.warning("cluster=%s object=%s goes without its events: %s", run.cluster.name, run.ref, refused.message)
        await run.release()
    return outcome


def _failed(controller: Controller[AnyRun], run: AnyRun, problem: Problem) -> Outcome:
    ended = problem if isinstance(problem, Stalled | Waiting | Transient) else None
    if ended is None:
        ended = Transient(controller.reason, problem.failures)
    run.ended = ended
    message = str(ended)
    if isinstance(ended, Waiting) and ended.working:
        return Outcome(State.WAITING, ended.retry_after, ended.reason, run.revision)
    run.status.handled()
    if ended.condition:
        run.status.mark(ended.condition, "True", ended.reason, message)
    if isinstance(ended, Stalled):
        if not ended.condition:
            message = f"{TERMINAL}: {message}"
        run.status.unmark("Reconciling")
        run.status.mark("Stalled", "True", ended.reason, message)
        run.status.set(observedGeneration=run.generation)
    elif (working := run.status.condition("Reconciling")) is not None or isinstance(ended, Transient):
        doing = working["message"] if working is not None else IN_PROGRESS
        run.status.mark("Reconciling", "True", reasons.PROGRESSING_WITH_RETRY, doing)
    run.status.mark("Ready", "False", ended.reason, message)
    if ended.event:
        waiting = isinstance(ended, Waiting)
        metadata = controller.event_metadata(run)
        run.tell(Event("Normal" if waiting else "Warning", ended.reason, message, metadata))
    if ended.others:
        return Outcome(State.BLOCKED, None, ended.reason, run.revision)
    if isinstance(ended, Stalled):
        return Outcome(State.STALLED, None, ended.reason, run.revision)
    if isinstance(ended, Waiting):
        return Outcome(State.WAITING, ended.retry_after, ended.reason, run.revision)
    return Outcome(State.RETRY, controller.retry_after(run), ended.reason, run.revision)


async def _tick(run: Run, over: asyncio.Event) -> None:
    """Write progress once a step lasts over a second or so, then now and then, until it is over."""
    pause = run.services.settings.progress_after
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await over.wait()
                return
        pause = PROGRESS_EVERY
        with contextlib.suppress(ApiProblem):  # the final write tells what is wrong
            await run.write_status()


async def _write(run: Run, outcome: Outcome) -> Outcome:
    """Status and events together. When the API server is away the step is due again: nothing was told yet."""
    try:
        if outcome.state is State.GONE:
            return outcome
        await asyncio.gather(run.write_status(), run.send_events())
    except Unreachable as problem:
        run.ended = Transient(reasons.FAILED, problem.failures)
        return Outcome(State.RETRY, 1.0, reasons.FAILED, run.revision)
    except ApiProblem as problem:
        run.ended = Transient(reasons.FAILED, problem.failures)
        return Outcome(State.RETRY, None, reasons.FAILED, run.revision)
    return outcome
