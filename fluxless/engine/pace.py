"""How often a cluster is planned: whatever a plan costs, the work itself gets most of a worker's time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

SHARE = 4.0
"""Times the cost of the last plan that the work gets before the next one."""
LONGEST = 2.0
"""Seconds that a plan waits for that at most."""


class Pace:
    """The last plans of this worker, by cluster: what each has cost it, and when it ended."""

    def __init__(self) -> None:
        self._planned: dict[str, tuple[float, float]] = {}

    @contextlib.asynccontextmanager
    async def kept(self, name: str) -> AsyncIterator[None]:
        """Around a plan. One that is costly waits, and so covers more of the work."""
        cost, ended = self._planned.get(name, (0.0, 0.0))
        pause = min(SHARE * cost, LONGEST) - (time.monotonic() - ended)
        if pause > 0:
            await asyncio.sleep(pause)
        began = time.thread_time()
        try:
            yield
        finally:
            self._planned[name] = (time.thread_time() - began, time.monotonic())
