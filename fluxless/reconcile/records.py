"""Documents that the engine keeps in the store, and where: run records, applied records, the schedule, the heartbeat.

Run records are the full story of what a step did (`fluxless logs`); conditions and events hold the short form.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from fluxless.artifacts.store import Store
from fluxless.kept import mapping, number
from fluxless.reconcile.world import Ref

log = logging.getLogger("fluxless.reconcile")
T = TypeVar("T")

HEARTBEAT = "state/heartbeat.json"
"""The blob that tells when the timer last ran, as `{"at": seconds since the epoch}`."""


def heartbeat(document: dict[str, Any]) -> tuple[float, float]:
    """When the timer last ran (minus infinity for never) and when it last tidied up. Raises `Malformed`."""
    if not document:
        return float("-inf"), 0.0
    return number(document.get("at")), number(document.get("tidied", 0))


def schedule_name(cluster: str) -> str:
    """The blob of a cluster's schedule."""
    return f"state/{cluster}/schedule.json"


DIRECTORIES = "index/"
"""The folder of what webhooks find objects by, a document for each cluster."""


def directory_name(cluster: str) -> str:
    """The blob of a cluster's directory."""
    return f"{DIRECTORIES}{cluster}.json"


def away_name(cluster: str) -> str:
    """The blob that is there while a cluster does not answer."""
    return f"{DIRECTORIES}{cluster}.away"


def wake_name(cluster: str) -> str:
    """The blob in which workers agree on who wakes a cluster's loop."""
    return f"state/{cluster}/wake.json"


def work_prefix(cluster: str) -> str:
    """The folder in which workers say that they are at work on a cluster, each by a blob of its name."""
    return f"work/{cluster}/"


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


async def read_state(store: Store, name: str, read: Callable[[dict[str, Any]], T]) -> tuple[T, str | None]:
    """What a document says by `read`, and its ETag (None when there is no document).

    State is data, not truth: one that is malformed or of a newer release counts as lost, which the log tells once. Then
    and where there is none, the answer is `read({})`. Raises `StoreUnavailable`.
    """
    found = await store.get(name)
    if found is None:
        return read({}), None
    data, etag = found
    try:
        return read(mapping(json.loads(data))), etag
    except (ValueError, RecursionError) as error:
        _tell_lost(name, etag, error)
        return read({}), etag


_told: OrderedDict[str, str] = OrderedDict()
TOLD = 1000
"""Lost documents that a worker remembers to have told of."""


def _tell_lost(name: str, etag: str, error: Exception) -> None:
    """Once for every content: whoever reads it again and again says nothing new."""
    if _told.get(name) == etag:
        return
    _told[name] = etag
    while len(_told) > TOLD:
        _told.popitem(last=False)
    words = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
    log.error("alert=state-lost blob=%s counts as lost and is made anew: %s", name, words)


async def write_json(
    store: Store, name: str, document: dict[str, Any], *, if_match: str | None = None, only_if_absent: bool = False
) -> str:
    """Write a document and return its ETag. Raises `PreconditionFailed` as `Store.put` does."""
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return await store.put(name, data, if_match=if_match, only_if_absent=only_if_absent)
