"""What a step over a HelmRelease says of it: `status.history`, counters, conditions and events (HR-43..53)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass
from fluxless.go_yaml import text_of
from fluxless.helm.release import DEPLOYED, Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import Action, retry_interval
from fluxless.helm.values import digest
from fluxless.reconcile.errors import Ended, Transient
from fluxless.reconcile.events import Event

RELEASED, REMEDIATED, TESTED = "Released", "Remediated", "TestSuccess"
WORD = {
    Action.INSTALL: "Install",
    Action.UPGRADE: "Upgrade",
    Action.ROLLBACK: "Rollback",
    Action.UNINSTALL: "Uninstall",
}
ABOUT = {"revision": "chartVersion", "token": "configDigest", "app-version": "appVersion", "oci-digest": "ociDigest"}
"""What events carry, by the field of a snapshot."""


def observe(run: HelmReleaseRun, version: int, action: str) -> None:
    """Bring `status.history` up to date with Helm's records of the versions that are ours (HR-43)."""
    ours = {entry["version"]: entry for entry in run.history} | {version: {"action": action}}
    entries = []
    for record in run.records:
        known = ours.get(record.version)
        if known is not None:
            oci = str(known.get("ociDigest") or (run.oci_digest if record.version == version else ""))
            tested = {"testHooks": known["testHooks"]} if "testHooks" in known else {}
            entries.append(record.snapshot(_did(record, known, version, action), oci) | tested)
    run.status.set(history=entries or None)


def _did(record: Release, known: Mapping[str, Any], version: int, action: str) -> str:
    """What made a version, as Flux says it: an upgrade takes it away from what was deployed before, a rollback claims
    what it has changed.
    """
    if action == "upgrade" and record.version != version and known.get("status") == DEPLOYED:
        return ""
    changed = record.version != version and known.get("status") != record.status
    return action if action == "rollback" and changed else str(known.get("action") or "")


def about(snapshot: Mapping[str, Any]) -> dict[str, str]:
    """What an event about a release of `status.history` carries; what is unknown is empty (HR-54)."""
    return {name: str(snapshot.get(field) or "") for name, field in ABOUT.items()}


def about_attempt(run: HelmReleaseRun) -> dict[str, str]:
    """What an event about a release carries that may not have come to be; nothing before there is a chart (HR-54)."""
    if run.chart is None:
        return {}
    app, token = text_of(run.chart.metadata.get("appVersion")), digest(run.values)
    return {"revision": run.revision, "token": token, "app-version": app, "oci-digest": run.oci_digest}


def count_failure(run: HelmReleaseRun, action: Action, version: int, text: str) -> None:
    """A failure of which Helm has a record (HR-64)."""
    count(run, "failures", f"{action.value}Failures")
    observe(run, version, action.value)
    run.status.unmark(REMEDIATED)
    run.status.mark(RELEASED, "False", f"{WORD[action]}Failed", text)
    run.tell(Event("Warning", f"{WORD[action]}Failed", text, about_attempt(run)))


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


def try_again(run: HelmReleaseRun) -> Ended:
    """What went wrong stands in Released or Remediated already."""
    tell_of_retry(run)
    said = summary(run)
    failure = Failure(FailureClass.HEALTH, str(said.get("message") or "the release has failed"), str(run.ref))
    return Transient(str(said.get("reason") or "ReconcileError"), failure, event=False)


def tell_of_retry(run: HelmReleaseRun) -> None:
    """When the spec says how soon a failure is tried again (HR-19)."""
    pause = retry_interval(run.spec, run.status.fields)
    if pause is not None:
        run.progress(f"retrying after {format_duration(pause)}")
        run.status.set(observedGeneration=run.generation)


def summary(run: HelmReleaseRun) -> dict[str, Any]:
    """The condition that Ready repeats: a rollback first, then tests that count, then the release (HR-50)."""
    test = run.action_spec("test")
    tested = run.status.condition(TESTED) if test.get("enable") and not test.get("ignoreFailures") else None
    remediated = run.status.condition(REMEDIATED)
    if remediated is not None and remediated["reason"].startswith("Uninstall"):
        remediated = None  # what was wrong with the release is still the news
    return remediated or tested or run.status.condition(RELEASED) or {}


def full(entry: dict[str, Any]) -> str:
    """A snapshot, as Flux names a release."""
    return f"{entry.get('namespace')}/{entry.get('name')}.v{entry.get('version')}"


def named(last: Release) -> str:
    """A record, with its chart."""
    return f"{last.full_name} with chart {last.chart_name}@{last.chart_version}"


def chart(entry: dict[str, Any]) -> str:
    """The chart of a snapshot."""
    return f"{entry.get('chartName')}@{entry.get('chartVersion')}"
