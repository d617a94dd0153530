"""Processes that stay alive and take one piece of work at a time each: they start when they are needed and end when
nothing is to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from weakref import WeakKeyDictionary

from fluxless.fair_slots import FairSlots
from fluxless.process import Conversation

IDLE = 60.0
"""Seconds that a process without work stays."""


class ProcessPool:
    """Those of one event loop, `at_once` of them at most; a namespace has half."""

    def __init__(self, at_once: int, start: Callable[[], Awaitable[Conversation]]) -> None:
        self._idle: list[tuple[float, Conversation]] = []
        self._slots = FairSlots(at_once)
        self._start = start

    @contextlib.asynccontextmanager
    async def process(self) -> AsyncIterator[Conversation]:
        """One that is free, or a new one. It is killed when the work over it fails, else kept."""
        async with self._slots.taken():
            process = self._taken() or await self._start()
            try:
                yield process
            except BaseException:
                process.kill()
                raise
            self._idle.append((time.monotonic(), process))
            asyncio.get_running_loop().call_later(IDLE + 1.0, self._end_idle)

    def _taken(self) -> Conversation | None:
        while self._idle:
            _, process = self._idle.pop()  # the last one that worked: the others may end
            if process.alive:
                return process
            process.kill()
        return None

    def _end_idle(self) -> None:
        now = time.monotonic()
        for since, process in self._idle:
            if now - since >= IDLE:
                process.kill()
        self._idle = [(since, process) for since, process in self._idle if now - since < IDLE]


class ProcessPools:
    """A pool for each event loop: a process is asked by the loop that started it."""

    def __init__(self, at_once: int, start: Callable[[], Awaitable[Conversation]]) -> None:
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, ProcessPool] = WeakKeyDictionary()
        self._at_once = at_once
        self._start = start

    def here(self) -> ProcessPool:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools[loop] = ProcessPool(self._at_once, self._start)
        return self._pools[loop]
