"""Deletes what nobody reads any more, so that the container does not grow for ever. The heartbeat calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from fluxless.artifacts.store import Store
from fluxless.reconcile.records import runs_prefix

EVERY = 3600.0
"""Seconds between two rounds."""
RUNS_KEPT = 14 * 86400.0
"""Seconds."""
AT_MOST = 2000
"""Blobs of one cluster that one round deletes: the timer has other things to do."""


async def tidy(store: Store, clusters: Iterable[str], now: float) -> int:
    """Delete old run records; how many. Raises `StoreUnavailable`."""
    return sum([await _delete(store, runs_prefix(cluster), now - RUNS_KEPT) for cluster in clusters])


async def _delete(store: Store, prefix: str, before: float) -> int:
    """Blobs older than `before`; names are in order of time, so the first recent one ends the search."""
    old: list[str] = []
    async for blob in store.list(prefix):
        if blob.modified >= before or len(old) >= AT_MOST:
            break
        old.append(blob.name)
    await asyncio.gather(*(store.delete(name) for name in old))
    return len(old)
