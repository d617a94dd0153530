"""Tells what others have changed: by condition and event, field by field, and keeps the history of it in the store.

In mode `correct` (Flux's) drift is set right and told; in mode `report` it is told and left. Values are never told.
"""

from __future__ import annotations

from typing import Any

from fluxless.api import conditions, reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.api.timestamps import format_timestamp
from fluxless.apply.applier import Drifted
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.errors import Stalled
from fluxless.reconcile.events import Event
from fluxless.reconcile.records import drift_name, read_json, write_json

MODE = "fluxless.dev/drift"
"""Annotation on a Kustomization: `report` or `correct`, before the app setting."""
CONDITION = "Drifted"
SHOWN = 20
"""Fields of one object that a message names; the history has all of them."""
KEPT = 50
"""Entries of a history."""


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
            await _remember(run, (), "gone")
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
    await _remember(run, found, "reported" if reporting else "corrected")


def describe(found: tuple[Drifted, ...]) -> str:
    """One line per object, with its fields and who changed them."""
    return "\n".join(f"{one.subject}: {_fields(one)}" for one in found)


def _fields(one: Drifted) -> str:
    if not one.fields:
        return str(one.drift)
    shown = ", ".join(str(change) for change in one.fields[:SHOWN])
    more = len(one.fields) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


async def _remember(run: KustomizationRun, found: tuple[Drifted, ...], mode: str) -> None:
    """The newest check first; one that finds what the last one found only moves its time."""
    name = drift_name(run.cluster.name, run.ref)
    document, _ = await read_json(run.services.store, name)
    checks: list[dict[str, Any]] = document.get("checks") or []
    objects = [
        {"subject": one.subject, "drift": str(one.drift), "fields": [change.to_json() for change in one.fields]}
        for one in found
    ]
    now = format_timestamp(run.services.clock())
    if checks and (checks[0]["mode"], checks[0]["objects"]) == (mode, objects) and mode == "reported":
        checks[0] |= {"last": now, "times": int(checks[0]["times"]) + 1}
    else:
        entry = {"first": now, "last": now, "times": 1, "mode": mode, "revision": run.revision, "objects": objects}
        checks = [entry, *checks][:KEPT]
    await write_json(run.services.store, name, {"checks": checks})
