"""Which controller works on which kind: the only place that knows all of them."""

from __future__ import annotations

import logging
from typing import Any

from fluxless.api.failure import Failure, FailureClass
from fluxless.api.kinds import by_name
from fluxless.api.timestamps import format_timestamp
from fluxless.reconcile import loop
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref

log = logging.getLogger("fluxless.engine")


async def reconcile_object(
    obj: dict[str, Any], survey: Survey, services: Services
) -> tuple[Outcome, dict[str, Any] | None]:
    """One step over one object: its outcome, and its run record when it did or met anything worth keeping."""
    ref = Ref.of(obj)
    try:
        match ref.kind:
            case "GitRepository":
                from fluxless.source.git import GitRepositoryController, GitRepositoryRun

                git = GitRepositoryRun(by_name(ref.kind), obj, survey, services)
                outcome = await loop.step(GitRepositoryController(), git)
                return outcome, git.record(outcome) if git.notable(outcome) else None
            case "Kustomization":
                from fluxless.kustomize.reconciler import KustomizationController
                from fluxless.kustomize.run import KustomizationRun

                run = KustomizationRun(by_name(ref.kind), obj, survey, services)
                outcome = await loop.step(KustomizationController(), run)
                return outcome, run.record(outcome) if run.notable(outcome) else None
            case other:
                raise LookupError(f"no controller for {other}")
    except Exception as error:
        log.exception("cluster=%s object=%s step failed", survey.cluster.name, ref)
        failure = Failure(FailureClass.INTERNAL, f"unexpected {type(error).__name__}", subject=str(ref))
        record: dict[str, Any] = {**ref._asdict(), "cluster": survey.cluster.name, "result": "retry"}
        record["ts"] = format_timestamp(services.clock(), fraction=True)
        return Outcome(State.RETRY), record | {"message": failure.message, "failures": [failure.to_json()]}
