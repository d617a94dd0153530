"""The orchestrators as they are, over activities that play the scenario which the name of the cluster says."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import azure.durable_functions as df

from functions import orchestrators

app = df.DFApp()
app.register_functions(orchestrators.blueprint)
calls: Counter[str] = Counter()
NOTHING: dict[str, Any] = {"ok": True, "summary": "", "batches": [], "wakeAfter": None, "counts": {"objects": 3}}


def batch(number: int, *, each: int = 1) -> dict[str, Any]:
    return NOTHING | {"batches": [f"{number}-{part}" for part in range(each)]}


def script(cluster: str, turn: int) -> dict[str, Any]:
    """What the plan of that turn (from 1) says."""
    name, _, count = cluster.partition("-")
    last = turn > int(count or 3)
    match name:
        case "chain":
            return NOTHING if last else batch(turn)
        case "fan":
            return NOTHING if last else batch(turn, each=4)
        case "waits":
            return NOTHING if last else NOTHING | {"wakeAfter": 0.05}
        case "slow":
            return batch(turn) if turn == 1 else NOTHING
        case "failing":
            return NOTHING if last else {"ok": False, "summary": "the API server is away"}
        case "away":
            return {"ok": False, "away": True, "summary": "the cluster is away"}
    raise ValueError(cluster)


@app.activity_trigger(input_name="message")
async def plan(message: dict) -> dict:  # type: ignore[type-arg]
    cluster = message["cluster"]
    calls[cluster] += 1
    if cluster.startswith("deadplan"):
        if calls[cluster] == 2:
            raise RuntimeError("the worker has died")
        return NOTHING if calls[cluster] > 3 else batch(calls[cluster])
    if cluster.startswith("deadbatch"):
        return NOTHING if calls[cluster] > 2 else batch(calls[cluster])
    if message["draining"]:
        return NOTHING | {"wakeAfter": None if message["inFlight"] else 0.0}
    return script(cluster, calls[cluster])


@app.activity_trigger(input_name="message")
async def reconcile(message: dict) -> dict:  # type: ignore[type-arg]
    if message["cluster"].startswith("deadbatch") and message["batch"].startswith("1"):
        raise RuntimeError("the worker has died")
    await asyncio.sleep(30 if message["cluster"].startswith("slow") else 0.01)
    return {"ok": True, "summary": "", "outcomes": [["r", 600.0]]}


@app.activity_trigger(input_name="message")
async def request(message: dict) -> dict:  # type: ignore[type-arg]
    return {"ok": False, "summary": "away"}
