"""The durable loop of one cluster, and the retry of a webhook that found its cluster away.

Orchestrators are replayed: they only yield, hold no graph and no manifests, and take every decision from an activity.
They run on azure-functions-durable 1.x and 2.x. Why one loop: docs/decisions/orchestration.md.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df

from functions import names

blueprint = df.Blueprint()

LONGEST_WAIT = 30.0
"""Seconds that `sync` sleeps at most while batches are in flight: a second clock beside the wake events."""
PLAN_RETRY = 5.0
"""Seconds until a plan that failed (API server or storage away) is tried again."""
PLAN_ATTEMPTS = 6
"""Failed plans in a row after which the loop ends and leaves the next try to the timer."""
TURNS = 25
"""Turns after which the history starts anew: a turn adds about eight events, and replaying them is most of what a turn
costs (docs/decisions/orchestration.md). It travels in the input, so that a history ends where it was begun to end.
"""
PATIENCE = 75
"""Turns for which a history goes on beyond that while batches are in flight; then nothing starts before they are done.
"""
FORMER_TURNS = 100
"""Of histories that were begun before their input said it."""
CLOCK_EVERY = 60.0
"""Seconds between two looks of the second clock."""
SETTLED = 0.5
"""Seconds after which a cluster that was started by news is planned once more."""
ANNOUNCE_ATTEMPTS = 20
DEATH = 200
"""Characters of what Durable says of an activity whose worker has died."""


@blueprint.orchestration_trigger(context_name="context")
def sync(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
    """Plan, start what is due, wait for the first of: a batch to finish, the next wake-up, a wake event; again."""
    state: dict[str, Any] = context.get_input() or {}
    cluster, turn, failed = state["cluster"], int(state.get("turn", 0)), 0
    again = bool(state.get("again"))
    turns = int(state.get("turns", FORMER_TURNS))
    begun = str(state.get("begun") or context.current_utc_datetime.isoformat())
    last_turn = turn + turns
    flight: dict[str, Any] = {}
    finished: dict[str, Any] = {}
    told: dict[str, Any] = {"phase": "working"}
    while True:
        turn += 1
        # a slow batch holds up no other: as long as one is in flight, the history grows to some length
        draining = turn > last_turn and (not flight or turn > last_turn + PATIENCE)
        # before the plan is made, so that whoever reads it knows which plans have not begun (functions/wake.py)
        told |= {"turn": turn, "begun": begun, "code": names.CODE}
        context.set_custom_status(told)
        message = {"cluster": cluster, "begun": begun, "turn": turn, "draining": draining}
        try:
            plan = yield context.call_activity(names.PLAN, message | {"inFlight": sorted(flight), "finished": finished})
        except Exception as error:  # its worker has died: a failed plan like any other
            plan = {"ok": False, "summary": f"the plan's worker has died: {str(error)[:DEATH]}"}
        if plan["ok"]:
            finished, failed = {}, 0
            for batch in plan["batches"]:
                flight[batch] = context.call_activity(names.RECONCILE, {"cluster": cluster, "batch": batch})
            wait = plan["wakeAfter"]
        else:
            failed += 1
            wait = PLAN_RETRY if failed < PLAN_ATTEMPTS and not plan.get("away") else None
        if again and not flight and wait is None and plan["ok"]:
            wait = SETTLED  # whoever told us of an object may have done so before the API server had stored it
        again = False
        phase = "working" if flight else "waiting" if wait is not None else "idle"
        told |= {"phase": phase, "inFlight": len(flight), **plan.get("counts", {}), "error": plan["summary"]}
        context.set_custom_status(told)
        if not flight and (wait is None or draining):
            if wait is not None:
                context.continue_as_new({"cluster": cluster, "begun": begun, "turn": turn, "turns": TURNS})
            return
        yield from _wait(context, flight, turn, LONGEST_WAIT if wait is None else min(wait, LONGEST_WAIT))
        for batch in [batch for batch, task in flight.items() if task.is_completed]:
            result = flight.pop(batch).result
            finished[batch] = result["outcomes"] if isinstance(result, dict) else []


def _wait(
    context: df.DurableOrchestrationContext, flight: dict[str, Any], turn: int, seconds: float
) -> Generator[Any, Any, None]:
    """Until something happens. Every wait holds a fresh timer, which is cancelled when something else has won.

    A compound task reports only those children that were not scheduled before, and the extension schedules an action
    only when the one before it is finished; without the fresh timer a batch in flight would hold up all that follow.
    """
    due = context.current_utc_datetime + timedelta(seconds=max(seconds, 0.05))
    timer = context.create_timer(due)
    woken = context.wait_for_external_event(names.wake_event(turn))
    winner = yield context.task_any([*flight.values(), woken, timer])
    if winner != timer:
        timer.cancel()


@blueprint.orchestration_trigger(context_name="context")
def announce(context: df.DurableOrchestrationContext) -> Generator[Any, Any, bool]:
    """Pass a webhook on to a cluster that was out of reach: the request is written until it succeeds, for an hour."""
    message: dict[str, Any] = context.get_input() or {}
    for attempt in range(ANNOUNCE_ATTEMPTS):
        answer = yield context.call_activity(names.REQUEST, message)
        if answer["ok"]:
            return True
        pause = timedelta(seconds=min(5 * 2**attempt, 300))
        yield context.create_timer(context.current_utc_datetime + pause)
    return False


@blueprint.orchestration_trigger(context_name="context")
def clock(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
    """The second clock, for ever: timer triggers can stop for good, durable timers are messages of the task hub.

    `{every}` is the number of seconds between two looks; each look has a history of its own.
    """
    state: dict[str, Any] = context.get_input() or {}
    every = float(state.get("every", CLOCK_EVERY))
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=every))
    try:
        yield context.call_activity(names.LOOK, {})
    except Exception:  # its worker has died: the next look is a minute away
        context.set_custom_status({"error": "the last look failed"})
    context.continue_as_new({"every": every})
