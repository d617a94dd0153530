"""Many who ask for the same at the same time: one piece of work that began after the last of them asked is enough."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KEPT = 1000
"""Keys whose last begin is remembered."""
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Coalescer(Generic[K, T]):
    """`await coalescer(key)` is the result of a run of `work(key)` that began after the call. While one runs, all who
    come share the next; a failure is that of all who share it. Two runs begin at least `spacing` seconds apart, so
    that a storm of calls costs no more than so many of them.
    """

    def __init__(self, work: Callable[[K], Awaitable[T]], *, spacing: float = 0.0) -> None:
        self._work = work
        self._spacing = spacing
        self._began: dict[K, float] = {}
        self._running: dict[K, asyncio.Task[T]] = {}
        self._next: dict[K, asyncio.Task[T]] = {}

    async def __call__(self, key: K) -> T:
        """Raises what the work raises. Whoever gives up does not stop the work for the others."""
        if key not in self._next:
            task = self._next[key] = asyncio.ensure_future(self._run(key, self._running.get(key)))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(self._next[key])

    async def _run(self, key: K, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        pause = self._began.get(key, float("-inf")) + self._spacing - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self._running[key] = self._next.pop(key)  # whoever calls from now on needs another one
        self._began[key] = time.monotonic()
        return await self._work(key)

    def _ended(self, key: K, done: asyncio.Task[T]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
        if len(self._began) > KEPT and key not in self._running:
            self._began.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever still waits is told; nobody else needs to be
