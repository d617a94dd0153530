"""Tells what others have changed: by condition and event, field by field, and keeps the history of it in the store.

In mode `correct` (Flux's) drift is set right and told; in mode `report` it is told and left. Values are never told.
"""

from __future__ import annotations

from fluxless.api import conditions, reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.drift_history import describe, remember
from fluxless.reconcile.errors import Stalled
from fluxless.reconcile.events import Event

MODE = "fluxless.dev/drift"
"""Annotation on a Kustomization: `report` or `correct`, before the app setting."""
CONDITION = "Drifted"


def reports(run: KustomizationRun) -> bool:
    """Whether drift is left as it is. Raises `Stalled` for a word that is no mode."""
    word = (run.obj["metadata"].get("annotations") or {}).get(MODE, "")
    if word not in {"", "report", "correct"}:
        text = f"annotation {MODE}: {word!r} is no mode"
        failure = Failure(FailureClass.VALIDATION, text, str(run.ref), next_step="write report or correct")
        raise Stalled(reasons.RECONCILIATION_FAILED, failure)
    return word == "report" if word else run.services.settings.report_drift


async def tell_of_drift(run: KustomizationRun) -> None:
    """Set or take back the condition Drifted, send the event, write the history. Never fails the step."""
    found = run.applied.drifted if run.applied is not None else ()
    known = conditions.get(run.obj, CONDITION)
    if not found:
        if known is not None:
            run.status.unmark(CONDITION)
            await remember(run, (), "gone")
        return
    reporting, text = reports(run), describe(found)
    if not reporting:
        run.status.unmark(CONDITION)
        run.tell(Event("Normal", reasons.DRIFT_CORRECTED, text, run.revisions))
    else:
        run.status.mark(CONDITION, "True", reasons.DRIFT_DETECTED, text)
        run.only_reported = run.drifted is not None
        if known is None or known.get("message") != text:
            run.tell(Event("Warning", reasons.DRIFT_DETECTED, text, run.revisions))
    await remember(run, found, "reported" if reporting else "corrected")
