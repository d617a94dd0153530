"""Deletes what nobody reads any more, so that the container does not grow for ever. The heartbeat calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from fluxless.artifacts.store import Store
from fluxless.engine.hooks import DELIVERIES
from fluxless.reconcile.records import runs_prefix

EVERY = 3600.0
"""Seconds between two rounds."""
RUNS_KEPT = 14 * 86400.0
DELIVERIES_KEPT = 7 * 86400.0
"""Seconds; GitHub lets a delivery be sent again for three days."""
AT_MOST = 2000
"""Blobs of one kind that one round deletes: the timer has other things to do."""


async def tidy(store: Store, clusters: Iterable[str], now: float) -> int:
    """Delete old run records and notes of deliveries; how many. Raises `StoreUnavailable`."""
    deleted = await _delete(store, DELIVERIES, now - DELIVERIES_KEPT, in_order=False)
    for cluster in clusters:
        deleted += await _delete(store, runs_prefix(cluster), now - RUNS_KEPT, in_order=True)
    return deleted


async def _delete(store: Store, prefix: str, before: float, *, in_order: bool) -> int:
    """Blobs older than `before`; where names are in order of time, the first recent one ends the search."""
    old: list[str] = []
    async for blob in store.list(prefix):
        if blob.modified < before:
            old.append(blob.name)
        elif in_order:
            break
        if len(old) >= AT_MOST:
            break
    await asyncio.gather(*(store.delete(name) for name in old))
    return len(old)
