"""One worker at a time changes a release, and a worker that lost its turn changes nothing any more.

The lease stands in the memory of the object: every write of it names the ETag of the one before, so that whoever took
over is found out by the next write. `token` counts the turns. Within a turn the door refuses Helm's writes as soon as
the lease was not renewed in time, whatever the reason: a worker that stood still may wake up long after another one
has taken over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.artifacts.store import PreconditionFailed, StoreUnavailable
from fluxless.helm.run import HelmReleaseRun
from fluxless.reconcile.errors import Waiting

RENEWALS = 3
"""In the time of a lease."""
MARGIN = 0.9
"""Share of its time after which a holder who could not renew stops by himself: clocks differ."""
SOON = 1.0
"""Seconds until the next look when somebody else was faster."""


class Lease:
    """The turn of one step."""

    def __init__(self, run: HelmReleaseRun) -> None:
        self._run = run
        self._seconds = run.services.settings.release_lease
        self._good_until = 0.0
        self._lost = False
        self._writing = asyncio.Lock()
        self._over = asyncio.Event()

    def closed(self) -> str:
        """Why nothing may be changed any more; empty while the lease is good."""
        if not self._lost and time.monotonic() < self._good_until:
            return ""
        return f"the lease of release {self._run.namespace}/{self._run.release_name} has ended: another worker goes on"

    async def take(self) -> None:
        """Raises `Waiting` while another worker has it."""
        memory, now = self._run.memory, self._run.services.clock()
        if memory.until > now:
            raise self._waiting(memory.until - now)
        memory.token += 1
        await self.write()

    async def write(self) -> None:
        """Keep the memory, and the lease for another while. Raises `Waiting` when it is lost, `StoreUnavailable`."""
        async with self._writing:
            began = time.monotonic()
            self._run.memory.until = self._run.services.clock() + self._seconds
            try:
                await self._run.write_memory()
            except PreconditionFailed:
                self._lost = True
                raise self._waiting(SOON) from None
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
            self._run.memory.until = 0.0
            with contextlib.suppress(PreconditionFailed, StoreUnavailable):
                if not self._lost:
                    await self._run.write_memory()

    def check(self) -> None:
        """Before we change anything ourselves. Raises `Waiting`."""
        if self.closed():
            raise self._waiting(SOON)

    def _waiting(self, seconds: float) -> Waiting:
        run = self._run
        text = f"another worker is at work on release {run.namespace}/{run.release_name}"
        failure = Failure(FailureClass.DEPENDENCY, text, str(run.ref))
        return Waiting(reasons.PROGRESSING, failure, retry_after=max(SOON, seconds), event=False, working=True)


@contextlib.asynccontextmanager
async def held(run: HelmReleaseRun) -> AsyncIterator[None]:
    """The lease, renewed while the context lasts. Raises `Waiting` when another worker has it."""
    lease = Lease(run)
    await lease.take()
    run.lease = lease
    renewing = asyncio.create_task(lease.renew())
    try:
        yield
    finally:
        run.lease = None
        await lease.give_back()  # a renewal that is under way ends first: cut short, nobody would know its ETag
        await renewing
