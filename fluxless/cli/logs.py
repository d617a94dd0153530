"""`fluxless logs`: what each run did, from the store. Failures come with file, line and next step."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Console
from rich.markup import escape

from fluxless.artifacts.store import Store
from fluxless.reconcile.records import runs_prefix

DAY = 86400.0


async def read(store: Store, cluster: str, since: float) -> AsyncIterator[dict[str, Any]]:
    """Run records in order of time, from `since` (seconds since the epoch)."""
    days = int((time.time() - since) // DAY) + 1
    for back in range(days, -1, -1):
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - back * DAY))
        async for blob in store.list(runs_prefix(cluster, day)):
            if blob.modified < since:
                continue
            found = await store.get(blob.name)
            for line in (found[0].decode() if found else "").splitlines():
                yield json.loads(line)


async def show(
    store: Store, cluster: str, out: Console, *, since: float, kind: str = "", name: str = "", namespace: str = ""
) -> int:
    """Print the records that match; how many."""
    shown = 0
    async for run in read(store, cluster, since):
        if (kind and run["kind"].lower() != kind.lower()) or (name and run["name"] != name):
            continue
        if namespace and run["namespace"] != namespace:
            continue
        shown += 1
        _print(run, out)
    return shown


def _print(run: dict[str, Any], out: Console) -> None:
    colour = {"ready": "green", "waiting": "yellow", "blocked": "yellow"}.get(run["result"], "red")
    seconds = f" in {run['seconds']:.2f}s" if "seconds" in run else ""
    head = f"{run['ts']} {run['kind']}/{run['namespace']}/{run['name']}"
    out.print(f"{head} [{colour}]{run['result']}[/{colour}]{seconds} {escape(run.get('revision') or '')}")
    for change in run.get("changes", []):
        out.print(f"    {escape(change['subject'])} {change['action']}")
    for failure in run.get("failures", []):
        origin = f" (from {failure['origin']})" if failure.get("origin") else ""
        out.print(f"    [red]{failure['class']}[/red]: {escape(failure['message'])}{escape(origin)}")
        if failure.get("nextStep"):
            out.print(f"      → {escape(failure['nextStep'])}")
    if not run.get("failures") and run["result"] != "ready" and run.get("message"):
        out.print(f"    {escape(run['message'])}")
