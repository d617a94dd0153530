"""What is played on both engines: each scenario says what happened, in words that must be the same on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from functions import names, orchestrators
from tests.durable.playing import STUCK, Stage
from tests.unit.localhost.hosting import until

Scenario = Callable[[Stage], Any]


def chain(stage: Stage) -> Any:
    """One batch after the other, each begun when the one before has ended."""
    stage.sync("chain-10")
    ended = stage.ended("chain-10")
    steps = [(line["what"], line["batch"]) for line in stage.told("chain-10", "begin", "end")]
    return ended["runtimeStatus"], ended["customStatus"]["turn"], steps


def fan_out(stage: Stage) -> Any:
    """Four batches at a time, three times: each once, and all of them beside each other."""
    stage.sync("fan-3")
    ended = stage.ended("fan-3")
    finished = sorted(batch for line in stage.told("fan-3", "plan") for batch in line["finished"])
    return ended["runtimeStatus"], sorted(stage.begun("fan-3")), finished


def woken_while_waiting(stage: Stage) -> Any:
    """News while a batch runs: it is planned before the batch has ended, and once more after."""
    stage.sync("slow-1")
    until(lambda: stage.begun("slow-1") or None, "the batch begins")
    time.sleep(0.5)
    stage.wake("slow-1")
    ended = stage.ended("slow-1")
    before = stage.told("slow-1", "end")[0]["at"]
    plans = [line for line in stage.told("slow-1", "plan") if line["at"] < before]
    return ended["runtimeStatus"], stage.begun("slow-1"), [line["flight"] for line in plans][:2]


def waits_for_a_time(stage: Stage) -> Any:
    """A plan that asks to be made again in 1.5 s, twice. Their timers count whole seconds."""
    stage.sync("waits-2")
    ended = stage.ended("waits-2")
    plans = [line["at"] for line in stage.told("waits-2", "plan")]
    waited = [later - earlier for earlier, later in pairwise(plans)]
    return ended["runtimeStatus"], [0.9 < pause < 4.0 for pause in waited]


def plan_dies(stage: Stage) -> Any:
    """The second plan's worker dies, beside a batch: the loop goes on five seconds later, and knows what is done."""
    stage.sync("deadplan-1")
    ended = stage.ended("deadplan-1")
    plans = stage.told("deadplan-1", "plan")
    goes_on = plans[2]["at"] - plans[1]["at"] < 10
    return ended["runtimeStatus"], sorted(stage.begun("deadplan-1")), goes_on, plans[1]["flight"], plans[2]["finished"]


def batch_dies(stage: Stage) -> Any:
    """The worker of a batch dies: the next plan is told that it has finished, and goes on."""
    stage.sync("deadbatch-2")
    ended = stage.ended("deadbatch-2")
    finished = [line["finished"] for line in stage.told("deadbatch-2", "plan")]
    return ended["runtimeStatus"], stage.begun("deadbatch-2"), finished


def new_histories(stage: Stage) -> Any:
    """More links than a history has turns: each batch once."""
    links = orchestrators.TURNS + 5
    stage.sync(f"chain-{links}")
    ended = stage.ended(f"chain-{links}", 60)
    return ended["runtimeStatus"], stage.begun(f"chain-{links}") == [f"{link + 1}-0" for link in range(links)]


def a_slow_batch_beside(stage: Stage) -> Any:
    """A batch that lasts longer than a history: what comes meanwhile is begun all the same."""
    stage.sync("beside-8", turns=3)
    ended = stage.ended("beside-8", 60)
    done = [line["batch"] for line in stage.told("beside-8", "end")]
    return ended["runtimeStatus"], done, len(stage.begun("beside-8"))


def stuck(stage: Stage) -> Any:
    """A loop that does not move is ended by whoever wakes it, and begun anew."""
    stage.sync("stuck-1")
    until(lambda: stage.begun("stuck-1") or None, "the batch begins")
    time.sleep(STUCK + 1.5)
    stage.wake("stuck-1")
    ended = stage.ended("stuck-1")
    return ended["runtimeStatus"], stage.begun("stuck-1"), stage.told("stuck-1", "plan")[-1]["flight"]


def announced_again(stage: Stage) -> Any:
    """A cluster that was away is told again after five seconds."""
    stage.host.begin(names.ANNOUNCE, "announce-one", {"cluster": "away", "keys": ["github.com/a/b"], "targets": []})
    ended = stage.host.ended("announce-one", 30)
    asked = [line["at"] for line in stage.told("away", "request")]
    return ended["runtimeStatus"], ended["output"], len(asked), 3.9 < asked[1] - asked[0] < 9


def clock(stage: Stage) -> Any:
    """The second clock looks once a second here, and does not end."""
    stage.host.begin(names.CLOCK, names.CLOCK_INSTANCE, {"every": 1.0})
    until(lambda: len(stage.told("clock")) > 2 or None, "three looks", 15)
    status = stage.host.look(names.CLOCK_INSTANCE)["runtimeStatus"]
    return "goes on" if status in {"Running", "ContinuedAsNew"} else status


SCENARIOS: dict[Scenario, Any] = {
    chain: ("Completed", 11, [(what, f"{link}-0") for link in range(1, 11) for what in ("begin", "end")]),
    fan_out: ("Completed", *[sorted(f"{turn}-{part}" for turn in range(1, 4) for part in range(4))] * 2),
    woken_while_waiting: ("Completed", ["1-0"], [[], ["1-0"]]),
    waits_for_a_time: ("Completed", [True, True]),
    plan_dies: ("Completed", ["1-0", "late"], True, ["late"], ["1-0", "late"]),
    batch_dies: ("Completed", ["1-0", "2-0"], [[], ["1-0"], ["2-0"]]),
    new_histories: ("Completed", True),
    a_slow_batch_beside: ("Completed", [*(f"{link + 1}-0" for link in range(8)), "long"], 9),
    stuck: ("Completed", ["1-0"], []),
    announced_again: ("Completed", True, 2, True),
    clock: "goes on",
}
"""With what happens on either engine."""
