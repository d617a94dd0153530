"""How many workers are at work on a cluster? Its slots are for all of them together, so each takes its share.

A worker that has been at work on a cluster for a while says so in the store, and counts who else does. Work that is
over before that costs no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator

from fluxless.api.failure import Problem
from fluxless.artifacts.store import Store
from fluxless.reconcile.records import work_prefix
from fluxless.reconcile.slots import Slots

log = logging.getLogger("fluxless.engine")
AFTER = 5.0
"""Seconds of work on a cluster, without a pause, before its worker says so."""
EVERY = 10.0
"""Seconds between two times."""
GONE = 30.0
"""Seconds since it has said so after which a worker is taken to be at work no more."""


class Shares:
    """Those of this worker. `after` and `every` as `AFTER` and `EVERY`."""

    def __init__(self, store: Store, slots: Slots, *, after: float = AFTER, every: float = EVERY) -> None:
        self._store = store
        self._slots = slots
        self._after, self._every = after, every
        self._name = secrets.token_hex(8)
        self._batches: Counter[str] = Counter()
        self._counting: dict[str, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def at_work(self, cluster: str) -> AsyncIterator[None]:
        """Around a batch of a cluster."""
        self._batches[cluster] += 1
        if self._batches[cluster] == 1:
            self._counting[cluster] = asyncio.create_task(self._count(cluster))
        try:
            yield
        finally:
            self._batches[cluster] -= 1
            if not self._batches[cluster]:
                counting = self._counting.pop(cluster)
                counting.cancel()
                await asyncio.gather(counting, return_exceptions=True)

    async def _count(self, cluster: str) -> None:
        await asyncio.sleep(self._after)
        mine = f"{work_prefix(cluster)}{self._name}"
        try:
            while True:
                try:
                    self._slots.share(cluster, await self._others(cluster, mine) + 1)
                except Problem as problem:
                    log.info("cluster=%s other workers not counted: %s", cluster, problem)
                await asyncio.sleep(self._every)
        finally:
            self._slots.share(cluster, 1)
            with contextlib.suppress(Problem):
                await self._store.delete(mine)

    async def _others(self, cluster: str, mine: str) -> int:
        """Say that this worker is there; how many others are. By the store's clock."""
        await self._store.put(mine, b"")
        said = {blob.name: blob.modified async for blob in self._store.list(work_prefix(cluster))}
        now = said.pop(mine, 0.0)
        gone = [name for name, moment in said.items() if now - moment > GONE]
        for name in gone:  # a worker that died
            await self._store.delete(name)
        return len(said) - len(gone)
