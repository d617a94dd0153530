"""What becomes of a release that is not tried again by itself (HR-64), or only slowly when the app is set so."""

from __future__ import annotations

from fluxless.helm.book import summary
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import remedy
from fluxless.reconcile.outcome import Outcome, State

FIRST_PAUSE = 300.0
"""Seconds; each further one is twice as long, up to what the app's setting says."""


def exhausted(run: HelmReleaseRun) -> Outcome:
    """Stalled says that nothing more is tried, Ready what went wrong."""
    known = remedy(run.spec, run.status.fields)
    action, failures = (known.action, known.failures) if known is not None else ("release", 0)
    pause = _pause(run)
    step = "correct the chart or the values; `flux reconcile helmrelease --reset` tries again as it is"
    if pause is not None:
        step += f", and it is tried again in {max(1.0, pause) / 60:.0f} min by itself"
    return _stalled(run, "RetriesExceeded", f"Failed to {action} after {failures} attempt(s) — {step}", pause)


def no_target(run: HelmReleaseRun) -> Outcome:
    """The outcome where no good release came before the one that failed (HR-76)."""
    step = "correct the chart or the values, or set upgrade.remediation.strategy to uninstall"
    text = (
        f"Failed to perform remediation: missing target release for rollback: cannot remediate failed release — {step}"
    )
    return _stalled(run, "MissingRollbackTarget", text, None)


def may_try_again(run: HelmReleaseRun) -> bool:
    """Whether the slow pace has come round."""
    pause = _pause(run)
    return pause is not None and pause <= 0.0


def _pause(run: HelmReleaseRun) -> float | None:
    """Seconds until the next try; None when there is none."""
    longest, known = run.services.settings.retry_exhausted, remedy(run.spec, run.status.fields)
    if not longest or known is None:
        return None
    doubled = min(max(0, known.failures - known.retries - 1), 20)
    return run.memory.tried + min(longest, FIRST_PAUSE * 2.0**doubled) - run.services.clock()


def _stalled(run: HelmReleaseRun, reason: str, text: str, pause: float | None) -> Outcome:
    run.status.unmark("Reconciling")
    run.status.mark("Stalled", "True", reason, text)
    said = summary(run)
    run.status.mark("Ready", "False", str(said.get("reason") or "ReconcileError"), str(said.get("message") or ""))
    run.status.set(observedGeneration=run.generation)
    if pause is None:
        return Outcome(State.STALLED, None, reason, run.revision)
    return Outcome(State.RETRY, max(1.0, pause), reason, run.revision)
