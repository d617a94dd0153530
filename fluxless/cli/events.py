"""`fluxless events`: the events of Flux objects, as `flux events` prints them."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table

from fluxless.api.kinds import KINDS
from fluxless.api.timestamps import parse_timestamp
from fluxless.kube.client import Cluster


async def show(
    cluster: Cluster, namespace: str, out: Console, *, target: str = "", types: tuple[str, ...] = ()
) -> None:
    """Newest last. `target` is `Kind/name`, or empty for all Flux objects; an empty namespace means all."""
    found = await cluster.list(await cluster.resource("v1", "Event"), namespace)
    kinds = {kind.kind for kind in KINDS}
    wanted = tuple(target.split("/", 1)) if target else ()
    chosen = [
        event
        for event in found
        if event["involvedObject"].get("kind") in kinds
        and (not wanted or (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == wanted)
        and (not types or event.get("type") in types)
    ]
    chosen.sort(key=lambda event: event.get("lastTimestamp") or "")
    result = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in (*(["NAMESPACE"] if not namespace else []), "LAST SEEN", "TYPE", "REASON", "OBJECT"):
        result.add_column(name, no_wrap=True)
    result.add_column("MESSAGE", overflow="fold")
    for event in chosen:
        about = event["involvedObject"]
        first = [event["metadata"]["namespace"]] if not namespace else []
        result.add_row(
            *first,
            _seen(event),
            event.get("type", ""),
            event.get("reason", ""),
            f"{about['kind']}/{about['name']}",
            str(event.get("message", "")),
        )
    out.print(result)


def _seen(event: dict[str, Any]) -> str:
    """`12s`, or `12s (x3 over 5m)`."""
    now = time.time()
    last = age(now - parse_timestamp(event["lastTimestamp"])) if event.get("lastTimestamp") else ""
    count = int(event.get("count") or 1)
    if count > 1 and event.get("firstTimestamp"):
        return f"{last} (x{count} over {age(now - parse_timestamp(event['firstTimestamp']))})"
    return last


def age(seconds: float) -> str:
    """As kubectl prints ages: the two largest units, or one."""
    seconds = max(0, int(seconds))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 7200:
        return f"{seconds // 60}m{seconds % 60}s" if seconds < 600 else f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 172800 else f"{seconds // 86400}d"
