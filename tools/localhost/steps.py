"""One step of an orchestration: hand the history to the orchestrator, and tell what follows from its answer. Used by
`engine`, which keeps the result; reads and writes nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from tools.localhost.events import Event, Kind, event, moment, played
from tools.localhost.invocation import one_line
from tools.localhost.loading import Function
from tools.localhost.replay import NonDeterminism, Replay, UnknownFunction, UnsupportedAction
from tools.localhost.store import Instance

STATE_MARK = "$OutOfProcData$:"
"""What stands before the state in the text of the exception of an orchestrator that failed."""
DIFFERS = (
    "Non-deterministic orchestrator: {}. An orchestrator must not depend on the clock, random numbers, I/O, "
    "globals, or code that changed while it ran; take these from activities, or from the context."
)
PROTOCOL = {
    "upperSchemaVersion": 1,
    "upperSchemaVersionNew": 2,
    "longRunningTimerIntervalDuration": "3.00:00:00",
    "maximumShortTimerDuration": "6.00:00:00",
    "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
}


@dataclass(slots=True)
class Step:
    """What a step has led to. status is Running, Completed, Failed or Continued; output and custom are JSON texts, None
    for nothing new; `input` is that of the next execution when Continued, `unheard` the events that go with it.
    """

    status: str
    events: list[Event]
    decisions: list[Event] = field(default_factory=list)
    output: str | None = None
    custom: str | None = None
    input: str | None = None
    unheard: list[Event] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)


def failed(name: str, problem: str) -> str:
    """The output (a JSON text) of an orchestration that failed, in the words of the extension."""
    return json.dumps(f"Orchestrator function '{name}' failed: {problem}")


def new_events(row: Instance, messages: list[Event]) -> list[Event]:
    """The events that begin a step. Its time is never before that of a timer that fired: the SDK relies on it."""
    now = datetime.now(UTC)
    fired = [moment(e["FireAt"]) for e in messages if e["EventType"] == Kind.TIMER_FIRED]
    begin = [event(Kind.ORCHESTRATOR_STARTED, at=max([now, *fired]))]
    if not row.started:
        who = {"InstanceId": row.id, "ExecutionId": row.execution}
        begin.append(
            event(Kind.EXECUTION_STARTED, Name=row.name, Input=row.input, Version="", OrchestrationInstance=who)
        )
    return begin + messages


def take_step(
    row: Instance, past: list[str], fresh: list[Event], function: Function, exists: Callable[[str, str], bool]
) -> Step:
    """Run the orchestrator over `past` (JSON texts) and `fresh` events. Blocks for as long as the app's code does."""
    try:
        state = _run(function, _context(row, past, fresh))
    except Exception as error:
        return Step("Failed", fresh, output=failed(row.name, one_line(error)))
    custom = json.dumps(state["customStatus"]) if state.get("customStatus") else None
    actions = state["actions"][0]
    history = [json.loads(text) for text in past] + fresh
    try:
        replay = Replay(row.execution, history, actions, exists)
    except NonDeterminism as problem:
        return Step("Failed", fresh, output=failed(row.name, DIFFERS.format(problem)), custom=custom)
    except (UnknownFunction, UnsupportedAction) as problem:
        return Step("Failed", fresh, output=failed(row.name, str(problem)), custom=custom)
    step = Step("Running", fresh, replay.decisions, custom=custom, actions=actions)
    step.events = [*fresh, *replay.decisions, event(Kind.ORCHESTRATOR_COMPLETED)]
    if not replay.finished:
        return step
    if state.get("error"):
        step.status, step.output = "Failed", failed(row.name, state["error"])
    elif replay.continue_as_new:
        step.status, step.input, step.unheard = "Continued", json.dumps(replay.continue_as_new[0]), replay.unheard
    elif state["isDone"]:
        step.status, step.output = "Completed", json.dumps(state.get("output"))
    return step


def replay_differs(row: Instance, past: list[str], step: Step, function: Function) -> str | None:
    """Replay the whole history once more, with nothing new in it: None, or how the actions differ from those of `step`.

    The orchestrator sees itself as replaying all the time, so that what it logs once is not logged again.
    """
    history = past + [played(e) for e in step.events]
    try:
        again = _run(function, _context(row, history, [event(Kind.ORCHESTRATOR_STARTED)]))["actions"][0]
    except Exception as error:
        return DIFFERS.format(f"a replay of its history ends with {one_line(error)}")
    for number, action in enumerate(step.actions):
        if number >= len(again) or again[number] != action:
            now = _words(again[number]) if number < len(again) else "nothing"
            return DIFFERS.format(f"action {number} was {_words(action)}, and is {now} in a replay of its history")
    if len(again) > len(step.actions):
        return DIFFERS.format(f"a replay of its history also asks for {_words(again[len(step.actions)])}")
    return None


def _context(row: Instance, past: list[str], fresh: list[Event]) -> str:
    fields = {
        "input": json.loads(row.input) if row.input else None,
        "instanceId": row.id,
        "isReplaying": bool(past),
        "parentInstanceId": row.parent,
        **PROTOCOL,
    }
    history = ",".join([*past, *(json.dumps(e) for e in fresh)])
    return f'{json.dumps(fields)[:-1]}, "history": [{history}]}}'


def _run(function: Function, context: str) -> dict[str, Any]:
    """The state that the SDK answers with, also where the orchestrator has raised. Raises when there is no state."""
    try:
        text = function.call(**{function.trigger.name: func.OrchestrationContext(context)})
    except Exception as error:
        _, mark, text = str(error).partition(STATE_MARK)
        if not mark:
            raise
    state: dict[str, Any] = json.loads(text)
    return state


def _words(action: dict[str, Any]) -> str:
    text = json.dumps(action)
    return text if len(text) <= 200 else f"{text[:200]}…"
