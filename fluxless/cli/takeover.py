"""A cluster changes over from Flux's controllers and back: `fluxless install --take-over`, `fluxless give-back`.

Two engines over one cluster would take turns at every status, so Flux's controllers are scaled to zero before anything
else, and scaled up again when what follows fails. The objects stay as they are: the app goes on from their statuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable
from typing import Any

from rich.console import Console

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.kinds import KINDS, SOURCE_KINDS
from fluxless.apply.many import each
from fluxless.cli.install import definitions, install
from fluxless.cli.session import wrong
from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem, NoSuchKind

PART_OF_FLUX = "app.kubernetes.io/part-of=flux"
COMPONENT = "app.kubernetes.io/component"
REPLICAS = "fluxless.dev/replicas"
"""Annotation on a stopped controller: how many replicas it had."""
HANDS_OFF = "kustomize.toolkit.fluxcd.io/reconcile"
"""A Kustomization made by `flux bootstrap` holds the controllers themselves, and Flux's definitions: it must not bring
them back (KC-83).
"""
OURS = frozenset(kind.component for kind in KINDS if kind.built)
"""The controllers whose work is done here."""
POLL = 0.5
_KEEPERS = {
    ("fluxcd.controlplane.io/v1", "FluxInstance"): "annotate it with fluxcd.controlplane.io/reconcile=disabled, or "
    "delete it and keep its CRDs",
    ("clusterconfig.azure.com/v1beta1", "FluxConfig"): "delete the flux configurations and the extension microsoft.flux"
    " of the cluster first: docs/migrating.md says in which order",
}
"""Whoever would scale the controllers up again, and what to do about it."""

Obj = dict[str, Any]


class ControllersRun(Problem):
    """Flux's controllers are at work in the cluster."""

    def __init__(self, deployments: Iterable[Obj]) -> None:
        names = ", ".join(_name(deployment) for deployment in deployments)
        text = f"Flux's controllers run in this cluster ({names}): both would reconcile the same objects"
        step = "scale them to zero, or let `fluxless install --take-over` do it; docs/migrating.md"
        super().__init__(Failure(FailureClass.CONFLICT, text, next_step=step))


async def guarded_install(cluster: Cluster) -> list[str]:
    """Install where no controller of Flux is at work. Raises `ControllersRun` or another `Problem`."""
    found = [deployment for deployment in await _controllers(cluster) if _replicas(deployment)]
    if found:
        raise ControllersRun(found)
    return await install(cluster)


async def take_over(cluster: Cluster, out: Console, *, leave_behind: bool, timeout: float) -> list[str]:
    """Scale the controllers to zero, then install. Raises `Problem`; the controllers then run as before.

    With `leave_behind`, objects of kinds that are not reconciled here may stay behind, at a standstill.
    """
    await _refuse_keepers(cluster)
    found = [deployment for deployment in await _controllers(cluster) if _replicas(deployment)]
    if not leave_behind:
        await _refuse_left_behind(cluster, {_component(deployment) for deployment in found})
    before = await _definitions_as_they_are(cluster)
    try:
        for deployment in found:
            await _patch(cluster, deployment, str(_replicas(deployment)), "disabled", 0)
            out.print(f"► scaling {_name(deployment)} to zero")
        async with asyncio.timeout(timeout):
            for deployment in found:
                await _await_replicas(cluster, deployment, 0)
        names = await install(cluster)
        for name in names:
            await _annotate_definition(cluster, name, "disabled")
    except (Problem, TimeoutError, asyncio.CancelledError):
        out.print("[yellow]![/yellow] that failed: everything is put back")
        await asyncio.shield(_undo(cluster, out, found, before))
        raise
    for deployment in found:
        out.print(f"[green]✔[/green] {_name(deployment)} has stopped; `fluxless give-back` starts it again")
    return names


async def give_back(cluster: Cluster, out: Console, *, timeout: float) -> list[str]:
    """Start the controllers that a takeover has stopped, and leave the definitions to Flux again; their names.

    Raises `Problem` when there are none.
    """
    stopped = [deployment for deployment in await _controllers(cluster) if REPLICAS in _notes(deployment)]
    if not stopped:
        raise wrong("no controller was stopped by a takeover here", "start Flux's controllers with `flux install`")
    for name in definitions():
        await _annotate_definition(cluster, name, None)
    await forget_artifacts(cluster)
    for deployment in stopped:
        wanted = int(_notes(deployment)[REPLICAS])
        out.print(f"► scaling {_name(deployment)} to {wanted}")
        await _patch(cluster, deployment, None, None, wanted)
    async with asyncio.timeout(timeout):
        for deployment in stopped:
            await _await_replicas(cluster, deployment, int(_notes(deployment)[REPLICAS]))
            out.print(f"[green]✔[/green] {_name(deployment)} is ready")
    return [_name(deployment) for deployment in stopped]


async def forget_artifacts(cluster: Cluster, namespace: str = "") -> None:
    """Take our artifacts out of the statuses of sources: the controllers could not fetch them, and would try for long.

    They make artifacts of their own; consumers that have applied the revision already do nothing about it.
    """
    for kind in (kind for kind in KINDS if kind.built and kind.kind in SOURCE_KINDS):
        resource = await cluster.resource(kind.api_version, kind.kind)
        for obj in await cluster.list(resource, namespace):
            if (obj.get("status") or {}).get("artifact"):
                metadata, body = obj["metadata"], {"status": {"artifact": None}}
                await cluster.patch(resource, metadata["name"], metadata["namespace"], body=body, subresource="status")


async def _controllers(cluster: Cluster) -> list[Obj]:
    """The Deployments of Flux's controllers whose work is done here."""
    found = await cluster.list(await cluster.resource("apps/v1", "Deployment"), labels=PART_OF_FLUX)
    return [deployment for deployment in found if _component(deployment) in OURS]


async def _refuse_keepers(cluster: Cluster) -> None:
    for (api_version, kind), step in _KEEPERS.items():
        try:
            found = await cluster.list(await cluster.resource(api_version, kind))
        except NoSuchKind:
            continue
        if found:
            text = f"{kind}/{found[0]['metadata']['name']} would start Flux's controllers again"
            raise Problem(Failure(FailureClass.CONFLICT, text, next_step=step))


async def _refuse_left_behind(cluster: Cluster, components: Collection[str]) -> None:
    left: list[str] = []
    for kind in (kind for kind in KINDS if kind.component in components and not kind.built):
        try:
            found = await cluster.list(await cluster.resource(kind.api_version, kind.kind))
        except NoSuchKind:
            continue
        if found:
            left.append(f"{len(found)} {kind.kind}")
    if left:
        text = f"this version of Fluxless does not reconcile {'; '.join(left)}: they would come to a standstill"
        step = "keep Flux for this cluster until it does, or give --leave-behind"
        raise Problem(Failure(FailureClass.CONFLICT, text, next_step=step))


async def _definitions_as_they_are(cluster: Cluster) -> dict[str, Obj | None]:
    resource = await cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    names = list(definitions())
    return dict(zip(names, await each(lambda name: cluster.get(resource, name), names), strict=True))


async def _undo(cluster: Cluster, out: Console, stopped: Iterable[Obj], before: dict[str, Obj | None]) -> None:
    """Definitions first: the controllers need them. What cannot be put back is told, and hides no other error."""
    for name, known in before.items():
        if known is not None:
            await _attempt(_restore(cluster, known), name, out)
    for deployment in stopped:
        await _attempt(_patch(cluster, deployment, None, None, _replicas(deployment)), _name(deployment), out)


async def _restore(cluster: Cluster, known: Obj) -> None:
    resource = await cluster.resource(known["apiVersion"], known["kind"])
    live = await cluster.get(resource, known["metadata"]["name"])
    if live is not None and live["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
        metadata = known["metadata"] | {"resourceVersion": live["metadata"]["resourceVersion"]}
        body = {**known, "metadata": metadata}
        await cluster.request("PUT", resource.path(name=metadata["name"]), body=body)


async def _attempt(work: Awaitable[None], name: str, out: Console) -> None:
    try:
        await work
    except ApiProblem as problem:
        out.print(f"[red]✗[/red] {name} could not be put back: {problem}")


async def _annotate_definition(cluster: Cluster, name: str, value: str | None) -> None:
    resource = await cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    await cluster.patch(resource, name, body={"metadata": {"annotations": {HANDS_OFF: value}}})


async def _patch(cluster: Cluster, deployment: Obj, known: str | None, hands_off: str | None, replicas: int) -> None:
    body = {"metadata": {"annotations": {REPLICAS: known, HANDS_OFF: hands_off}}, "spec": {"replicas": replicas}}
    metadata = deployment["metadata"]
    resource = await cluster.resource("apps/v1", "Deployment")
    await cluster.patch(resource, metadata["name"], metadata["namespace"], body=body)


async def _await_replicas(cluster: Cluster, deployment: Obj, wanted: int) -> None:
    """Until that many pods are ready, or until all of them are gone."""
    metadata, resource = deployment["metadata"], await cluster.resource("apps/v1", "Deployment")
    while True:
        try:
            live = await cluster.get(resource, metadata["name"], metadata["namespace"])
        except ApiProblem:
            live = {}  # it is asked again until the time is over
        status = (live or {}).get("status") or {}
        current = status.get("observedGeneration") == (live or {}).get("metadata", {}).get("generation")
        if live is None or (current and status.get("readyReplicas" if wanted else "replicas", 0) == wanted):
            return
        await asyncio.sleep(POLL)


def _replicas(deployment: Obj) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _notes(deployment: Obj) -> dict[str, str]:
    return deployment["metadata"].get("annotations") or {}


def _component(deployment: Obj) -> str:
    return str((deployment["metadata"].get("labels") or {}).get(COMPONENT) or deployment["metadata"]["name"])


def _name(deployment: Obj) -> str:
    return f"{deployment['metadata']['namespace']}/{deployment['metadata']['name']}"
