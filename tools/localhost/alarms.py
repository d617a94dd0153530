"""Wake up when durable timers are due. Used by `engine`, which keeps them; one loop timer serves all of them."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

from tools.localhost.events import moment
from tools.localhost.store import Alarm

LONGEST_SLEEP = 30.0
"""Seconds. The loop's clock stands still while a laptop sleeps; the wall clock is looked at this often at least."""


class Alarms:
    """Calls `due` with the alarms whose time has come."""

    def __init__(self, due: Callable[[list[Alarm]], None]) -> None:
        self._due = due
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None

    def add(self, alarms: list[Alarm]) -> None:
        """Watch these too; one that has passed already is due at once."""
        for alarm in alarms:
            self._count += 1
            heapq.heappush(self._heap, (moment(alarm.fire_at).timestamp(), self._count, alarm))
        self._sleep()

    def stop(self) -> None:
        """Wake nobody any more."""
        self._heap.clear()
        self._sleep()

    def _sleep(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            left = min(max(self._heap[0][0] - time.time(), 0), LONGEST_SLEEP)
            self._handle = asyncio.get_running_loop().call_later(left, self._look)

    def _look(self) -> None:
        now, fired = time.time(), list[Alarm]()
        while self._heap and self._heap[0][0] <= now:
            fired.append(heapq.heappop(self._heap)[2])
        self._handle = None
        self._sleep()
        if fired:
            self._due(fired)
