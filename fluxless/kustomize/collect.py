"""Garbage collection: what is no longer wanted is deleted, moved objects are left to their new owner (KC-91)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.inventory import restrict, stale, union, write
from fluxless.apply.objects import parse_id
from fluxless.apply.prune import Pruned
from fluxless.apply.prune import prune as prune_objects
from fluxless.kustomize import prune_guard
from fluxless.kustomize.moves import moved
from fluxless.kustomize.run import KustomizationRun, Memory
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.world import Ref


async def prune(run: KustomizationRun) -> None:
    """Delete what is no longer wanted (KC-91), write the inventory. Ready=False PruneFailed; survivors stay in it."""
    if run.applied is None:
        return
    wanted = run.applied.record.inventory
    dropped = stale(union(run.old_inventory, run.memory.applied.pending), wanted) if run.spec.get("prune") else {}
    taken = await moved(run, dropped)
    run.moving = bool(taken)
    _tell_moved(run, taken)
    left = restrict(dropped, dropped.keys() - taken.keys())
    hold = prune_guard.held(
        prune_guard.Limit.parse(run.services.settings.prune_limit),
        left,
        len(union(run.old_inventory, wanted)),
        _notes(run),
    )
    if hold:
        pruned = Pruned(survivors=set(left), failures=[Failure(FailureClass.VALIDATION, hold, str(run.ref))])
    elif left:
        pruned = await prune_objects(run.target, run.census, left, owner=run.owner, fence=run.fence)
    else:
        pruned = Pruned()
    # What has moved stays known until its labels say the new owner; then it is not ours to delete, and is forgotten.
    pending = restrict(dropped, pruned.survivors | taken.keys())
    run.status.set(inventory=write(union(wanted, pending)))
    if pruned.changes:
        run.changes += pruned.changes
        text = "\n".join(f"{subject} {action}" for subject, action in pruned.changes)
        run.tell(Event("Normal", reasons.PROGRESSING, text, run.revisions))
    record = replace(run.applied.record, inputs=run.inputs, revision=run.revision, pending=pending)
    same = run.memory.applied.inputs == run.inputs  # drift was corrected while a health check waits: it waits on
    since = run.memory.checking_since if same else None
    run.remembered.memory = Memory(record, since, run.build.floating, run.memory.token)
    await run.save_memory()
    if pruned.failures:
        reason = reasons.PRUNE_HELD if hold else reasons.PRUNE_FAILED
        run.status.remember(run.checksum, reason, run.seconds(), run.revisions)
        raise Transient(reason, pruned.failures)


def _tell_moved(run: KustomizationRun, taken: Mapping[str, Ref]) -> None:
    known = run.memory.applied.pending
    lines = [f"{parse_id(id_).subject} moves to {owner}" for id_, owner in taken.items() if id_ not in known]
    if lines:
        run.tell(Event("Normal", reasons.PROGRESSING, "\n".join(lines), run.revisions))


def _notes(run: KustomizationRun) -> dict[str, str]:
    return run.obj["metadata"].get("annotations") or {}
