"""Orchestrations in small: one per behaviour that tests look at."""

import asyncio
import os
import random
import time
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df

app = df.DFApp()
SEEN = os.environ.get("TEST_SEEN", os.devnull)
TRIES: dict[str, int] = {}
Steps = Generator[Any, Any, Any]


def note(word: str) -> None:
    with open(SEEN, "a") as file:
        file.write(f"{word} {time.time():.3f}\n")


@app.activity_trigger(input_name="given")
async def work(given: dict[str, Any]) -> dict[str, Any]:
    note(f"begin-{given['id']}")
    await asyncio.sleep(given.get("seconds", 0))
    note(f"end-{given['id']}")
    return given


@app.activity_trigger(input_name="given")
def add(given: list[Any]) -> int:
    return sum(given)


@app.activity_trigger(input_name="given")
def flaky(given: list[Any]) -> str:
    key, good = given
    TRIES[key] = TRIES.get(key, 0) + 1
    if TRIES[key] < good:
        raise ValueError(f"try {TRIES[key]}")
    return f"try {TRIES[key]}"


@app.orchestration_trigger(context_name="context")
def sequence(context: df.DurableOrchestrationContext) -> Steps:
    total = 0
    for number in range(3):
        total = yield context.call_activity("add", [total, number])
    return total


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext) -> Steps:
    count = int(context.get_input())
    sums = yield context.task_all([context.call_activity("add", [number, 10]) for number in range(count)])
    return sums


@app.orchestration_trigger(context_name="context")
def race(context: df.DurableOrchestrationContext) -> Steps:
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=float(context.get_input())))
    event = context.wait_for_external_event("go")
    context.set_custom_status("waiting")
    winner = yield context.task_any([event, timer])
    if winner == timer:
        return "timer"
    timer.cancel()
    total = yield context.call_activity("add", [1, 2])
    return f"event {total}"


@app.orchestration_trigger(context_name="context")
def early(context: df.DurableOrchestrationContext) -> Steps:
    yield context.call_activity("work", {"id": "early", "seconds": 0.3})
    event = yield context.wait_for_external_event("go")
    return event


@app.orchestration_trigger(context_name="context")
def rounds(context: df.DurableOrchestrationContext) -> Steps:
    number = int(context.get_input())
    number = yield context.call_activity("add", [number, 1])
    if number < 4:
        context.continue_as_new(number)
        return None
    return number


@app.orchestration_trigger(context_name="context")
def retrying(context: df.DurableOrchestrationContext) -> Steps:
    key, good, attempts = context.instance_id, *[int(part) for part in str(context.get_input()).split(",")]
    try:
        result = yield context.call_activity_with_retry("flaky", df.RetryOptions(30, attempts), [key, good])
    except Exception:
        return "given up"
    return result


@app.orchestration_trigger(context_name="context")
def broken(context: df.DurableOrchestrationContext) -> Steps:
    yield context.call_activity("add", [1])
    raise RuntimeError("broken on purpose")


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext) -> Steps:
    total = yield context.call_sub_orchestrator("sequence", None)
    return total * 2


@app.orchestration_trigger(context_name="context")
def dice(context: df.DurableOrchestrationContext) -> Steps:
    yield context.call_activity("add", [random.random()])
    return "done"


@app.orchestration_trigger(context_name="context")
def loop(context: df.DurableOrchestrationContext) -> Steps:
    """40 activities, at most 8 at once; number 0 takes 3 seconds."""
    todo, done = list(range(40)), list[int]()
    flight: dict[int, Any] = {}
    while todo or flight:
        while todo and len(flight) < 8:
            number = todo.pop(0)
            given = {"id": number, "seconds": 0.05 if number else 3.0}
            flight[number] = context.call_activity("work", given)
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
        winner = yield context.task_any([*flight.values(), timer])
        if winner != timer:
            timer.cancel()
        for number in [number for number, task in flight.items() if task.is_completed]:
            del flight[number]
            done.append(number)
    return done


@app.orchestration_trigger(context_name="context")
def long(context: df.DurableOrchestrationContext) -> Steps:
    first = yield context.call_activity("work", {"id": "first"})
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=0.6))
    context.set_custom_status("second")
    second = yield context.call_activity("work", {"id": "second", "seconds": 1.0})
    return [first["id"], second["id"]]
