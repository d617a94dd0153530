"""`fluxless reconcile`, `suspend` and `resume`: annotate or patch objects as `flux` does, then wait for the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.console import Console

from fluxless.api import conditions
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.kinds import Kind, by_name
from fluxless.api.timestamps import format_timestamp
from fluxless.cli.get import revision_of
from fluxless.cli.session import Session, wrong
from fluxless.kube.client import Cluster
from fluxless.reconcile.dependencies import chart_of, source_of
from fluxless.reconcile.status import RECONCILE_ANNOTATION

POLL = 0.3
MANAGER = "flux-client-side-apply"


async def find(cluster: Cluster, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
    """The object. Raises `Problem` that names what is missing."""
    resource = await cluster.resource(kind.api_version, kind.kind)
    found = await cluster.get(resource, name, namespace)
    if found is None:
        raise wrong(f"{kind.kind} {name} not found in namespace {namespace}", "give the namespace with -n")
    return found


async def reconcile(
    cluster: Cluster,
    session: Session,
    kind: Kind,
    name: str,
    out: Console,
    *,
    now: float,
    with_source: bool = False,
    also: tuple[str, ...] = (),
) -> None:
    """Ask for a reconciliation and wait until it is done; `also` are annotations that get the same token. Raises
    `Problem` when it ends badly.
    """
    obj = await find(cluster, kind, session.namespace, name)
    if (obj.get("spec") or {}).get("suspend"):
        raise wrong(f"{kind.kind} {name} is suspended", "resume it first")
    source = chart_of(obj) or source_of(obj)
    if with_source and source is not None:
        inner = Session(**{field: getattr(session, field) for field in Session.__slots__})
        inner.namespace = source.namespace
        deeper = source.kind == "HelmChart"
        await reconcile(cluster, inner, by_name(source.kind), source.name, out, now=now, with_source=deeper)
    out.print(f"► annotating {kind.kind} {name} in {session.namespace} namespace")
    token = format_timestamp(now, fraction=True)
    await patch(cluster, kind, obj, {"metadata": {"annotations": dict.fromkeys((RECONCILE_ANNOTATION, *also), token)}})
    out.print(f"[green]✔[/green] {kind.kind} annotated")
    await wake(session, out)
    out.print(f"◎ waiting for {kind.kind} reconciliation")
    done = await wait(cluster, kind, session, name, token)
    report(kind, done, out)


async def patch(cluster: Cluster, kind: Kind, obj: dict[str, Any], body: dict[str, Any]) -> None:
    """Merge into the object."""
    resource = await cluster.resource(kind.api_version, kind.kind)
    metadata = obj["metadata"]
    await cluster.patch(resource, metadata["name"], metadata["namespace"], body=body, manager=MANAGER)


async def wait(cluster: Cluster, kind: Kind, session: Session, name: str, token: str = "") -> dict[str, Any]:
    """Until the request is handled and the object is ready or has failed. Raises TimeoutError."""
    async with asyncio.timeout(session.timeout):
        while True:
            obj = await find(cluster, kind, session.namespace, name)
            status = obj.get("status") or {}
            handled = not token or status.get("lastHandledReconcileAt") == token
            ready = conditions.get(obj, "Ready") or {"status": "Unknown"}
            current = ready.get("observedGeneration", 0) >= obj["metadata"]["generation"]
            if handled and current and ready["status"] != "Unknown":
                return obj
            await asyncio.sleep(POLL)


def report(kind: Kind, obj: dict[str, Any], out: Console) -> None:
    """The revision, or the reason why not. Raises `Problem`."""
    ready = conditions.get(obj, "Ready") or {}
    if ready.get("status") != "True":
        text = f"{kind.kind} reconciliation failed: {ready.get('message', '')}"
        raise Problem(Failure(FailureClass.INTERNAL, text))
    status = obj.get("status") or {}
    verb = "applied" if status.get("lastAppliedRevision") or status.get("history") else "fetched"
    out.print(f"[green]✔[/green] {verb} revision {revision_of(obj)}")


async def set_suspended(
    cluster: Cluster, session: Session, kind: Kind, name: str, suspended: bool, out: Console
) -> None:
    """Suspend, or resume and wait until it is ready again."""
    obj = await find(cluster, kind, session.namespace, name)
    verb = "suspending" if suspended else "resuming"
    out.print(f"► {verb} {kind.kind.lower()} {name} in {session.namespace} namespace")
    await patch(cluster, kind, obj, {"spec": {"suspend": suspended}})
    out.print(f"[green]✔[/green] {kind.kind.lower()} {'suspended' if suspended else 'resumed'}")
    if not suspended:
        await wake(session, out)
        out.print(f"◎ waiting for {kind.kind} reconciliation")
        report(kind, await wait(cluster, kind, session, name), out)


async def delete(
    cluster: Cluster,
    session: Session,
    kind: Kind,
    name: str,
    out: Console,
    *,
    sure: Callable[[str], bool] | None,
) -> None:
    """Delete; `sure` is asked before, unless it is None. What becomes of its objects is the app's business."""
    obj = await find(cluster, kind, session.namespace, name)
    if sure is not None and not await asyncio.to_thread(sure, f"Are you sure you want to delete this {kind.singular}"):
        raise wrong("aborting", "confirm it, or give --silent")
    out.print(f"► deleting {kind.singular} {name} in {session.namespace} namespace")
    resource = await cluster.resource(kind.api_version, kind.kind)
    await cluster.delete(resource, name, session.namespace, uid=obj["metadata"]["uid"])
    out.print(f"[green]✔[/green] {kind.singular} deleted")
    if obj["metadata"].get("finalizers"):
        await wake(session, out)


async def wake(session: Session, out: Console) -> None:
    """Tell the app when we know where it is; otherwise its timer finds the request."""
    if not session.functions_url:
        out.print("  (no --functions-url: the app's timer will see it within half a minute)")
        return
    import aiohttp

    headers = {"x-functions-key": session.functions_key}
    url = f"{session.functions_url.rstrip('/')}/api/sync"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
            http.post(url, headers=headers) as answer,
        ):
            if answer.status == 202:
                return
            words = f"{answer.status} {answer.reason}"
    except (aiohttp.ClientError, TimeoutError) as error:
        words = str(error) or "no answer"
    out.print(f"  (the app was not woken: {words}; its timer will see it)")
