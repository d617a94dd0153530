"""How does a release stand, and what is to be done about it (HR-60..64)? Pure: no clock, no I/O, table-tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fluxless.helm.release import DEPLOYED, FAILED, SUPERSEDED, UNINSTALLED, Release
from fluxless.helm.values import digest, merged
from fluxless.reconcile.interval import seconds

SNAPSHOTS = 5
"""Of `status.history`, where none could be rolled back to (HR-43)."""


class State(StrEnum):
    """Flux's names."""

    ABSENT = "Absent"
    LOCKED = "Locked"
    UNMANAGED = "Unmanaged"
    OUT_OF_SYNC = "OutOfSync"
    FAILED = "Failed"
    UNTESTED = "Untested"
    IN_SYNC = "InSync"
    UNKNOWN = "Unknown"


class Action(StrEnum):
    """What is done next."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    UNLOCK = "unlock"
    TEST = "test"
    ROLLBACK = "rollback"
    UNINSTALL = "uninstall"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the object asks for. `oci_digest` is empty for charts that are not told by their digest; `test` says that
    tests are to be run, `ignore_test_failures` that they decide nothing, `keep_values` that values of the last release
    go on where these say nothing.
    """

    chart_name: str
    chart_version: str
    values: Mapping[str, Any]
    oci_digest: str = ""
    test: bool = False
    ignore_test_failures: bool = False
    keep_values: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A state, and why it is that."""

    state: State
    why: str = ""


def determine(last: Release | None, wanted: Wanted, history: list[dict[str, Any]]) -> Found:
    """How the release stands (HR-60..62). `last` is Helm's newest record; `history` the status', newest first."""
    if last is None:
        return Found(State.ABSENT, "no release in storage for object")
    if last.pending:
        return Found(State.LOCKED, f"release with status '{last.status}'")
    if last.status == UNINSTALLED:
        return Found(State.ABSENT, "found uninstalled release in storage")
    if not history:
        return Found(State.UNMANAGED, "found existing release in storage")
    known = history[0]
    same = (known["name"], known["namespace"], known["version"]) == (last.name, last.namespace, last.version)
    if not same:
        return Found(State.UNMANAGED, "release not observed to be made for object")
    if known["digest"] != last.digest(str(known.get("ociDigest") or "")):
        return Found(State.UNMANAGED, "release digest verification error")
    if last.status == FAILED:
        return Found(State.FAILED)
    if last.status != DEPLOYED:
        return Found(State.UNKNOWN, f"unable to determine state for release with status '{last.status}'")
    return _compared(last, wanted, known)


def _compared(last: Release, wanted: Wanted, known: Mapping[str, Any]) -> Found:
    if why := _difference(last, wanted):
        return Found(State.OUT_OF_SYNC, why)
    if str(known.get("ociDigest") or "") != wanted.oci_digest:
        return Found(State.OUT_OF_SYNC, "release chart changed")
    if wanted.test and not been_tested(known):
        return Found(State.UNTESTED)
    if wanted.test and not wanted.ignore_test_failures and test_failed(known):
        return Found(State.FAILED, "release has test in failed phase")
    return Found(State.IN_SYNC)


def adoptable(last: Release, wanted: Wanted) -> bool:
    """Whether a release that somebody has made with Helm is what is wanted already."""
    return last.status == DEPLOYED and not wanted.oci_digest and _difference(last, wanted) == ""


def _difference(last: Release, wanted: Wanted) -> str:
    if (last.chart_name, last.chart_version) != (wanted.chart_name, wanted.chart_version):
        return "release chart changed"
    values = merged(last.config, wanted.values) if wanted.keep_values else wanted.values
    return "release config values changed" if digest(last.config) != digest(values) else ""


def been_tested(snapshot: Mapping[str, Any]) -> bool:
    """Whether every test has succeeded, or one has failed; there may be none (HR-75)."""
    hooks: Mapping[str, Any] | None = snapshot.get("testHooks")
    if hooks is None:
        return False
    return test_failed(snapshot) or all((hook or {}).get("phase") == "Succeeded" for hook in hooks.values())


def test_failed(snapshot: Mapping[str, Any]) -> bool:
    """Whether a test has failed."""
    return any((hook or {}).get("phase") == "Failed" for hook in (snapshot.get("testHooks") or {}).values())


@dataclass(frozen=True, slots=True)
class Remedy:
    """What the spec says about failures of the action that was tried last (HR-20, HR-23)."""

    action: str
    retries: int
    failures: int
    last_too: bool
    by: Action

    @property
    def exhausted(self) -> bool:
        """Whether no retry is left; -1 retries without end."""
        return self.retries >= 0 and self.failures > self.retries

    @property
    def reinstalls(self) -> bool:
        """Whether an upgrade is undone by an uninstall: an install follows, whose failures count for themselves."""
        return self.action == "upgrade" and self.by is Action.UNINSTALL

    @property
    def remediates(self) -> bool:
        """Whether the failure at hand is to be undone: the last one only when the spec says so."""
        return not self.exhausted or self.last_too


def remedy(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Remedy | None:
    """That of the action that was tried last; None when none was."""
    action = str(status.get("lastAttemptedReleaseAction") or "")
    if action not in {"install", "upgrade"}:
        return None
    said = (spec.get(action) or {}).get("remediation") or {}
    retries = int(said.get("retries") or 0)
    if action == "install":
        last_too, by = bool(said.get("remediateLastFailure")), Action.UNINSTALL
    else:
        last_too = bool(said.get("remediateLastFailure", retries > 0))
        by = Action.UNINSTALL if said.get("strategy") == "uninstall" else Action.ROLLBACK
    return Remedy(action, retries, int(status.get(f"{action}Failures") or 0), last_too, by)


class Exhausted(Exception):
    """Nothing more is tried until the user changes something: Stalled RetriesExceeded."""


class NoTarget(Exception):
    """There is nothing to roll back to: Stalled MissingRollbackTarget."""


def retry_interval(spec: Mapping[str, Any], status: Mapping[str, Any]) -> float | None:
    """Seconds until the action that was tried last is tried again (HR-19); None when failures are remediated."""
    strategy = (spec.get(str(status.get("lastAttemptedReleaseAction") or "")) or {}).get("strategy") or {}
    return seconds(strategy, "retryInterval", 300.0) if strategy.get("name") == "RetryOnFailure" else None


def next_action(
    found: Found, spec: Mapping[str, Any], status: Mapping[str, Any], *, force: bool, ignore_tests: bool = False
) -> Action | None:
    """What is to be done (HR-60, HR-65); None for nothing. Raises `Exhausted`, `NoTarget`."""
    if found.state is State.IN_SYNC:
        return Action.UPGRADE if force else None
    if found.state is State.LOCKED:
        return Action.UNLOCK
    if found.state is State.UNTESTED:
        return Action.UPGRADE if force else Action.TEST
    if found.state is State.UNMANAGED:
        return Action.UPGRADE
    if found.state is State.FAILED:
        return _after_failure(spec, status, force=force, ignore_tests=ignore_tests)
    wanted = Action.INSTALL if found.state is State.ABSENT else Action.UPGRADE
    known = remedy(spec, {**status, "lastAttemptedReleaseAction": wanted.value})
    if known is not None and known.exhausted and not force:
        raise Exhausted
    return wanted


def _after_failure(spec: Mapping[str, Any], status: Mapping[str, Any], *, force: bool, ignore_tests: bool) -> Action:
    """Undo it, or try again over it."""
    known = remedy(spec, status)
    if known is None or not known.failures or force or retry_interval(spec, status) is not None:
        return Action.UPGRADE
    if not known.remediates:
        raise Exhausted
    if known.by is Action.ROLLBACK and previous(status.get("history") or [], ignore_tests=ignore_tests) is None:
        raise NoTarget
    return known.by


def previous(history: list[dict[str, Any]], *, ignore_tests: bool = False) -> dict[str, Any] | None:
    """The last snapshot before the newest one that was good (HR-76)."""
    for entry in history[1:]:
        if entry["status"] in {DEPLOYED, SUPERSEDED} and (ignore_tests or not test_failed(entry)):
            return entry
    return None


def truncated(history: list[dict[str, Any]], *, ignore_tests: bool = False) -> list[dict[str, Any]]:
    """What is kept of a history: down to the snapshot that could be rolled back to, or five (HR-43)."""
    good = previous(history, ignore_tests=ignore_tests)
    return history[: history.index(good) + 1] if good is not None else history[:SNAPSHOTS]
