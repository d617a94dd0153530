"""Results by the digest of their inputs, shared by all who ask for the same, bounded in bytes. Lives in one worker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
LIMIT = 48 * 1024 * 1024
"""Bytes of input text that a worker keeps results of."""


@dataclass(slots=True)
class _Running(Generic[T]):
    """A computation, and how many wait for it."""

    task: asyncio.Task[T]
    waiting: int = 0


class SharedCache(Generic[T]):
    """`get` computes once per key at a time; the least recently used results go first.

    A caller may leave: the others still get the answer, and what nobody waits for any more is cancelled. Failures are
    not kept, nor what `keeps` refuses.
    """

    def __init__(
        self, size: Callable[[T], int], limit: int = LIMIT, keeps: Callable[[T], bool] = lambda _: True
    ) -> None:
        self._size = size
        self._keeps = keeps
        self._limit = limit
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._bytes = 0
        self._running: dict[str, _Running[T]] = {}
        self.misses = 0

    async def get(self, key: str, compute: Callable[[], Awaitable[T]]) -> T:
        """The result for `key`, from the cache or by `compute`. Raises what `compute` raises."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        running = self._running.get(key)
        if running is None:
            self.misses += 1
            running = self._running[key] = _Running(asyncio.ensure_future(compute()))
            running.task.add_done_callback(lambda task: self._done(key, task))
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if not running.waiting and not running.task.done():
                self._forget(key, running.task)  # who asks from now on begins anew
                running.task.cancel()

    def _forget(self, key: str, task: asyncio.Task[T]) -> None:
        if (running := self._running.get(key)) is not None and running.task is task:
            del self._running[key]

    def _done(self, key: str, task: asyncio.Task[T]) -> None:
        self._forget(key, task)
        if task.cancelled() or task.exception() is not None or not self._keeps(result := task.result()):
            return
        self._kept[key] = result
        self._bytes += self._size(result)
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._size(self._kept.popitem(last=False)[1])
