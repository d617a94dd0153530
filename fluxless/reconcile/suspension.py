"""A suspended object (CM-8): nothing is done, but its status says that the spec as it stands was seen.

Without that, whoever waits for the object by its generation would wait until it is resumed: a parent with `wait`, a
dependent, kubectl. So do Flux's controllers, whatever their documentation says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxless.api import conditions
from fluxless.reconcile.status import RECONCILE_ANNOTATION, StatusDraft


def is_suspended(obj: Mapping[str, Any]) -> bool:
    """Whether its user has suspended the object."""
    return bool((obj.get("spec") or {}).get("suspend"))


def is_noted(obj: Mapping[str, Any]) -> bool:
    """Whether the status needs no further word about the suspension."""
    status = obj.get("status") or {}
    request = (obj["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
    seen = status.get("observedGeneration") == obj["metadata"].get("generation")
    handled = request is None or request == status.get("lastHandledReconcileAt")
    return handled and (seen or not conditions.is_true(obj, "Ready"))


def note(obj: Mapping[str, Any], status: StatusDraft) -> None:
    """Say what is to be said: the request is handled, and a ready object is still ready."""
    status.handled()
    if conditions.is_true(obj, "Ready"):
        status.unmark("Reconciling")
        status.set(observedGeneration=status.generation)
