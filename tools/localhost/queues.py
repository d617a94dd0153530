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
    from azure.core.exceptions import AzureError, ResourceExistsError
    from azure.storage.queue import TextBase64DecodePolicy, TextBase64EncodePolicy
    from azure.storage.queue.aio import QueueClient

    trigger = function.get_trigger()
    name, setting = expand(trigger.queue_name), trigger.connection
    connection = os.environ.get(setting) or os.environ.get(f"AzureWebJobs{setting}")
    if not connection:
        raise RuntimeError(f"queue trigger {function.get_function_name()} needs the app setting {setting}")
    pause = SHORTEST
    encoding: dict[str, Any] = {}
    if settings.queue_base64:
        encoding = {
            "message_encode_policy": TextBase64EncodePolicy(),
            "message_decode_policy": TextBase64DecodePolicy(),
        }
    async with (
        QueueClient.from_connection_string(connection, name, **encoding) as queue,
        QueueClient.from_connection_string(connection, f"{name}-poison", **encoding) as poison,
    ):
        try:
            await queue.create_queue()
        except ResourceExistsError:
            log.debug("queue %s is there", name)
        while True:
            try:
                found = await _feed(app, function, queue, poison, settings)
            except AzureError as error:
                log.error("queue %s cannot be read: %s", name, str(error).splitlines()[0])
                found = 0
            pause = SHORTEST if found else min(LONGEST, pause * 2)
            await asyncio.sleep(pause)


async def _feed(app: App, function: Any, queue: Any, poison: Any, settings: HostSettings) -> int:
    """Work on what is in the queue now; how many messages that were."""
    read = queue.receive_messages(max_messages=settings.queue_batch, visibility_timeout=INVISIBLE)
    found = [message async for message in read]
    await asyncio.gather(*(_handle(app, function, queue, poison, m, settings.max_dequeue) for m in found))
    return len(found)


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
