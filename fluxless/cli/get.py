"""`fluxless get`: Flux's tables of objects and their state."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from fluxless.api import conditions
from fluxless.api.kinds import Kind
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind

_LONG_HASH = re.compile(r"(sha1|sha256):([0-9a-f]{8})[0-9a-f]+")
WATCH_EVERY = 1.0


def short(revision: str) -> str:
    """`main@sha1:0123abcd`: eight digits are enough for people."""
    return _LONG_HASH.sub(r"\1:\2", revision)


def revision_of(obj: dict[str, Any]) -> str:
    """What the object has: a source's artifact, or what was applied last."""
    status = obj.get("status") or {}
    artifact, history = status.get("artifact") or {}, status.get("history") or [{}]
    return short(
        str(artifact.get("revision") or status.get("lastAppliedRevision") or history[0].get("chartVersion") or "")
    )


def row(obj: dict[str, Any]) -> list[str]:
    """REVISION, SUSPENDED, READY, MESSAGE."""
    ready = conditions.get(obj, "Ready") or {"status": "Unknown", "message": "waiting to be reconciled"}
    suspended = str(bool((obj.get("spec") or {}).get("suspend")))
    return [revision_of(obj), suspended, str(ready["status"]), short(str(ready.get("message", "")).replace("\n", " "))]


async def objects(cluster: Cluster, kind: Kind, namespace: str) -> list[dict[str, Any]]:
    """All objects of a kind, sorted; an empty namespace means all. None where the CRD is missing."""
    try:
        resource = await cluster.resource(kind.api_version, kind.kind)
    except NoSuchKind:
        return []
    found = await cluster.list(resource, namespace)
    return sorted(found, key=lambda obj: (obj["metadata"]["namespace"], obj["metadata"]["name"]))


def table(kind: Kind, found: Iterable[dict[str, Any]], *, everywhere: bool, prefixed: bool) -> Table:
    """Flux's columns, without borders."""
    result = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in (*(["NAMESPACE"] if everywhere else []), "NAME", "REVISION", "SUSPENDED", "READY"):
        result.add_column(name, no_wrap=True)
    result.add_column("MESSAGE", overflow="fold")
    for obj in found:
        name = obj["metadata"]["name"]
        first = [obj["metadata"]["namespace"]] if everywhere else []
        result.add_row(*first, f"{kind.singular}/{name}" if prefixed else name, *row(obj))
    return result


async def show(
    cluster: Cluster, kinds: list[Kind], namespace: str, out: Console, *, name: str = "", watch: bool = False
) -> bool:
    """Print one table per kind; with `watch`, again and again until interrupted. False when there was nothing."""

    async def tables() -> list[Table]:
        lists = await asyncio.gather(*(objects(cluster, kind, namespace) for kind in kinds))
        result: list[Table] = []
        for kind, found in zip(kinds, lists, strict=True):
            chosen = [obj for obj in found if not name or obj["metadata"]["name"] == name]
            if chosen:
                result.append(table(kind, chosen, everywhere=not namespace, prefixed=len(kinds) > 1))
        return result

    if watch:
        with Live(console=out, auto_refresh=False) as live:
            while True:
                grid = Table.grid()
                for each in await tables():
                    grid.add_row(each)
                live.update(grid, refresh=True)
                await asyncio.sleep(WATCH_EVERY)
    shown = await tables()
    for number, each in enumerate(shown):
        if number:
            out.print()
        out.print(each)
    return bool(shown)
