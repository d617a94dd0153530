"""Results by the digest of their inputs, shared by all who ask for the same, bounded in bytes. Lives in one worker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
LIMIT = 48 * 1024 * 1024
"""Bytes of input text that a worker keeps results of."""


class SharedCache(Generic[T]):
    """`get` computes once per key at a time; the least recently used results go first.

    Failures are not kept, nor what `keeps` refuses.
    """

    def __init__(
        self, size: Callable[[T], int], limit: int = LIMIT, keeps: Callable[[T], bool] = lambda _: True
    ) -> None:
        self._size = size
        self._keeps = keeps
        self._limit = limit
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._bytes = 0
        self._running: dict[str, asyncio.Task[T]] = {}
        self.misses = 0

    async def get(self, key: str, compute: Callable[[], Awaitable[T]]) -> T:
        """The result for `key`, from the cache or by `compute`. Raises what `compute` raises."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._running:
            self.misses += 1
            self._running[key] = asyncio.ensure_future(self._compute(key, compute))
        # Shielded: when one caller is cancelled the others still want the answer.
        return await asyncio.shield(self._running[key])

    async def _compute(self, key: str, compute: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await compute()
            if not self._keeps(result):
                return result
            self._kept[key] = result
            self._bytes += self._size(result)
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._size(self._kept.popitem(last=False)[1])
            return result
        finally:
            del self._running[key]
