"""A queue trigger that writes down what it gets, and fails when it is told to; and an entity that counts."""

import os
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.queue_trigger(arg_name="message", queue_name="%TEST_QUEUE%", connection="TEST_STORAGE")
def take(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    with open(os.environ["TEST_SEEN"], "a") as file:
        file.write(f"{text} {message.dequeue_count}\n")
    if text == "bad":
        raise ValueError("as told")


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
        context.set_state(value)
    context.set_result(value)


@app.orchestration_trigger(context_name="context")
def count(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    entity = df.EntityId("counter", "one")
    context.signal_entity(entity, "add", 2)
    yield context.call_entity(entity, "add", 3)
    total = yield context.call_entity(entity, "get")
    return total
