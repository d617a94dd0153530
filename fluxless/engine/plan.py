"""What to do now, decided from a world and a schedule. Pure: no clock, no I/O, table-tested.

1. An object is *due* when its generation, its reconcile request, the artifact it consumes or a ConfigMap or Secret that
   it refers to has changed since it was last started, when its next look has come, or when nobody knows what became
   of its last step.
2. A due object *runs* when every dependency is ready and its source has an artifact. Otherwise it is held; when that
   lasts, it runs all the same, once, to say in its status what it waits for.
3. Objects that run are put into batches by lane, so that a slow one never holds up a quick one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fluxless.api.kinds import SOURCE_KINDS, by_name
from fluxless.api.selector import selects
from fluxless.engine.schedule import Entry, Schedule
from fluxless.reconcile import configs, suspension
from fluxless.reconcile.dependencies import Blocked, artifact_of, is_static, sources_of, waits_for
from fluxless.reconcile.outcome import FAILED, State
from fluxless.reconcile.status import FORCE_ANNOTATION, RECONCILE_ANNOTATION, RESET_ANNOTATION
from fluxless.reconcile.world import Ref, World

log = logging.getLogger("fluxless.engine")
HOLD = 2.0
"""Seconds that an object waits silently for others before its status says so: most waits are over by then."""
WAITED = "\n"
"""What stands between the artifacts that an object was to consume and what it had to wait for when it was started."""
UNSEEN = 30.0
"""Seconds until an object is looked at again that waits for others by its own words, where the plan sees no wait."""
NEAR = 30.0
"""Seconds; a next look farther away than this is left to the timer instead of a waiting orchestration."""


class Lane(StrEnum):
    """Why a batch runs, which decides how many objects share it."""

    SOURCE = "source"
    CHANGE = "change"
    RETRY = "retry"
    RELEASE = "release"
    RELEASE_RETRY = "release-retry"
    CHECK = "check"
    SOURCE_RETRY = "source-retry"


SIZES = {Lane.SOURCE_RETRY: 1, Lane.CHANGE: 25, Lane.RETRY: 25, Lane.CHECK: 250}
"""Objects per batch. A check of something unchanged takes milliseconds; a source that has failed may hang for long."""
BATCHES = 20
"""Sources and releases have a batch each, up to as many; more share them: a batch costs an activity, its replay and the
schedule. A release whose hook takes long holds up nobody else.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Batches by id, the next wake-up in seconds since the epoch (None: nothing near), and counts to show."""

    batches: dict[str, list[Ref]]
    wake_up: float | None
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class NextSteps:
    """A plan as it travels to the orchestration: ids of batches, seconds until the next wake-up, counts to show."""

    batches: list[str]
    wake_after: float | None
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Well under 10 KB: objects travel by batch id, never by name."""
        return {"batches": self.batches, "wakeAfter": self.wake_after, "counts": self.counts}


def make(
    world: World, schedule: Schedule, in_flight: frozenset[str], now: float, name_batch: Callable[[], str]
) -> Plan:
    """Decide, and note in the schedule what is about to be started. `in_flight` are the batches still at work."""
    for ref in [ref for ref in schedule.entries if world.get(ref) is None]:
        if schedule.entries[ref].batch not in in_flight:
            del schedule.entries[ref]
    lanes: dict[Lane, list[Ref]] = {lane: [] for lane in Lane}
    counts = {"objects": 0, "due": 0, "held": 0, "inFlight": 0}
    for ref, obj in sorted(world.objects.items()):
        if not _ours(obj, world.rules.selector):
            schedule.entries.pop(ref, None)
            continue
        counts["objects"] += 1
        entry = schedule.entries.setdefault(ref, Entry())
        if entry.batch and entry.batch in in_flight:
            counts["inFlight"] += 1
            continue
        try:
            lane = _due(ref, obj, entry, world, now)
            wait = _wait(obj, world) if lane is not None else None
            held = lane is not None and _hold(entry, wait, now)
            if lane is not None and not held:
                _start(obj, entry, world, now, wait)
        except Exception:  # a defect of ours: it must not stop the plan of everybody else's objects
            log.exception("alert=not-planned object=%s is left out of the plan", ref)
            continue
        if lane is None:
            continue
        if held:
            counts["held"] += 1
            continue
        counts["due"] += 1
        lanes[lane].append(ref)
    batches: dict[str, list[Ref]] = {}
    for lane, refs in lanes.items():
        size = SIZES.get(lane) or -(-len(refs) // BATCHES) or 1
        for first in range(0, len(refs), size):
            batch = name_batch()
            batches[batch] = refs[first : first + size]
            for ref in batches[batch]:
                schedule.entries[ref].batch = batch
    return Plan(batches, _wake_up(schedule, in_flight, now), counts)


_LANES = {
    "source": (Lane.SOURCE_RETRY, Lane.SOURCE, Lane.SOURCE),
    "release": (Lane.RELEASE_RETRY, Lane.RELEASE, Lane.CHECK),
    "": (Lane.RETRY, Lane.CHANGE, Lane.CHECK),
}
"""What is tried again, what is new, and what is only looked at."""


def _ours(obj: dict[str, Any], selector: str) -> bool:
    """Suspended objects are left alone once that is noted (CM-8), deleted ones unless they wait for our finalizer, and
    those that the selector leaves to somebody else (CM-13).
    """
    metadata = obj["metadata"]
    if not selects(selector, metadata.get("labels") or {}):
        return False
    if metadata.get("deletionTimestamp"):
        return by_name(obj["kind"]).finalizer in (metadata.get("finalizers") or [])
    if is_static(obj):
        return False
    return not suspension.is_suspended(obj) or not suspension.is_noted(obj)


def _only_noted(obj: dict[str, Any]) -> bool:
    """Whether all that there is to do is to note that the object is suspended."""
    return suspension.is_suspended(obj) and not obj["metadata"].get("deletionTimestamp")


def _consumed(obj: dict[str, Any], world: World) -> str:
    """What the object would consume now: revision and digest of its sources' artifacts."""
    found = (artifact_of(world.get(source)) for source in sources_of(obj))
    return ", ".join(f"{artifact.get('revision')} {artifact['digest']}" for artifact in found if artifact)


def _request(obj: dict[str, Any]) -> str:
    """The reconcile request that is not handled yet (CM-6), or ""."""
    requested = (obj["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION, "")
    return "" if requested == (obj.get("status") or {}).get("lastHandledReconcileAt") else str(requested)


def _forced(obj: dict[str, Any]) -> bool:
    """Whether the request is for more than a look (CM-7)."""
    notes = obj["metadata"].get("annotations") or {}
    return notes.get(RECONCILE_ANNOTATION) in {notes.get(FORCE_ANNOTATION), notes.get(RESET_ANNOTATION)}


def _due(ref: Ref, obj: dict[str, Any], entry: Entry, world: World, now: float) -> Lane | None:
    """The lane in which the object is due, or None. What has failed before comes after what has not, unless its user
    has changed it or asks for it.
    """
    source = ref.kind in SOURCE_KINDS
    again, asked, check = _LANES["source" if source else "release" if ref.kind == "HelmRelease" else ""]
    change = again if entry.state in FAILED else asked
    if _only_noted(obj):
        return Lane.CHECK
    if not entry.state or entry.batch:  # never started, or lost with the worker that had it
        return change
    if entry.held:
        return change
    requested = _request(obj) not in ("", entry.requested)
    if obj["metadata"].get("generation", 0) != entry.generation or (requested and entry.state in FAILED):
        return asked
    consumed, _, waited = entry.source.partition(WAITED)
    if _consumed(obj, world) != consumed or configs.digest(obj, world.configs) != entry.configs:
        return change
    if requested and entry.state == State.READY:
        if source and now < entry.since + world.rules.spacing:
            entry.next = entry.since + world.rules.spacing  # a storm of pushes: it stays due
            return None
        return asked if _forced(obj) else check
    if requested:
        return asked
    if entry.state == State.BLOCKED:
        wait = waits_for(obj, world)
        if (wait.message if wait is not None else "") != waited:
            return change
        return again if wait is None and now >= entry.since + UNSEEN else None
    if entry.next is not None and now >= entry.next:
        if entry.state == State.READY:
            return check
        return again
    return None


def _wait(obj: dict[str, Any], world: World) -> Blocked | None:
    """What a due object has to wait for."""
    at_once = obj["metadata"].get("deletionTimestamp") or _only_noted(obj)
    return None if at_once else waits_for(obj, world)


def _hold(entry: Entry, wait: Blocked | None, now: float) -> bool:
    """Whether a due object waits silently for others; it then stays due. What can never be resolved is said at once."""
    if wait is None or wait.impossible:
        entry.held = False
        return False
    if not entry.held:
        entry.held, entry.since = True, now
        entry.state = entry.state or State.WAITING.value
    if now - entry.since < HOLD:
        entry.next = entry.since + HOLD
        return True
    entry.held = False  # it has lasted: run once to say so
    return False


def _start(obj: dict[str, Any], entry: Entry, world: World, now: float, wait: Blocked | None) -> None:
    generation, request = int(obj["metadata"].get("generation", 0)), _request(obj)
    if entry.state in FAILED and (generation != entry.generation or request not in ("", entry.requested)):
        entry.state = ""  # its user waits: it need not queue with what has failed
    entry.generation, entry.requested = generation, request
    entry.source = _consumed(obj, world) + (f"{WAITED}{wait.message}" if wait is not None else "")
    entry.configs = configs.digest(obj, world.configs)
    entry.since, entry.next, entry.held = now, None, False


def _wake_up(schedule: Schedule, in_flight: frozenset[str], now: float) -> float | None:
    times = [e.next for e in schedule.entries.values() if e.next is not None and not e.batch]
    soonest = min(times, default=None)
    return soonest if soonest is not None and soonest - now <= NEAR else None
