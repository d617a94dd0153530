"""Instances of orchestrations as a client sees them: what one is doing, starting it, ending it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import azure.durable_functions as df

log = logging.getLogger("fluxless.functions")
RUNNING = {"Running", "Pending", "ContinuedAsNew"}
ENDS_LOOK, ENDS_LOOKS = 0.1, 50
"""Seconds between two looks at an instance that is to end, and how many; then the next caller starts it again."""


async def running(client: df.DurableOrchestrationClient, instance: str) -> Any:
    """The status of an instance that has not ended; None for any other."""
    status = await client.get_status(instance)
    return status if runs(status) else None


def runs(status: Any) -> bool:
    """Whether that is the status of an instance that has not ended."""
    return bool(status and status.runtime_status and status.runtime_status.value in RUNNING)


def silent(status: Any) -> float:
    """Seconds since an instance has moved."""
    updated = status.last_updated_time
    return 0.0 if updated is None else time.time() - updated.timestamp()


async def start(client: df.DurableOrchestrationClient, name: str, instance: str, message: dict[str, Any]) -> None:
    """Start it, unless somebody else was first."""
    try:
        await client.start_new(name, instance, message)
    except Exception as error:  # the SDK has no error of its own for "already running"
        log.info("instance=%s not started: %s", instance, str(error)[:200])


async def end(client: df.DurableOrchestrationClient, instance: str, reason: str) -> Any:
    """Terminate it, which is a message to it: until it has ended, none of that name can be started. Its status if it
    has not ended in time.
    """
    await client.terminate(instance, reason)
    for _ in range(ENDS_LOOKS):
        if (status := await running(client, instance)) is None:
            return None
        await asyncio.sleep(ENDS_LOOK)
    return status
