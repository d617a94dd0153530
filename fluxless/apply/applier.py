"""Makes a set of objects true in a cluster (KC-78..89): the door of this room for everything that applies.

1. Objects whose manifest and ownership are those of the last apply are not sent at all.
2. The others go through the stages of `order.py`; each stage is dry-run as a whole before its first write, and a stage
   of definitions is awaited before the next begins.
3. What was applied is returned as a record, by which the next apply knows what has not changed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fluxless.api.failure import Failure, FailureClass
from fluxless.apply import drift, order
from fluxless.apply.census import Census
from fluxless.apply.changes import FieldChange
from fluxless.apply.ignore import Rule
from fluxless.apply.inventory import Inventory
from fluxless.apply.kstatus import status_of
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject, Manifest, identify, object_id, version_of
from fluxless.apply.order import rank, sort_key, stage_of
from fluxless.apply.owner import Owner, hands_off, owner_labels
from fluxless.apply.record import AppliedRecord, Entry
from fluxless.apply.resolve import defined_kinds, resolve
from fluxless.apply.stage import Fence, Item, Stage, StageProblem
from fluxless.apply.states import State
from fluxless.kube.client import Cluster
from fluxless.kube.resource import Resource

WRITTEN = frozenset({"created", "configured"})
"""Actions that have changed something."""
READY_WITHIN = 60.0
"""Seconds that definitions may take to become ready (KC-78)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object, in Flux's words (KC-89)."""

    subject: str
    action: str


@dataclass(frozen=True, slots=True)
class Drifted:
    """An object that was not as we had left it, and the fields that say so (none for one that is gone)."""

    subject: str
    drift: drift.Drift
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """An object with fields that its kind does not have; it was applied without them."""

    subject: str
    origin: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        """As events say it."""
        where = f" (from {self.origin})" if self.origin else ""
        return f"{self.subject}: unknown field(s) left out: {', '.join(self.fields)}{where}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply came to. `live` holds the API server's answers by id.

    `drifted` names what others had changed, whether it was set right or left as it is.
    """

    changes: tuple[Change, ...] = ()
    live: Mapping[str, KubeObject] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    record: AppliedRecord = field(default_factory=AppliedRecord)
    drifted: tuple[Drifted, ...] = ()
    unknown: tuple[Unknown, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything in the cluster is different now."""
        return any(change.action in WRITTEN for change in self.changes)


async def apply_set(
    cluster: Cluster,
    census: Census,
    manifests: Iterable[Manifest],
    *,
    owner: Owner,
    previous: AppliedRecord,
    force: bool = False,
    ignore: Sequence[Rule] = (),
    salt: str = "",
    before_write: Callable[[Inventory], Awaitable[None]],
    fence: Fence,
    custom_stage: Collection[tuple[str, str]] = (),
    leave_drift: bool = False,
    awaited: bool = False,
) -> Applied:
    """Apply the whole set, or say everything that is wrong with its first bad stage.

    `salt` goes into the digests of the record (see `rendered_digest`). `before_write` gets the objects that may come
    to exist, before the first write; `fence` is asked before each. With `leave_drift`, objects whose manifest is the
    old one are reported instead of applied; `awaited` as in `drift.compare`. Raises `StageProblem`, another
    `ApiProblem` when the cluster does not answer, and what `fence` raises.
    """
    ordered = sorted(manifests, key=lambda manifest: sort_key(identify(manifest.object)))
    stages: dict[order.Stage, list[Manifest]] = defaultdict(list)
    for manifest in ordered:
        stages[stage_of(manifest.object, custom_stage)].append(manifest)
    announce = _Announcement(before_write, previous, ordered)
    defined = defined_kinds(ordered)
    items: list[Item] = []
    try:
        for number in sorted(stages):
            stage, failures = await resolve(cluster, stages[number], defined, salt)
            items += stage
            await _leave_out(census, stage, previous, awaited)
            checked = Stage(census, stage, force=force, fence=fence, ignore=ignore, leave_drift=leave_drift)
            failures += await checked.validate()
            if failures:
                raise StageProblem(failures)
            await _write(census, stage, force, fence, announce)
            if number.waits:
                await _await_ready(cluster, stage)
    except StageProblem as problem:
        problem.done = tuple((identify(item.object).subject, item.action) for item in items if item.action in WRITTEN)
        raise
    return _applied(census, items, owner, previous)


async def _write(census: Census, stage: list[Item], force: bool, fence: Fence, announce: _Announcement) -> None:
    """Write a validated stage rank by rank."""
    if any(not item.action for item in stage):
        await announce()
    ranks: dict[int, list[Item]] = defaultdict(list)
    for item in stage:
        ranks[rank(identify(item.object))[0]].append(item)
    for _, same in sorted(ranks.items()):
        await Stage(census, same, force=force, fence=fence).write()


class _Announcement:
    """Tells the caller once, before the first write, what may come to exist."""

    def __init__(
        self,
        tell: Callable[[Inventory], Awaitable[None]],
        previous: AppliedRecord,
        manifests: Iterable[Manifest],
    ) -> None:
        self._tell: Callable[[Inventory], Awaitable[None]] | None = tell
        self._new = {
            id_: version_of(manifest.object["apiVersion"])
            for manifest in manifests
            if (id_ := object_id(manifest.object)) not in previous.entries
        }

    async def __call__(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            await tell(self._new)


async def _leave_out(census: Census, stage: list[Item], previous: AppliedRecord, awaited: bool) -> None:
    """Mark what needs no request: kept hands off, or unchanged in manifest and ownership."""
    kinds: dict[Resource, list[Item]] = defaultdict(list)
    for item in stage:
        entry = previous.entries.get(item.id)
        if hands_off(item.object):
            item.action = "skipped"
        elif entry is not None and entry.mark and entry.digest == item.digest:
            kinds[item.resource].append(item)

    async def compare(resource: Resource) -> None:
        sightings = await census.look(resource, [item.key for item in kinds[resource]])
        for item in kinds[resource]:
            sighting = sightings.get(item.key)
            if sighting is not None and sighting.hands_off:
                item.action = "skipped"
            else:
                item.drift = drift.compare(previous.entries[item.id], sighting, previous.owner, awaited=awaited)
                item.action = "" if item.drift else "unchanged"

    await each(compare, kinds)


async def _await_ready(cluster: Cluster, stage: list[Item]) -> None:
    """Wait for the definitions that were written just now; the next stage needs them."""
    waiting = [item for item in stage if item.action in WRITTEN and item.live is not None]
    pause = 0.05
    deadline = asyncio.get_running_loop().time() + READY_WITHIN
    while True:
        waiting = [item for item in waiting if status_of(item.live or {}).state is not State.CURRENT]
        if not waiting:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise StageProblem([_not_ready(item) for item in waiting])
        await asyncio.sleep(pause)
        pause = min(2.0, pause * 2)
        for item in waiting:
            item.live = await cluster.get(item.resource, item.key[1], item.key[0])


def _not_ready(item: Item) -> Failure:
    status = status_of(item.live or {})
    name = identify(item.object).subject
    text = f"timeout waiting for: [{name} status: '{status.state}': {status.message}]"
    step = "look at the object's conditions; what comes after it was not applied"
    return Failure(FailureClass.HEALTH, text, name, item.manifest.origin, step)


def _applied(census: Census, items: list[Item], owner: Owner, previous: AppliedRecord) -> Applied:
    entries = {item.id: _entry(census, item, previous) for item in items}
    said = owner_labels(items[0].object) if items else (owner.name, owner.namespace)
    return Applied(
        changes=tuple(Change(identify(item.object).subject, item.action) for item in items),
        live={item.id: item.live for item in items if item.live is not None},
        skipped=frozenset(item.id for item in items if item.action == "skipped"),
        record=AppliedRecord(owner=said, entries=entries),
        drifted=tuple(
            Drifted(identify(item.object).subject, item.drift, item.changed) for item in items if item.drift is not None
        ),
        unknown=tuple(
            Unknown(identify(item.object).subject, item.manifest.origin, item.unknown) for item in items if item.unknown
        ),
    )


def _entry(census: Census, item: Item, previous: AppliedRecord) -> Entry:
    version = version_of(item.object["apiVersion"])
    fleeting = _fleeting(item.object)
    if item.action == "drifted":  # what we know of it stays true until somebody applies it
        return replace(previous.entries[item.id], version=version)
    if item.live is not None:
        sighting = census.sight(item.live)
        # An object that is out of our hands has no mark, so that it is applied as soon as it is given back.
        return Entry(version, item.digest, sighting.uid, "" if sighting.hands_off else sighting.mark, fleeting)
    known = previous.entries.get(item.id)
    if item.action == "unchanged" and known is not None:
        return replace(known, version=version)
    return Entry(version, item.digest, "", "", fleeting)


def _fleeting(obj: KubeObject) -> bool:
    """Whether Kubernetes deletes the object once it has finished."""
    job = (obj["apiVersion"], obj["kind"]) == ("batch/v1", "Job")
    return job and (obj.get("spec") or {}).get("ttlSecondsAfterFinished") is not None
