"""Flux objects as an API server would return them, for tests of pure code."""

from __future__ import annotations

from typing import Any

from fluxless.reconcile.world import Ref, World


def flux(
    kind: str,
    name: str,
    spec: dict[str, Any] | None = None,
    *,
    ready: str | None = "True",
    message: str = "",
    generation: int = 1,
    observed: int | None = None,
    revision: str = "",
    requested: str = "",
    handled: str = "",
    namespace: str = "apps",
) -> dict[str, Any]:
    """An object with a Ready condition (None: no status at all)."""
    obj: dict[str, Any] = {
        "apiVersion": "test/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "generation": generation,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
        },
        "spec": spec or {},
    }
    if requested:
        obj["metadata"]["annotations"] = {"reconcile.fluxcd.io/requestedAt": requested}
    if ready is not None:
        obj["status"] = {
            "observedGeneration": generation if observed is None else observed,
            "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": message}],
        }
        if revision:
            obj["status"]["lastAppliedRevision"] = revision
        if handled:
            obj["status"]["lastHandledReconcileAt"] = handled
    return obj


def source(name: str = "repo", revision: str | None = "main@sha1:1", **more: Any) -> dict[str, Any]:
    """A GitRepository with an artifact (None: without one)."""
    obj = flux("GitRepository", name, **more)
    if revision is not None:
        obj.setdefault("status", {})["artifact"] = {"revision": revision, "digest": f"sha256:{revision}"}
    return obj


def kustomization(name: str, *needs: str, of: str = "repo", **more: Any) -> dict[str, Any]:
    """A Kustomization over a source, with dependencies by name."""
    spec: dict[str, Any] = {"sourceRef": {"kind": "GitRepository", "name": of}} if of else {}
    if needs:
        spec["dependsOn"] = [{"name": need} for need in needs]
    more.setdefault("revision", "main@sha1:1")
    return flux("Kustomization", name, spec, **more)


def release(name: str, *, of: str = "repo", force: str = "", **more: Any) -> dict[str, Any]:
    """A HelmRelease of the chart in a source that is always there; `force` is a request by annotation."""
    obj = flux("HelmRelease", name, {"chartRef": {"kind": "OCIRepository", "name": of}}, **more)
    if force:
        obj["metadata"]["annotations"]["reconcile.fluxcd.io/forceAt"] = force
    return obj


def world(*objects: dict[str, Any], at: float = 1000.0) -> World:
    """A world of these objects."""
    return World({Ref.of(obj): obj for obj in objects}, at)
