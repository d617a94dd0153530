"""What others have changed, in words for users, and the history of it in the store. Values are never told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fluxless.api.timestamps import format_timestamp
from fluxless.apply.applier import Drifted
from fluxless.reconcile.records import drift_name, read_json, write_json
from fluxless.reconcile.run import Run

SHOWN = 20
"""Fields of one object that a message names; the history has all of them."""
KEPT = 50
"""Entries of a history."""


def describe(found: Iterable[Drifted]) -> str:
    """One line per object, with its fields and who changed them."""
    return "\n".join(f"{one.subject}: {_fields(one)}" for one in found)


def _fields(one: Drifted) -> str:
    if not one.fields:
        return str(one.drift)
    shown = ", ".join(str(change) for change in one.fields[:SHOWN])
    more = len(one.fields) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


async def remember(run: Run, found: Iterable[Drifted], mode: str) -> None:
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
