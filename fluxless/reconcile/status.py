"""The status of one object while a step works on it: changed in memory, written as one merge patch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from fluxless.api import conditions
from fluxless.api.conditions import Status as ConditionStatus
from fluxless.api.duration import format_duration
from fluxless.api.timestamps import format_timestamp

RECONCILE_ANNOTATION = "reconcile.fluxcd.io/requestedAt"
FORCE_ANNOTATION, RESET_ANNOTATION = "reconcile.fluxcd.io/forceAt", "reconcile.fluxcd.io/resetAt"
"""For a HelmRelease, with the same token as the reconcile request (CM-7)."""
HISTORY_LIMIT = 5


class StatusDraft:
    """A private copy of `status` with the verbs that phases use. `changes()` is what has to be written."""

    def __init__(self, obj: dict[str, Any], clock: Callable[[], float]) -> None:
        self._obj = obj
        self._clock = clock
        self._written: dict[str, Any] = obj.get("status") or {}
        self.fields: dict[str, Any] = copy.deepcopy(self._written)

    @property
    def generation(self) -> int:
        """The generation that this step works on."""
        return int(self._obj["metadata"].get("generation", 0))

    def mark(self, condition: str, status: ConditionStatus, reason: str, message: str) -> None:
        """Set one condition by Flux's rules (CM-1)."""
        self.fields["conditions"] = conditions.set_condition(
            self.fields.get("conditions") or [],
            condition,
            status,
            reason,
            message,
            generation=self.generation,
            now=self._clock(),
        )

    def unmark(self, *names: str) -> None:
        """Remove conditions; names that are not there are fine."""
        self.fields["conditions"] = conditions.remove(self.fields.get("conditions") or [], *names)

    def condition(self, name: str) -> dict[str, Any] | None:
        """The condition as it stands in the draft."""
        return conditions.get({"status": self.fields}, name)

    def set(self, **fields: Any) -> None:
        """Set top-level fields; None removes a field."""
        for key, value in fields.items():
            if value is None:
                self.fields.pop(key, None)
            else:
                self.fields[key] = value

    def handled(self) -> None:
        """Note the reconcile request as handled (CM-6)."""
        requested = (self._obj["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
        if requested is not None:
            self.fields["lastHandledReconcileAt"] = requested

    def remember(self, digest: str, status: str, seconds: float, metadata: dict[str, str]) -> None:
        """Add to `status.history` (CM-24): one entry per digest and status, newest first, at most five."""
        now = format_timestamp(self._clock())
        history: list[dict[str, Any]] = self.fields.get("history") or []
        same = next((e for e in history if (e["digest"], e["lastReconciledStatus"]) == (digest, status)), None)
        fresh = {"digest": digest, "firstReconciled": now, "totalReconciliations": 0}
        entry: dict[str, Any] = dict(same or fresh)
        entry |= {
            "lastReconciled": now,
            "lastReconciledDuration": format_duration(round(seconds, 3)),
            "lastReconciledStatus": status,
            "totalReconciliations": entry["totalReconciliations"] + 1,
            "metadata": metadata,
        }
        self.fields["history"] = [entry, *(e for e in history if e is not same)][:HISTORY_LIMIT]

    def changes(self) -> dict[str, Any]:
        """The JSON merge patch of `status` since the last write; empty when there is nothing to write."""
        patch = {key: value for key, value in self.fields.items() if self._written.get(key) != value}
        return patch | {key: None for key in self._written if key not in self.fields}

    def snapshot(self) -> dict[str, Any]:
        """The draft as it stands, to hand to `wrote` when the write has succeeded."""
        return copy.deepcopy(self.fields)

    def wrote(self, snapshot: dict[str, Any]) -> None:
        """That state of the draft is on the API server now."""
        self._written = snapshot
