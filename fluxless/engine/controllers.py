"""Which controller works on which kind: the only place that knows all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
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


def _controller(kind: str) -> tuple[Callable[..., Any], Any]:
    """The state and the controller of a kind; imported on first use (cold start is a feature)."""
    match kind:
        case "GitRepository":
            from fluxless.source.git import GitRepositoryController, GitRepositoryRun

            return GitRepositoryRun, GitRepositoryController()
        case "OCIRepository":
            from fluxless.source.oci import OCIRepositoryController, OCIRepositoryRun

            return OCIRepositoryRun, OCIRepositoryController()
        case "Bucket":
            from fluxless.source.bucket import BucketController, BucketRun

            return BucketRun, BucketController()
        case "HelmRepository":
            from fluxless.source.helm_repository import HelmRepositoryController, HelmRepositoryRun

            return HelmRepositoryRun, HelmRepositoryController()
        case "HelmChart":
            from fluxless.source.helm_chart import HelmChartController, HelmChartRun

            return HelmChartRun, HelmChartController()
        case "ArtifactGenerator":
            from fluxless.source.generator import ArtifactGeneratorController, ArtifactGeneratorRun

            return ArtifactGeneratorRun, ArtifactGeneratorController()
        case "Kustomization":
            from fluxless.kustomize.reconciler import KustomizationController
            from fluxless.kustomize.run import KustomizationRun

            return KustomizationRun, KustomizationController()
        case "HelmRelease":
            from fluxless.helm.reconciler import HelmReleaseController
            from fluxless.helm.run import HelmReleaseRun

            return HelmReleaseRun, HelmReleaseController()
        case "Receiver":
            from fluxless.notification.receiver import ReceiverController, ReceiverRun

            return ReceiverRun, ReceiverController()
        case other:
            raise LookupError(f"no controller for {other}")


async def reconcile_object(
    obj: dict[str, Any], survey: Survey, services: Services
) -> tuple[Outcome, dict[str, Any] | None]:
    """One step over one object: its outcome, and its run record when it did or met anything worth keeping."""
    ref = Ref.of(obj)
    try:
        make, controller = _controller(ref.kind)
        run = make(by_name(ref.kind), obj, survey, services)
        outcome = await loop.step(controller, run)
        return outcome, run.record(outcome) if run.notable(outcome) else None
    except Exception as error:
        log.exception("cluster=%s object=%s step failed", survey.cluster.name, ref)
        failure = Failure(FailureClass.INTERNAL, f"unexpected {type(error).__name__}", subject=str(ref))
        record: dict[str, Any] = {**ref._asdict(), "cluster": survey.cluster.name, "result": "retry"}
        record["ts"] = format_timestamp(services.clock(), fraction=True)
        return Outcome(State.RETRY), record | {"message": failure.message, "failures": [failure.to_json()]}
