"""What a step over a HelmRelease says of it: `status.history`, counters, conditions and events (HR-43..53)."""

from __future__ import annotations

from typing import Any

from fluxless.api.failure import Failure, FailureClass
from fluxless.helm import actions
from fluxless.helm.release import Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import Action, remedy
from fluxless.reconcile.errors import Ended, Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.outcome import State as OutcomeState

RELEASED, REMEDIATED, TESTED = "Released", "Remediated", "TestSuccess"
WORD = {
    Action.INSTALL: "Install",
    Action.UPGRADE: "Upgrade",
    Action.ROLLBACK: "Rollback",
    Action.UNINSTALL: "Uninstall",
}
SNAPSHOTS = 5
"""Of `status.history` (HR-43)."""


async def observe(run: HelmReleaseRun, version: int, action: str) -> None:
    """Bring `status.history` up to date with Helm's records of the versions that are ours (HR-43)."""
    run.records = await actions.read_records(run)
    ours = {entry["version"]: entry for entry in run.history} | {version: {"action": action}}
    entries = []
    for record in run.records:
        known = ours.get(record.version)
        if known is not None:
            oci = str(known.get("ociDigest") or (run.oci_digest if record.version == version else ""))
            tested = {"testHooks": known["testHooks"]} if "testHooks" in known else {}
            entries.append(record.snapshot(str(known.get("action") or ""), oci) | tested)
    run.status.set(history=entries[:SNAPSHOTS] or None)


async def count_failure(run: HelmReleaseRun, action: Action, version: int, text: str) -> None:
    """A failure of which Helm has a record (HR-64)."""
    count(run, "failures", f"{action.value}Failures")
    await observe(run, version, action.value)
    run.status.unmark(REMEDIATED)
    run.status.mark(RELEASED, "False", f"{WORD[action]}Failed", text)
    run.tell(Event("Warning", f"{WORD[action]}Failed", text, run.revisions))


def count(run: HelmReleaseRun, *fields: str) -> None:
    """One more in each of these counters of the status."""
    run.status.set(**{field: int(run.status.fields.get(field) or 0) + 1 for field in fields})


def failed_text(run: HelmReleaseRun, action: Action, words: str) -> str:
    """What an install or an upgrade says that has failed."""
    wanted = run.wanted
    where = f"{run.namespace}/{run.release_name} with chart {wanted.chart_name}@{wanted.chart_version}"
    return f"Helm {action.value} failed for release {where}: {words}"


def handled(run: HelmReleaseRun, annotation: str, field: str) -> None:
    """Note that a request by annotation is done (CM-7)."""
    if token := (run.obj["metadata"].get("annotations") or {}).get(annotation):
        run.status.set(**{field: token})


def is_exhausted(run: HelmReleaseRun) -> bool:
    """Whether no retry is left."""
    known = remedy(run.spec, run.status.fields)
    return known is not None and known.exhausted


def exhausted(run: HelmReleaseRun) -> Outcome:
    """Stalled says that nothing more is tried, Ready what went wrong."""
    known = remedy(run.spec, run.status.fields)
    action, failures = (known.action, known.failures) if known is not None else ("release", 0)
    step = "correct the chart or the values; `flux reconcile helmrelease --reset` tries again as it is"
    run.status.unmark("Reconciling")
    run.status.mark("Stalled", "True", "RetriesExceeded", f"Failed to {action} after {failures} attempt(s) — {step}")
    said = summary(run)
    run.status.mark("Ready", "False", str(said.get("reason") or "ReconcileError"), str(said.get("message") or ""))
    run.status.set(observedGeneration=run.generation)
    return Outcome(OutcomeState.STALLED, None, "RetriesExceeded", run.revision)


def try_again(run: HelmReleaseRun) -> Ended:
    """What went wrong stands in Released or Remediated already."""
    said = summary(run)
    failure = Failure(FailureClass.HEALTH, str(said.get("message") or "the release has failed"), str(run.ref))
    return Transient(str(said.get("reason") or "ReconcileError"), failure, event=False)


def summary(run: HelmReleaseRun) -> dict[str, Any]:
    """The condition that Ready repeats: a remediation first, then tests that count, then the release (HR-50)."""
    test = run.action_spec("test")
    tested = run.status.condition(TESTED) if test.get("enable") and not test.get("ignoreFailures") else None
    return run.status.condition(REMEDIATED) or tested or run.status.condition(RELEASED) or {}


def full(entry: dict[str, Any]) -> str:
    """A snapshot, as Flux names a release."""
    return f"{entry.get('namespace')}/{entry.get('name')}.v{entry.get('version')}"


def named(last: Release) -> str:
    """A record, with its chart."""
    return f"{last.full_name} with chart {last.chart_name}@{last.chart_version}"


def chart(entry: dict[str, Any]) -> str:
    """The chart of a snapshot."""
    return f"{entry.get('chartName')}@{entry.get('chartVersion')}"
