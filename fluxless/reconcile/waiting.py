"""Waits for others, told in the status (KC-60, KC-62, HR-80)."""

from __future__ import annotations

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.reconcile.dependencies import waits_for
from fluxless.reconcile.errors import Stalled, Waiting
from fluxless.reconcile.run import Run


def wait_for_others(run: Run) -> None:
    """Returns when the source and every dependency are ready. Raises `Waiting`, or `Stalled` for what can never be."""
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
