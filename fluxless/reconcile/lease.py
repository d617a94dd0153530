"""One worker at a time changes what an object applies, and a worker that lost its turn changes nothing any more.

The lease stands in the memory of the object: every write of it names the ETag of the one before, so that whoever took
over is found out by the next write. `token` counts the turns. A worker that stood still may wake up long after another
one has taken over: whoever changes anything asks before each request whether the lease is still good.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, Protocol, TypeVar

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.artifacts.store import PreconditionFailed, Store, StoreUnavailable
from fluxless.reconcile.errors import Waiting
from fluxless.reconcile.records import read_state, write_json
from fluxless.reconcile.services import Services
from fluxless.reconcile.world import Ref

RENEWALS = 3
"""In the time of a lease."""
MARGIN = 0.9
"""Share of its time after which a holder who could not renew stops by himself: clocks differ."""
SOON = 1.0
"""Seconds until the next look when somebody else was faster."""


class Memory(Protocol):
    """What a controller keeps of an object. A lease is in it: how many turns there were, and until when the present one
    lasts (seconds since the epoch).
    """

    token: int
    until: float

    def to_json(self) -> dict[str, Any]:
        """The document as it is kept."""
        ...


M = TypeVar("M", bound=Memory)


class Remembered(Generic[M]):
    """The memory of one object in the store. Each write is over what was read or written before, and nothing else."""

    def __init__(self, store: Store, name: str, read: Callable[[dict[str, Any]], M]) -> None:
        """`name` is that of the blob; `read` takes its document, an empty one when there is none."""
        self.memory = read({})
        self._store = store
        self._name = name
        self._read = read
        self._etag: str | None = None

    async def recall(self) -> None:
        """Read it. Raises `StoreUnavailable`."""
        self.memory, self._etag = await read_state(self._store, self._name, self._read)

    async def write(self) -> None:
        """Keep it. Raises `PreconditionFailed` when another worker has written meanwhile, `StoreUnavailable`."""
        document, etag = self.memory.to_json(), self._etag
        self._etag = await write_json(self._store, self._name, document, if_match=etag, only_if_absent=etag is None)

    async def delete(self) -> None:
        """Forget it. Raises `StoreUnavailable`."""
        await self._store.delete(self._name)


class Leased(Protocol):
    """A run whose object one worker at a time may change."""

    services: Services
    ref: Ref
    lease: Lease | None

    @property
    def remembered(self) -> Remembered[Any]:
        """Its memory."""
        ...

    @property
    def changed_by_lease(self) -> str:
        """What only one worker changes, in words."""
        ...


def overtaken(run: Leased, seconds: float = SOON) -> Waiting:
    """What a step ends with when another worker is at work on its object."""
    failure = Failure(FailureClass.DEPENDENCY, f"another worker is at work on {run.changed_by_lease}", str(run.ref))
    return Waiting(reasons.PROGRESSING, failure, retry_after=max(SOON, seconds), event=False, working=True)


class Lease:
    """The turn of one step, for so many seconds at a time."""

    def __init__(self, run: Leased, seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._good_until = 0.0
        self._lost = False
        self._writing = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._over = asyncio.Event()

    def closed(self) -> str:
        """Why nothing may be changed any more; empty while the lease is good."""
        if not self._lost and time.monotonic() < self._good_until:
            return ""
        return f"the lease of {self._run.changed_by_lease} has ended: another worker goes on"

    async def take(self) -> None:
        """Raises `Waiting` while another worker has it."""
        memory, now = self._run.remembered.memory, self._run.services.clock()
        if memory.until > now:
            raise overtaken(self._run, memory.until - now)
        memory.token += 1
        await self.write()

    async def keep(self) -> None:
        """Before a request that changes anything: renew it when a good part of its time is over. Raises `Waiting` when
        another worker has taken over, `StoreUnavailable`.
        """
        if self._lost:
            raise overtaken(self._run)
        if time.monotonic() < self._good_until - self._seconds * (1 - 1 / RENEWALS):
            return
        async with self._renewing:
            if time.monotonic() >= self._good_until - self._seconds * (1 - 1 / RENEWALS):
                await self.write()

    async def write(self) -> None:
        """Keep the memory, and the lease for another while. Raises `Waiting` when it is lost, `StoreUnavailable`."""
        async with self._writing:
            began = time.monotonic()
            self._run.remembered.memory.until = self._run.services.clock() + self._seconds
            try:
                await self._run.remembered.write()
            except PreconditionFailed:
                self._lost = True
                raise overtaken(self._run) from None
            self._good_until = began + self._seconds * MARGIN

    async def renew(self) -> None:
        """On and on, until it is lost or given back."""
        while not self._lost:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._seconds / RENEWALS)
                return
            with contextlib.suppress(StoreUnavailable, Waiting):
                await self.write()

    async def give_back(self) -> None:
        """The next worker need not wait."""
        self._over.set()
        async with self._writing:
            self._run.remembered.memory.until = 0.0
            with contextlib.suppress(PreconditionFailed, StoreUnavailable):
                if not self._lost:
                    await self._run.remembered.write()

    def check(self) -> None:
        """Before we change anything ourselves. Raises `Waiting`."""
        if self.closed():
            raise overtaken(self._run)


@contextlib.asynccontextmanager
async def held(run: Leased, seconds: float) -> AsyncIterator[None]:
    """The lease, renewed while the context lasts. Raises `Waiting` when another worker has it."""
    lease = Lease(run, seconds)
    await lease.take()
    run.lease = lease
    renewing = asyncio.create_task(lease.renew())
    try:
        yield
    finally:
        run.lease = None
        await lease.give_back()  # a renewal that is under way ends first: cut short, nobody would know its ETag
        await renewing
