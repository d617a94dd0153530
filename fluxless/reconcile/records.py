"""Documents that the engine keeps in the store, and where: run records, applied records, the schedule, the heartbeat.

Run records are the full story of what a step did (`fluxless logs`); conditions and events hold the short form.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from fluxless.artifacts.store import Store
from fluxless.reconcile.world import Ref

HEARTBEAT = "state/heartbeat.json"
"""The blob that tells when the timer last ran, as `{"at": seconds since the epoch}`."""


def schedule_name(cluster: str) -> str:
    """The blob of a cluster's schedule."""
    return f"state/{cluster}/schedule.json"


def applied_name(cluster: str, ref: Ref) -> str:
    """The blob of what one object last applied."""
    return f"state/{cluster}/applied/{ref.kind.lower()}/{ref.namespace}/{ref.name}.json"


def drift_name(cluster: str, ref: Ref) -> str:
    """The blob with the history of one object's drift."""
    return f"{drift_prefix(cluster)}{ref.kind.lower()}/{ref.namespace}/{ref.name}.json"


def drift_prefix(cluster: str) -> str:
    """The folder of a cluster's histories of drift."""
    return f"state/{cluster}/drift/"


def runs_prefix(cluster: str, day: str = "") -> str:
    """The folder of a cluster's run records, of one day (`YYYY-MM-DD`) when given."""
    return f"runs/{cluster}/{day}/" if day else f"runs/{cluster}/"


async def write_runs(store: Store, cluster: str, runs: list[dict[str, Any]], now: float) -> str:
    """Keep the runs of one batch as JSON lines; returns the name of the blob, or "" when there are none."""
    if not runs:
        return ""
    moment = time.gmtime(now)
    day, clock = time.strftime("%Y-%m-%d", moment), time.strftime("%H%M%S", moment)
    name = f"{runs_prefix(cluster, day)}{clock}.{int(now * 1000) % 1000:03d}-{secrets.token_hex(4)}.jsonl"
    lines = (json.dumps(run, separators=(",", ":"), ensure_ascii=False) for run in runs)
    await store.put(name, ("\n".join(lines) + "\n").encode())
    return name


async def read_json(store: Store, name: str) -> tuple[dict[str, Any], str | None]:
    """A document and its ETag; an empty one and None when it is absent or cannot be read as JSON."""
    found = await store.get(name)
    if found is None:
        return {}, None
    data, etag = found
    try:
        document = json.loads(data)
    except ValueError:
        return {}, etag
    return (document if isinstance(document, dict) else {}), etag


async def write_json(
    store: Store, name: str, document: dict[str, Any], *, if_match: str | None = None, only_if_absent: bool = False
) -> str:
    """Write a document and return its ETag. Raises `PreconditionFailed` as `Store.put` does."""
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return await store.put(name, data, if_match=if_match, only_if_absent=only_if_absent)
