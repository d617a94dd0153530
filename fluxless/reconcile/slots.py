"""How many objects a worker works on at the same time: more would only make each of them take longer.

Every cluster has slots of its own, so that one that does not answer holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator

EACH = 16
"""Objects of one cluster; an API server takes about as many requests at once (measured)."""
ALL = 64


class Slots:
    """A slot is taken for one object; while the object only waits, it is given back."""

    def __init__(self, each: int = EACH, everything: int = ALL) -> None:
        self._clusters: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(each))
        self._all = asyncio.Semaphore(everything)

    @contextlib.asynccontextmanager
    async def taken(self, cluster: str) -> AsyncIterator[None]:
        """Hold a slot."""
        async with self._clusters[cluster], self._all:
            yield

    @contextlib.asynccontextmanager
    async def given_back(self, cluster: str) -> AsyncIterator[None]:
        """Let others have the slot that is held."""
        self._all.release()
        self._clusters[cluster].release()
        try:
            yield
        finally:
            await self._clusters[cluster].acquire()
            await self._all.acquire()
