"""The HelmRelease controller: from a chart and values to a healthy release (HR rows).

Determine, then act, until nothing is left to do: every action once in a step, and a remediation ends it (HR-60).
Waiting for objects to become ready is no part of an action: the step ends, and the next one looks again.
"""

from __future__ import annotations

from fluxless.api.failure import Failure, FailureClass
from fluxless.api.unbuilt import unbuilt_fields
from fluxless.helm.acting import forget_failures, leave_old_target, release, uninstall_known
from fluxless.helm.book import summary
from fluxless.helm.compose import compose_values
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.sources import load_chart, make_chart, remove_chart
from fluxless.reconcile.errors import Stalled
from fluxless.reconcile.interval import jittered
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.outcome import State as OutcomeState
from fluxless.reconcile.records import read_json
from fluxless.reconcile.target import account_exists, open_target
from fluxless.reconcile.waiting import wait_for_others


class HelmReleaseController:
    """`phases` is the design."""

    reason = "ReconcileError"

    def __init__(self) -> None:
        self.phases = PHASES

    async def finalize(self, run: HelmReleaseRun) -> Outcome:
        """HR-77."""
        await recall(run)
        released = run.history or run.memory.get("awaiting")
        if not run.spec.get("suspend") and released and await account_exists(run):
            await open_target(run)
            await uninstall_known(run)
        await remove_chart(run)
        await run.services.store.delete(run.memory_name)
        return Outcome(OutcomeState.GONE)

    def succeed(self, run: HelmReleaseRun) -> Outcome:
        """Ready says what Released says, or the tests."""
        released = summary(run)
        run.status.mark("Ready", "True", str(released.get("reason") or ""), str(released.get("message") or ""))
        after = jittered(run.interval, f"{run.cluster.name}/{run.interval}")
        return Outcome(OutcomeState.READY, after, str(released.get("reason") or ""), run.revision)

    def retry_after(self, run: HelmReleaseRun) -> float | None:
        """CM-28: backoff."""
        return None

    def event_metadata(self, run: HelmReleaseRun) -> dict[str, str]:
        """HR-54."""
        return run.revisions


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
