"""New code over a running history: what former releases have left in task hubs goes on, or is ended and begun anew.

`histories/<code>/` holds histories of every release; see `record.py`.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest

from functions import names, orchestrators
from tests.functions.record import HISTORIES, SCENARIOS
from tools.localhost.events import Event, Type
from tools.localhost.replay import NonDeterministic, Replay

KEPT = sorted(HISTORIES.glob("*/*.json"))
REPLAYED = [file for file in KEPT if int(file.parent.name) in names.REPLAYED]


def orchestrate(builder: Any, document: dict[str, Any], history: list[Event]) -> Replay:
    """What the orchestrator wants behind that history, played as the extension plays it. Raises `NonDeterministic`."""
    context = {
        "history": history,
        "input": json.loads(history[1]["Input"]),
        "instanceId": document["instanceId"],
        "isReplaying": True,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
    answer = json.loads(builder._function.get_user_function()(func.OrchestrationContext(json.dumps(context))))
    return Replay(document["instanceId"], "x", history, answer["actions"][0] if answer["actions"] else [])


def moments(history: list[Event]) -> list[list[Event]]:
    """The history as it stood each time that the orchestrator was asked, and as it stands."""
    ends = [place for place, event in enumerate(history) if event["EventType"] == Type.ORCHESTRATOR_COMPLETED]
    return [history[: end + 1] for end in ends]


@pytest.mark.parametrize("file", REPLAYED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_history_of_a_former_release_goes_on(file: Path) -> None:
    document = json.loads(file.read_text())
    builder = getattr(orchestrators, document["name"])
    stood = moments(document["historyEvents"])
    assert stood
    for history in stood:
        orchestrate(builder, document, history)


def test_every_release_has_its_histories() -> None:
    assert {int(folder.name) for folder in HISTORIES.iterdir()} == set(range(1, names.CODE + 1))
    for folder in HISTORIES.iterdir():
        assert {file.stem for file in folder.iterdir()} == {*SCENARIOS, "announce"}


def test_a_replay_that_goes_astray_is_seen() -> None:
    """What this file looks for: an orchestrator that asks for something else than its history holds."""

    def other(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        yield context.call_activity(names.PLAN, {})

    changed = df.Blueprint().orchestration_trigger(context_name="context")(other)
    document = json.loads((HISTORIES / "1" / "chain-5.json").read_text())
    with pytest.raises(NonDeterministic):
        orchestrate(changed, document, document["historyEvents"])
