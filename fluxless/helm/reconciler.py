"""The HelmRelease controller: from a chart and values to a healthy release (HR rows).

Determine, then act, until nothing is left to do: every action once in a step, and a remediation ends it (HR-60).
Waiting for objects to become ready is no part of an action: the step ends, and the next one looks again.
"""

from __future__ import annotations

from fluxless.helm.book import about, about_attempt, summary
from fluxless.helm.compose import compose_values
from fluxless.helm.drift import check_drift
from fluxless.helm.moves import tell_of_left, uninstall_known
from fluxless.helm.recognise import recognise
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.settling import release
from fluxless.helm.sources import find_chart, load_chart, make_chart, remove_chart
from fluxless.helm.state import retry_interval
from fluxless.helm.turns import turn
from fluxless.reconcile.errors import Ended
from fluxless.reconcile.interval import jittered
from fluxless.reconcile.lease import held
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.outcome import State as OutcomeState
from fluxless.reconcile.records import drift_name
from fluxless.reconcile.target import missing, open_target
from fluxless.reconcile.waiting import wait_for_others


class HelmReleaseController:
    """Finds chart and values, compares them with what is installed, and acts until nothing is left to do."""

    reason = "ReconcileError"

    def __init__(self) -> None:
        self.phases = PHASES

    async def finalize(self, run: HelmReleaseRun) -> Outcome:
        """Uninstall the release, unless it is suspended, was never made, or its account or kubeconfig is gone
        (HR-77).
        """
        await recall(run)
        uninstalls = not run.spec.get("suspend") and (run.history or run.memory.made)
        if uninstalls and (gone := await missing(run)):
            tell_of_left(run, gone)
        elif uninstalls:
            await open_target(run)
            async with turn(), held(run, run.services.settings.release_lease):
                await uninstall_known(run)
        await remove_chart(run)
        await run.remembered.delete()
        await run.services.store.delete(drift_name(run.cluster.name, run.ref))
        return Outcome(OutcomeState.GONE)

    def succeed(self, run: HelmReleaseRun) -> Outcome:
        """Ready says what Released says, or the tests."""
        released = summary(run)
        run.status.mark("Ready", "True", str(released.get("reason") or ""), str(released.get("message") or ""))
        after = jittered(run.interval, f"{run.cluster.name}/{run.interval}")
        return Outcome(OutcomeState.READY, after, str(released.get("reason") or ""), run.revision)

    def retry_after(self, run: HelmReleaseRun) -> float | None:
        """Seconds of the strategy RetryOnFailure (HR-19), else None: exponential backoff (CM-28)."""
        return retry_interval(run.spec, run.status.fields)

    def event_metadata(self, run: HelmReleaseRun) -> dict[str, str]:
        """What is to be released, which is what is there where nothing is to be done (HR-54)."""
        return about(run.history[0]) if run.settled else about_attempt(run)


async def check_dependencies(run: HelmReleaseRun) -> None:
    """Ready=False DependencyNotReady until every dependency is ready (HR-80)."""
    try:
        wait_for_others(run)
    except Ended:
        run.fulfilling()
        raise


async def recall(run: HelmReleaseRun) -> None:
    """What is remembered of the last step. Sets no condition."""
    await run.remembered.recall()
    if run.memory.action in {"install", "upgrade"}:  # by a worker that may have died
        run.status.set(lastAttemptedReleaseAction=run.memory.action)


PHASES = (
    make_chart,
    check_dependencies,
    open_target,
    recall,
    compose_values,
    find_chart,
    recognise,
    load_chart,
    release,
    check_drift,
)
