"""From a source to objects: the phases that find the artifact, fetch it and build it (KC-60..74).

They change nothing in any cluster, so that a step may use them to look at what another Kustomization would apply.
"""

from __future__ import annotations

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.kustomize.build import build
from fluxless.kustomize.problems import PathProblem
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.dependencies import artifact_of, source_of
from fluxless.reconcile.errors import Stalled, Transient, Waiting, internal
from fluxless.reconcile.waiting import wait_for_others


async def resolve_source(run: KustomizationRun) -> None:
    """Find the artifact to apply (KC-60). Ready=False ArtifactFailed while there is none."""
    source = source_of(run.obj)
    if source is None:
        raise Stalled(reasons.ARTIFACT_FAILED, internal("spec.sourceRef is missing"))
    if run.services.settings.no_cross_namespace_refs and source.namespace != run.ref.namespace:
        text = f"can't access '{source}', cross-namespace references have been blocked"
        raise Stalled(reasons.ACCESS_DENIED, Failure(FailureClass.FORBIDDEN, text, str(run.ref)))
    artifact = artifact_of(run.survey.world.get(source))
    if artifact is None:
        wait_for_others(run)
    else:
        run.artifact, run.revision = artifact, str(artifact.get("revision", ""))


async def check_dependencies(run: KustomizationRun) -> None:
    """Ready=False DependencyNotReady until every dependency is ready (KC-62); a cycle is an error at once.

    From here on the revision counts as attempted (KC-41).
    """
    wait_for_others(run)
    run.status.set(lastAttemptedRevision=run.revision)


async def fetch(run: KustomizationRun) -> None:
    """Have the artifact on this worker (KC-63). Waits when its blob is gone: the source will make it anew."""
    if run.settled:
        return
    run.say("Fetching manifests")
    run.tree = await run.services.artifacts.tree(run.artifact)
    if run.tree is None:
        text = "Source is not ready, artifact not found, retrying in 30s"
        raise Waiting(
            reasons.ARTIFACT_FAILED,
            Failure(FailureClass.SOURCE_NOT_FOUND, text, str(run.ref)),
            retry_after=run.services.settings.requeue_dependency,
            event=False,
        )


async def render(run: KustomizationRun) -> None:
    """Build and substitute (KC-64..74). Ready=False BuildFailed."""
    if run.tree is None:
        return
    run.say("Building manifests")
    try:
        run.build = await build(
            run.tree,
            run.artifact["digest"],
            run.spec,
            run.variables,
            decryption=run.decryption,
            remote_bases=run.services.settings.remote_bases,
            timeout=run.timeout,
        )
    except PathProblem as problem:
        run.status.set(lastAttemptedRevision=(run.obj.get("status") or {}).get("lastAttemptedRevision"))
        raise Transient(reasons.ARTIFACT_FAILED, problem.failures) from problem
    except Problem as problem:
        raise Transient(reasons.BUILD_FAILED, problem.failures) from problem
