"""Queue triggers over Azure Storage or Azurite, with the dequeue limit and the poison queue of the real extension."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from tools.localhost.app import App
from tools.localhost.settings import HostSettings, expand

log = logging.getLogger("localhost")
SHORTEST, LONGEST = 0.1, 2.0
"""Seconds between two looks into an empty queue; the pause doubles from one to the other."""
INVISIBLE = 60
"""Seconds that a message is hidden from others while a function works on it."""


async def run(app: App, function: Any, settings: HostSettings) -> None:
    """Feed one function for ever. Raises RuntimeError when its connection is not set."""
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.queue.aio import QueueClient

    trigger = function.get_trigger()
    name, setting = expand(trigger.queue_name), trigger.connection
    connection = os.environ.get(setting) or os.environ.get(f"AzureWebJobs{setting}")
    if not connection:
        raise RuntimeError(f"queue trigger {function.get_function_name()} needs the app setting {setting}")
    pause = SHORTEST
    async with (
        QueueClient.from_connection_string(connection, name) as queue,
        QueueClient.from_connection_string(connection, f"{name}-poison") as poison,
    ):
        try:
            await queue.create_queue()
        except ResourceExistsError:
            log.debug("queue %s is there", name)
        while True:
            found = [
                m async for m in queue.receive_messages(max_messages=settings.queue_batch, visibility_timeout=INVISIBLE)
            ]
            await asyncio.gather(*(_handle(app, function, queue, poison, m, settings.max_dequeue) for m in found))
            pause = SHORTEST if found else min(LONGEST, pause * 2)
            await asyncio.sleep(pause)


async def _handle(app: App, function: Any, queue: Any, poison: Any, message: Any, limit: int) -> None:
    from azure.core.exceptions import ResourceExistsError
    from azure.functions import meta
    from azure.functions.queue import QueueMessageInConverter

    metadata = {
        "Id": meta.Datum(message.id, "string"),
        "DequeueCount": meta.Datum(str(message.dequeue_count), "string"),
    }
    argument = QueueMessageInConverter.decode(meta.Datum(message.content, "string"), trigger_metadata=metadata)
    try:
        await app.call(function, argument)
    except Exception:
        log.exception("function %s failed", function.get_function_name())
        if message.dequeue_count < limit:
            await queue.update_message(message, visibility_timeout=0)
            return
        try:
            await poison.create_queue()
        except ResourceExistsError:
            log.debug("the poison queue is there")
        await poison.send_message(message.content)
    await queue.delete_message(message)
