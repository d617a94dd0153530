"""The orchestrators and the waking of clusters as they are, over activities that play a scenario and keep a journal.

The name of the cluster says which: `chain-5`, … Each line of `<journal>/<cluster>.jsonl` is something that happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from fluxless.api.failure import Problem
from functions import host, names, orchestrators, wake

JOURNAL = Path(os.environ["TEST_JOURNAL"])
wake.STUCK = float(os.environ.get("TEST_STUCK", wake.STUCK))
with contextlib.suppress(Problem):  # without settings there is none; but what the first wake would import is there
    host.engine()
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(orchestrators.blueprint)
calls: Counter[str] = Counter()
NOTHING: dict[str, Any] = {"ok": True, "summary": "", "batches": [], "wakeAfter": None, "counts": {"objects": 3}}
LONG = "long"
SECONDS = {"slow": 2.5, "stuck": 120.0, "late": 2.5, LONG: 15.0}
"""That a batch takes, by its name or that of its cluster; else a moment."""


def tell(cluster: str, what: str, **more: Any) -> None:
    """A line of the journal."""
    with (JOURNAL / f"{cluster}.jsonl").open("a") as journal:
        journal.write(json.dumps({"at": time.time(), "what": what, **more}) + "\n")


def begins(number: int, *, each: int = 1) -> dict[str, Any]:
    return NOTHING | {"batches": [f"{number}-{part}" for part in range(each)]}


def script(cluster: str, turn: int, flight: list[str]) -> dict[str, Any]:
    """What the plan of that turn (from 1) says. One that comes while batches are in flight starts nothing."""
    name, count, *_ = [*cluster.split("-"), ""]
    last = turn > int(count or 1)
    if flight:
        return NOTHING
    match name:
        case "chain" | "deadbatch" | "slow" | "stuck":
            return NOTHING if last else begins(turn)
        case "beside":
            return NOTHING if last else begins(turn) | ({"batches": [LONG, "1-0"]} if turn == 1 else {})
        case "fan":
            return NOTHING if last else begins(turn, each=4)
        case "waits":
            return NOTHING if last else NOTHING | {"wakeAfter": 1.5}
        case "deadplan":
            if turn == 2:
                raise RuntimeError("the worker has died")
            return NOTHING if turn > 2 else NOTHING | {"batches": ["1-0", "late"]}
    raise ValueError(cluster)


@app.activity_trigger(input_name="message")
async def plan(message: dict) -> dict:  # type: ignore[type-arg]
    cluster = message["cluster"]
    tell(cluster, "plan", flight=message["inFlight"], finished=sorted(message["finished"]))
    if message["draining"]:
        return NOTHING | {"wakeAfter": None if message["inFlight"] else 0.0}
    await asyncio.sleep(0.02)
    flight = [batch for batch in message["inFlight"] if batch not in SECONDS]
    calls[cluster] += not flight
    return script(cluster, calls[cluster], flight)


@app.activity_trigger(input_name="message")
async def reconcile(message: dict) -> dict:  # type: ignore[type-arg]
    cluster, batch = message["cluster"], message["batch"]
    tell(cluster, "begin", batch=batch)
    if cluster.startswith("deadbatch") and batch.startswith("1"):
        raise RuntimeError("the worker has died")
    await asyncio.sleep(SECONDS.get(batch, SECONDS.get(cluster.partition("-")[0], 0.08)))
    tell(cluster, "end", batch=batch)
    return {"ok": True, "summary": "", "outcomes": [["r", 600.0]]}


@app.activity_trigger(input_name="message")
async def request(message: dict) -> dict:  # type: ignore[type-arg]
    calls["request"] += 1
    tell(message["cluster"], "request")
    return {"ok": calls["request"] > 1, "summary": "away"}


@app.activity_trigger(input_name="message")
async def look_at_heartbeat(message: dict) -> dict:  # type: ignore[type-arg]
    tell("clock", "look")
    return {"ok": True, "summary": ""}


@app.route("wake/{cluster}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def wake_cluster(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    await wake.wake_news(client, [str(req.route_params["cluster"])])
    return func.HttpResponse(status_code=202)


assert names.LOOK == "look_at_heartbeat"
