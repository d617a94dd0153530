"""What others have changed, in words for users, and the history of it in the store. Values are never told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fluxless.api.timestamps import format_timestamp
from fluxless.apply.applier import Drifted
from fluxless.kept import listed, mapping, text, whole
from fluxless.reconcile.records import drift_name, read_state, write_json
from fluxless.reconcile.run import Run

SHOWN = 20
"""Fields of one object that a message names; the history has all of them."""
KEPT = 50
"""Entries of a history."""


def history(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks of a kept history, the newest first: `first`, `last`, `mode` and `revision` are strings, `times` is a
    count, `objects` have `subject`, `drift` and `fields`, each with `path` and `manager`. Raises `Malformed`.
    """

    def changed(entry: Any) -> dict[str, Any]:
        known = mapping(entry)
        fields = [
            {key: text(mapping(field).get(key)) for key in ("path", "manager")} for field in listed(known.get("fields"))
        ]
        return {"subject": text(known.get("subject")), "drift": text(known.get("drift")), "fields": fields}

    def check(entry: Any) -> dict[str, Any]:
        known = mapping(entry)
        said: dict[str, Any] = {key: text(known.get(key)) for key in ("first", "last", "mode", "revision")}
        return said | {
            "times": whole(known.get("times")),
            "objects": [changed(one) for one in listed(known.get("objects"))],
        }

    return [check(entry) for entry in listed(document.get("checks", []))]


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
    checks, _ = await read_state(run.services.store, name, history)
    objects = [
        {"subject": one.subject, "drift": str(one.drift), "fields": [change.to_json() for change in one.fields]}
        for one in found
    ]
    now = format_timestamp(run.services.clock())
    if checks and (checks[0]["mode"], checks[0]["objects"]) == (mode, objects) and mode == "reported":
        checks[0] |= {"last": now, "times": checks[0]["times"] + 1}
    else:
        entry = {"first": now, "last": now, "times": 1, "mode": mode, "revision": run.revision, "objects": objects}
        checks = [entry, *checks][:KEPT]
    await write_json(run.services.store, name, {"checks": checks})
