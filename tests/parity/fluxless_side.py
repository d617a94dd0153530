"""Fluxless as a side: one engine that plans and reconciles on and on, as the orchestration does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from fluxless import addresses
from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.store import Store
from fluxless.engine.engine import Engine
from fluxless.engine.schedule import Schedule
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile import records
from fluxless.reconcile.services import Services, Settings

NAME = "parity"
REQUEUE_DEPENDENCY = 5.0
"""Seconds; both sides are set to it."""


class Worker:
    """An engine at work. `idle` says when it has nothing left to do in a namespace, whatever else the machine does."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._begun = 0
        self._busy: set[str] = set()
        self._planned = asyncio.Condition()
        self._task = asyncio.create_task(self._run())

    async def idle(self, namespace: str) -> None:
        """Return after a plan that began after this call and found no object of the namespace due, held back or under
        way: everything that was to be written by then is written. Raises what the engine has died of.
        """
        async with self._planned:
            first = self._begun + 1
            await self._planned.wait_for(
                lambda: self._task.done() or (self._begun >= first and namespace not in self._busy)
            )
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """End the work."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        try:
            await self._plan_on_and_on()
        finally:
            async with self._planned:
                self._planned.notify_all()

    async def _plan_on_and_on(self) -> None:
        working: dict[str, asyncio.Task[list[list[Any]]]] = {}
        finished: dict[str, list[list[Any]]] = {}
        while True:
            began = self._begun + 1
            steps = await self._engine.plan(NAME, list(working), finished)
            working |= {batch: asyncio.create_task(self._engine.reconcile(NAME, batch)) for batch in steps.batches}
            await self._note(began)
            pause = asyncio.create_task(asyncio.sleep(0.3 if steps.wake_after is None else min(0.3, steps.wake_after)))
            await asyncio.wait([pause, *working.values()], return_when=asyncio.FIRST_COMPLETED)
            finished = {batch: task.result() for batch, task in working.items() if task.done()}
            working = {batch: task for batch, task in working.items() if batch not in finished}

    async def _note(self, began: int) -> None:
        schedule, _ = await records.read_state(self._store, records.schedule_name(NAME), Schedule.from_json)
        busy = {ref.namespace for ref, entry in schedule.entries.items() if entry.batch or entry.held}
        async with self._planned:
            self._begun, self._busy = began, busy
            self._planned.notify_all()


@contextlib.asynccontextmanager
async def working(kubeconfig: Path, store: Store, folder: Path) -> AsyncIterator[Worker]:
    """An engine at work."""
    addresses.use(addresses.AddressPolicy.of("127.0.0.0/8, ::1", {}))
    settings = Settings(requeue_dependency=REQUEUE_DEPENDENCY, health_inline=1.0, health_poll=1.0, source_spacing=0.0)
    services = Services(store, ArtifactCache(store, folder / "cache"), settings)
    engine = Engine({NAME: ClusterConfig(NAME, kubeconfig=str(kubeconfig))}, services)
    worker = Worker(engine, store)
    try:
        yield worker
    finally:
        await worker.close()
        await engine.close()


def reader(store: Store) -> Callable[[dict[str, Any]], Awaitable[bytes]]:
    """Reads artifacts from our store."""

    async def read(artifact: dict[str, Any]) -> bytes:
        found = await store.get(artifact["path"])
        assert found is not None, artifact
        return found[0]

    return read
