"""How many releases a worker lets Helm render and write at the same time: more would only make each of them slower,
and every helm takes its memory. A helm that only waits for a hook keeps nobody else from going on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from fluxless.fair_slots import FairSlots, tenant

AT_ONCE = 4 * (os.cpu_count() or 1)
"""One namespace has half of them at most."""
LONGEST = 5.0
"""Seconds after which a helm does not compute any more: it waits for a hook, or for an API server."""
_turns = FairSlots(AT_ONCE)


class Turn:
    """One that is taken, or none."""

    def __init__(self, *, held: bool = False) -> None:
        self._whose = tenant.get()
        self._timer = asyncio.get_running_loop().call_later(LONGEST, self.end) if held else None

    def end(self) -> None:
        """Somebody else may begin; may be said twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            _turns.release(self._whose)


@contextlib.asynccontextmanager
async def turn() -> AsyncIterator[Turn]:
    """Wait for a turn, and have it until `end`, or for as long as the context or `LONGEST` lasts."""
    await _turns.acquire(tenant.get())
    mine = Turn(held=True)
    try:
        yield mine
    finally:
        mine.end()
