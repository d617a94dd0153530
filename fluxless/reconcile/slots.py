"""How many objects a worker works on at the same time: more would only make each of them take longer.

Every cluster has slots of its own, so that one that does not answer holds up no other; and what has failed before gets
only some of them, so that it holds up nothing that is well.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextvars import ContextVar

EACH = 16
"""Objects of one cluster; an API server takes about as many requests at once (measured)."""
FAILING = 4
"""Of these, objects that have failed before."""
ALL = 64

_held: ContextVar[tuple[asyncio.Semaphore, ...]] = ContextVar("held", default=())


class Slots:
    """A slot is taken for one object; while the object only waits, it is given back."""

    def __init__(self, each: int = EACH, failing: int = FAILING, everything: int = ALL) -> None:
        self._clusters: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(each))
        self._failing: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(failing))
        self._all = asyncio.Semaphore(everything)

    @contextlib.asynccontextmanager
    async def taken(self, cluster: str, *, failing: bool = False) -> AsyncIterator[None]:
        """Hold a slot; `failing` says that the object has failed before."""
        own = self._clusters[cluster], self._all
        async with contextlib.AsyncExitStack() as stack:
            wanted = (self._failing[cluster], *own) if failing else own
            for semaphore in wanted:
                await stack.enter_async_context(semaphore)
            token = _held.set(wanted)
            try:
                yield
            finally:
                _held.reset(token)


@contextlib.asynccontextmanager
async def given_back() -> AsyncIterator[None]:
    """Let others have the slot that is held, if one is."""
    held = _held.get()
    for semaphore in held:
        semaphore.release()
    try:
        yield
    finally:
        for semaphore in held:
            await semaphore.acquire()
