"""`fluxless check`: are the CRDs there, does the app live, and does every status hold what it must?"""

from __future__ import annotations

import asyncio
import math
import time

from rich.console import Console

from fluxless.api.failure import Problem
from fluxless.api.kinds import KINDS
from fluxless.cli.get import objects
from fluxless.cli.session import Session
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind
from fluxless.reconcile.invariants import violations
from fluxless.reconcile.records import HEARTBEAT, heartbeat, read_state

OVERDUE = 120.0
"""Seconds without a heartbeat after which the timer counts as dead."""


async def check(cluster: Cluster, session: Session, out: Console) -> bool:
    """Print one line per finding; whether all is well. Raises `Problem` when the cluster does not answer."""
    version = await cluster.request("GET", "/version")
    out.print(f"[green]✔[/green] Kubernetes {version.get('gitVersion')}")
    results = [await _crds(cluster, out), await _heartbeat(session, out), await _statuses(cluster, out)]
    out.print("[green]✔[/green] all checks passed" if all(results) else "[red]✗[/red] some checks failed")
    return all(results)


async def versions(cluster: Cluster, out: Console) -> None:
    """Print the served API versions of every kind that is built."""
    for kind in (kind for kind in KINDS if kind.built):
        served: list[str] = []
        for version in kind.versions:
            try:
                await cluster.resource(f"{kind.group}/{version}", kind.kind)
            except NoSuchKind:
                continue
            served.append(version)
        out.print(f"{kind.kind}: {', '.join(served) or 'not installed'}")


async def _crds(cluster: Cluster, out: Console) -> bool:
    missing: list[str] = []
    for kind in (kind for kind in KINDS if kind.built):
        try:
            await cluster.resource(kind.api_version, kind.kind)
        except NoSuchKind:
            missing.append(kind.crd_name)
    if missing:
        out.print(f"[red]✗[/red] CRDs are missing: {', '.join(missing)}: run `fluxless install`")
    else:
        out.print("[green]✔[/green] CRDs are installed")
    return not missing


async def _heartbeat(session: Session, out: Console) -> bool:
    try:
        store = session.store()
    except Problem:
        out.print("- heartbeat not checked: give --blob-account-url or --blob-connection")
        return True
    try:
        (at, _), _ = await read_state(store, HEARTBEAT, heartbeat)
    finally:
        await store.close()
    silent = time.time() - at
    if silent > OVERDUE:
        words = f"{silent:.0f} s ago" if math.isfinite(silent) else "never"
        out.print(f"[red]✗[/red] the app's timer last ran {words}: look at the function app")
        return False
    out.print(f"[green]✔[/green] the app's timer ran {silent:.0f} s ago")
    return True


async def _statuses(cluster: Cluster, out: Console) -> bool:
    kinds = [kind for kind in KINDS if kind.built]
    lists = await asyncio.gather(*(objects(cluster, kind, "") for kind in kinds))
    found = [(obj, text) for items in lists for obj in items for text in violations(obj)]
    for obj, text in found:
        metadata = obj["metadata"]
        out.print(f"[red]✗[/red] {obj['kind']}/{metadata['namespace']}/{metadata['name']}: {text}")
    if not found:
        out.print(f"[green]✔[/green] {sum(map(len, lists))} status(es) hold all invariants")
    return not found
