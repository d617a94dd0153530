"""Is everything as the last pass has left it? Then neither the chart nor Helm's records are read."""

from __future__ import annotations

import hashlib
import json

from fluxless.api import conditions
from fluxless.helm.book import RELEASED
from fluxless.helm.records import index
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.values import digest
from fluxless.reconcile.status import FORCE_ANNOTATION, RESET_ANNOTATION


async def recognise(run: HelmReleaseRun) -> None:
    """Set `run.settled`. Sets no condition."""
    known = run.status.fields
    asked = run.asked(FORCE_ANNOTATION, "lastHandledForceAt") or run.asked(RESET_ANNOTATION, "lastHandledResetAt")
    released = conditions.is_true(run.obj, RELEASED) and known.get("history")
    if not run.memory.settled or not run.memory.over or asked or not released:
        return
    if known.get("lastAttemptedGeneration") != run.generation or known.get("observedGeneration") != run.generation:
        return
    stamp = await index(run).stamp(run.storage_namespace, run.release_name)
    run.settled = bool(stamp) and run.memory.settled == inputs(run, stamp)
    if run.settled:
        run.revision = str(known.get("lastAttemptedRevision") or "")


def inputs(run: HelmReleaseRun, stamp: str) -> str:
    """A digest of everything that decides what is to be done; `stamp` is that of Helm's newest record."""
    last = run.history[0]
    said = [run.generation, run.artifact.get("digest"), run.artifact.get("revision"), digest(run.values)]
    said += [stamp, last["digest"], last["status"], run.obj["metadata"]["uid"]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
