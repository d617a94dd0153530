"""Many requests at once, but not too many: the one place that decides how hard we lean on an API server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

CONCURRENCY = 8
"""Requests in flight per Kustomization. Flux uses 4; one asyncio client reaches an API server's limit at about 16."""

T = TypeVar("T")
R = TypeVar("R")


async def each(do: Callable[[T], Awaitable[R]], items: Iterable[T], limit: int = CONCURRENCY) -> list[R]:
    """`do(item)` for all items, results in their order. The first exception cancels what is left and is raised."""
    gate = asyncio.Semaphore(limit)

    async def run(item: T) -> R:
        async with gate:
            return await do(item)

    tasks = [asyncio.ensure_future(run(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
