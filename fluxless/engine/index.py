"""The directories of all clusters in the store: plans write them, webhooks read them, whichever worker each runs in.

A webhook lists them, and the marks of clusters that are away: one request, however many clusters there are. It reads
those that have changed since it read them last. None is missed between two plans: a plan writes its directory before it
starts anything, so what stands in no directory yet is fetched for the first time after that, and finds what the webhook
was about.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from fluxless.artifacts.store import Store, Stored
from fluxless.engine.coalesce import Coalescer
from fluxless.engine.directory import Directory, from_json
from fluxless.engine.reach import Away
from fluxless.engine.schedule import Schedule
from fluxless.limits import DIRECTORY
from fluxless.reconcile import records
from fluxless.reconcile.world import World

log = logging.getLogger("fluxless.engine")
T = TypeVar("T")
LISTED_EVERY = 0.25
"""Seconds between two lists of a worker: anybody may send to any path."""
READ_AT_ONCE = 24
"""Directories that a worker reads at the same time."""


async def tell_away(store: Store, name: str, away: Away) -> None:
    """Tell webhooks that a cluster is left alone. Raises `StoreUnavailable`."""
    await records.write_json(store, records.away_name(name), {"away": away.to_json()})


async def keep(store: Store, name: str, world: World, schedule: Schedule, *, anew: bool) -> None:
    """Write the directory of a world, unless the schedule says that it stands there already, and note it there.

    Raises `PreconditionFailed` when another plan has written meanwhile; `anew` writes over whatever is there.
    """
    data = json.dumps(Directory.of(world).to_json(), separators=(",", ":")).encode()
    too_large = len(data) > DIRECTORY
    digest = hashlib.sha256(data).hexdigest()[:32]
    written, _, etag = schedule.index.partition(" ")
    if written == digest and not anew:
        return
    if too_large:
        log.error("cluster=%s alert=directory-too-large webhooks ask the cluster itself: %d bytes", name, len(data))
        data = b"{}"
    known = None if anew or not etag else etag
    etag = await store.put(records.directory_name(name), data, if_match=known)
    schedule.index = f"{digest} {etag}"


class Index:
    """What a worker has read of it, two documents for each cluster at most. `clock` gives seconds since the epoch."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._list: Coalescer[str, dict[str, Stored]] = Coalescer(self._look, spacing=LISTED_EVERY)
        self._read: dict[str, tuple[str, object]] = {}
        self._reading: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(READ_AT_ONCE)

    async def listed(self) -> Mapping[str, Stored]:
        """What there is now, by the name of its blob. Raises `StoreUnavailable`."""
        return await self._list(records.DIRECTORIES)

    async def refuse_away(self, name: str, listed: Mapping[str, Stored]) -> None:
        """Raises `ClusterAway` for a cluster that plans leave alone because it did not answer."""
        if (mark := listed.get(records.away_name(name))) is not None:
            known = await self._document(mark, lambda document: Away.from_json(document.get("away", [0, 0, ""])))
            known.refuse(name, self._clock())

    async def directory(self, name: str, listed: Mapping[str, Stored]) -> Directory | None:
        """That of a cluster, at least as new as the list; None when nobody knows. Raises `StoreUnavailable`."""
        there = listed.get(records.directory_name(name))
        return None if there is None else await self._document(there, from_json)

    async def _document(self, blob: Stored, read: Callable[[dict[str, Any]], T]) -> T:
        if blob.size > DIRECTORY:
            return read({})
        async with self._reading[blob.name]:
            etag, found = self._read.get(blob.name, ("", None))
            if etag != blob.etag:
                async with self._slots:
                    found, now = await records.read_state(self._store, blob.name, read)
                self._read[blob.name] = (now or "", found)
            return cast("T", found)

    async def _look(self, prefix: str) -> dict[str, Stored]:
        return {blob.name: blob async for blob in self._store.list(prefix)}
