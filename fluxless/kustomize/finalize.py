"""What becomes of the objects when their Kustomization is deleted (KC-6, KC-92)."""

from __future__ import annotations

import logging

from fluxless.api import reasons
from fluxless.api.timestamps import parse_timestamp
from fluxless.apply.inventory import restrict, union
from fluxless.apply.objects import parse_id
from fluxless.apply.prune import Pruned, prune, still_there
from fluxless.kustomize.moves import moved
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.errors import Transient, Waiting, internal
from fluxless.reconcile.events import Event
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.records import drift_name
from fluxless.reconcile.target import missing, open_target

log = logging.getLogger("fluxless.kustomize")
POLL = 2.0
"""Seconds between two looks while termination is awaited (KC-92)."""


async def finalize(run: KustomizationRun) -> Outcome:
    """Delete what the policy says and wait if it says so; GONE releases the object. Raises `Problem`."""
    run.revision = str((run.obj.get("status") or {}).get("lastAppliedRevision") or "")
    await run.remembered.recall()
    inventory = union(run.old_inventory, run.memory.applied.pending)
    deletes = _deletes(run) and bool(inventory)
    if deletes and (gone := await missing(run)):
        left = "\n".join(parse_id(id_).subject for id_ in inventory)
        log.warning("cluster=%s object=%s leaves its objects behind: %s", run.cluster.name, run.ref, gone)
        run.tell(Event("Warning", reasons.PRUNE_FAILED, f"unable to prune objects: {gone}\n{left}", run.revisions))
    elif deletes:
        await open_target(run)
        inventory = restrict(inventory, inventory.keys() - (await moved(run, inventory)).keys())
        pruned = await prune(run.target, run.census, inventory, owner=run.owner, fence=run.fence)
        _tell(run, pruned)
        await run.step_back()
        if pruned.failures:
            raise Transient(reasons.PRUNE_FAILED, pruned.failures)
        if run.spec.get("deletionPolicy") == "WaitForTermination":
            await _await_termination(run, inventory)
    await run.remembered.delete()
    await run.services.store.delete(drift_name(run.cluster.name, run.ref))
    return Outcome(State.GONE)


def _deletes(run: KustomizationRun) -> bool:
    """Whether the policy deletes the objects; a suspended Kustomization leaves everything alone (KC-92)."""
    if run.spec.get("suspend"):
        return False
    policy = run.spec.get("deletionPolicy") or "MirrorPrune"
    return policy in {"Delete", "WaitForTermination"} or (policy == "MirrorPrune" and bool(run.spec.get("prune")))


def _tell(run: KustomizationRun, pruned: Pruned) -> None:
    if pruned.changes:
        text = "\n".join(f"{subject} {action}" for subject, action in pruned.changes)
        run.changes += pruned.changes
        run.tell(Event("Normal", reasons.RECONCILIATION_SUCCEEDED, text, run.revisions))


async def _await_termination(run: KustomizationRun, inventory: dict[str, str]) -> None:
    """Look for a few seconds, then let a durable timer wait on; after the timeout the object goes anyway."""
    until = run.services.clock() + run.services.settings.health_inline
    while left := await still_there(run.target, inventory, owner=run.owner):
        if _overdue(run):
            log.warning("cluster=%s object=%s not terminated in time: %s", run.cluster.name, run.ref, ", ".join(left))
            return
        if run.services.clock() >= until:
            text = f"waiting for termination of {', '.join(left[:5])} ({len(left)} in all)"
            raise Waiting(reasons.PROGRESSING, internal(text), retry_after=POLL, event=False, working=True)
        await run.rest(min(POLL, 0.5))


def _overdue(run: KustomizationRun) -> bool:
    return run.services.clock() - parse_timestamp(run.obj["metadata"]["deletionTimestamp"]) > run.timeout
