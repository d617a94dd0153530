"""Events of ACR that Event Grid has put into a Storage queue: for apps that nobody can reach from outside.

Registered only where the app setting FLUXLESS_EVENTS_QUEUE names the queue; its connection is FLUXLESS_EVENTS, by an
identity (`FLUXLESS_EVENTS__queueServiceUri`) or a connection string.
"""

from __future__ import annotations

import logging

import azure.durable_functions as df
import azure.functions as func

from functions import host, settings
from functions.wake import pass_on, wake_overdue

blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")
CONNECTION = "FLUXLESS_EVENTS"

if settings.EVENTS_QUEUE.read():

    @blueprint.queue_trigger(arg_name="message", queue_name="%FLUXLESS_EVENTS_QUEUE%", connection=CONNECTION)
    @blueprint.durable_client_input(client_name="client")
    async def registry_events(message: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
        """One event. What raises is delivered again, five times, and then kept in the poison queue."""
        from fluxless.engine.doors.acr import event_grid

        answer = event_grid(message.get_body())
        if answer.status >= 400:
            raise ValueError(f"message {message.id}: {answer.text}")
        await pass_on(client, await host.engine().intake.accept(answer))
        await wake_overdue(client)
