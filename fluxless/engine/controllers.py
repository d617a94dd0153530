"""Which controller works on which kind: the only place that knows all of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from fluxless import metrics
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
    ref, began = Ref.of(obj), time.monotonic()
    metrics.subject.set((survey.cluster.name, ref.kind, ref.name, ref.namespace))
    outcome, record = await _step(ref, obj, survey, services)
    _count(survey.cluster.name, ref, outcome, time.monotonic() - began)
    return outcome, record


async def _step(
    ref: Ref, obj: dict[str, Any], survey: Survey, services: Services
) -> tuple[Outcome, dict[str, Any] | None]:
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


_RESULTS = {State.RETRY: "error", State.STALLED: "success", State.GONE: "success"}
"""In the words of controller-runtime: what comes again at a given time is `requeue_after`."""


def _count(cluster: str, ref: Ref, outcome: Outcome, seconds: float) -> None:
    controller = ref.kind.lower()
    metrics.RECONCILES.add(cluster, controller, _RESULTS.get(outcome.state, "requeue_after"))
    metrics.RECONCILE_TIME.observe(seconds, cluster, controller)
    if outcome.state is State.RETRY:
        metrics.RECONCILE_ERRORS.add(cluster, controller)
    key = (cluster, ref.kind, ref.name, ref.namespace)
    if outcome.state is State.GONE:
        metrics.RECONCILE_DURATION.series.pop(key, None)
    else:
        metrics.RECONCILE_DURATION.observe(seconds, *key)
