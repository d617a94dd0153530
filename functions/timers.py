"""The clock: wakes every cluster and writes the heartbeat. No work is done in the timer itself, where one
run holds up the next.
"""

from __future__ import annotations

import logging

import azure.durable_functions as df
import azure.functions as func

from functions import host
from functions.wake import keep_clock, wake_all

blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")


@blueprint.timer_trigger(arg_name="timer", schedule=host.timer_schedule(), run_on_startup=False, use_monitor=False)
@blueprint.durable_client_input(client_name="client")
async def tick(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Every 30 seconds by default (`FLUXLESS_TIMER`)."""
    engine = host.engine()
    await engine.heartbeat()
    log.info("heartbeat clusters=%d", len(engine.clusters))  # an alert waits for its absence
    await keep_clock(client)
    await wake_all(client, engine.clusters, news=False)
