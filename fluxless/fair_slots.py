"""Slots that no tenant can use up: who holds as many as are left free waits, so that there is always one for another.

One tenant alone gets half of them, two greedy ones a third each, and so on: nothing is set aside for anybody by name.
What hangs holds its slots until its bound of time, and meanwhile the others have theirs. The tenant is the cluster and
namespace of the object that is worked on; the step says so once (`tenant`), and what it starts inherits it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextvars import ContextVar

tenant: ContextVar[str] = ContextVar("tenant", default="")
"""Whose work this is; empty for the app's own and the CLI's."""


class FairSlots:
    """`total` slots of one event loop. A tenant gets another one only while it holds fewer than are free."""

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def taken(self, whose: str | None = None) -> AsyncIterator[None]:
        """Hold a slot, of the tenant whose work this is unless another is named."""
        who = tenant.get() if whose is None else whose
        await self.acquire(who)
        try:
            yield
        finally:
            self.release(who)

    async def acquire(self, who: str) -> None:
        """Wait for a slot; `release` gives it back."""
        if who not in self._waiting and self._may(who):
            self.take(who)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given, and nobody is there to use it
                self.release(who)
            else:
                self._leave(who, turn)
            raise

    def release(self, who: str) -> None:
        """Give a slot back; those who may go on do so, the one with fewest slots first, then who waits longest."""
        self._free += 1
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
        self._serve()

    def resize(self, total: int) -> None:
        """Have so many slots from now on. Who holds one keeps it: where there are fewer, nobody else gets any until
        enough have been given back.
        """
        self._free += total - self.total
        self.total = total
        self._serve()

    def _serve(self) -> None:
        while able := [other for other in self._waiting if self._may(other)]:
            chosen = min(able, key=lambda other: self._held[other])
            turn = self._waiting[chosen][0]
            self._leave(chosen, turn)
            if turn.done():  # its waiter was cancelled in this very moment, and has not run since
                continue
            if chosen in self._waiting:  # its next one stands behind those of the others
                self._waiting[chosen] = self._waiting.pop(chosen)
            self.take(chosen)
            turn.set_result(None)

    def _may(self, who: str) -> bool:
        return self._held[who] < self._free

    def take(self, who: str) -> None:
        """Take a slot without waiting, for one whose wait was cancelled and who gives it back at once."""
        self._free -= 1
        self._held[who] += 1

    def _leave(self, who: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(who)
        if queue is None or turn not in queue:
            return
        queue.remove(turn)
        if not queue:
            del self._waiting[who]
