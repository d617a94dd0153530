"""Fluxless as a side: one engine that plans and reconciles on and on, as the orchestration does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.store import Store
from fluxless.engine.engine import Engine
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile.services import Services, Settings

NAME = "parity"
REQUEUE_DEPENDENCY = 5.0
"""Seconds; both sides are set to it."""


@contextlib.asynccontextmanager
async def working(kubeconfig: Path, store: Store, folder: Path) -> AsyncIterator[asyncio.Task[None]]:
    """An engine at work."""
    settings = Settings(requeue_dependency=REQUEUE_DEPENDENCY, health_inline=1.0, health_poll=1.0, source_spacing=0.0)
    services = Services(store, ArtifactCache(store, folder / "cache"), settings)
    engine = Engine({NAME: ClusterConfig(NAME, kubeconfig=str(kubeconfig))}, services)
    task = asyncio.create_task(_pump(engine))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await engine.close()


def reader(store: Store) -> Callable[[dict[str, Any]], Awaitable[bytes]]:
    """Reads artifacts from our store."""

    async def read(artifact: dict[str, Any]) -> bytes:
        found = await store.get(artifact["path"])
        assert found is not None, artifact
        return found[0]

    return read


async def _pump(engine: Engine) -> None:
    working: dict[str, asyncio.Task[list[list[Any]]]] = {}
    finished: dict[str, list[list[Any]]] = {}
    while True:
        steps = await engine.plan(NAME, list(working), finished)
        working |= {batch: asyncio.create_task(engine.reconcile(NAME, batch)) for batch in steps.batches}
        pause = asyncio.create_task(asyncio.sleep(0.3 if steps.wake_after is None else min(0.3, steps.wake_after)))
        await asyncio.wait([pause, *working.values()], return_when=asyncio.FIRST_COMPLETED)
        finished = {batch: task.result() for batch, task in working.items() if task.done()}
        working = {batch: task for batch, task in working.items() if batch not in finished}
