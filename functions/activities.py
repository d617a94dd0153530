"""The steps of the orchestrations. An activity never raises: an exception text over 64 KB would hang Durable, so what
went wrong comes back as `{ok, reason, summary}` and the full text is logged or kept in the store.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from functions import host
from functions.wake import start_overdue

if TYPE_CHECKING:
    Message = dict[str, Any]
else:
    Message = dict  # Microsoft's worker wants a class: it refuses to load functions annotated with `dict[str, Any]`
blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")
SUMMARY_LIMIT = 1000
"""Characters of an error that travel through Durable."""


@blueprint.activity_trigger(input_name="message")
async def plan(message: Message) -> dict[str, Any]:
    """`{cluster, begun, turn, inFlight, finished, draining}` to `{ok, batches, wakeAfter, counts, summary}`."""

    from fluxless.engine.schedule import Turn

    async def work() -> dict[str, Any]:
        turn = Turn(message["begun"], message["turn"]) if "begun" in message else None  # a former release's has none
        steps = await host.engine().plan(
            message["cluster"], message["inFlight"], message["finished"], draining=message["draining"], turn=turn
        )
        return steps.to_json()

    return await _safely("plan", message["cluster"], work())


@blueprint.activity_trigger(input_name="message")
async def reconcile(message: Message) -> dict[str, Any]:
    """`{cluster, batch}` to `{ok, outcomes, summary}`; outcomes are in the order of the schedule's batch."""

    async def work() -> dict[str, Any]:
        return {"outcomes": await host.engine().reconcile(message["cluster"], message["batch"])}

    return {"outcomes": []} | await _safely("reconcile", message["cluster"], work())


@blueprint.activity_trigger(input_name="message")
async def request(message: Message) -> dict[str, Any]:
    """`{cluster, keys, targets}` to `{ok, summary}`: annotate the objects of one cluster that a webhook is about."""

    async def work() -> dict[str, Any]:
        targets = tuple((one[0], one[1], one[2], one[3]) for one in message["targets"])
        await host.engine().intake.tell(message["cluster"], tuple(message["keys"]), targets)
        return {}

    return await _safely("request", message["cluster"], work())


@blueprint.activity_trigger(input_name="message")
@blueprint.durable_client_input(client_name="client")
async def look_at_heartbeat(message: Message, client: df.DurableOrchestrationClient) -> dict[str, Any]:
    """`{}` to `{ok, summary}`: start what is overdue because the timer trigger is silent. Called by `clock`."""

    async def work() -> dict[str, Any]:
        await start_overdue(client)
        return {}

    return await _safely("look_at_heartbeat", "*", work())


async def _safely(name: str, cluster: str, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """What the work comes to, or what went wrong; `away` says that the cluster is left alone for a while."""
    from fluxless.api.failure import Problem
    from fluxless.engine.reach import ClusterAway

    try:
        return {"ok": True, "summary": "", **await work}
    except ClusterAway as problem:
        return {"ok": False, "away": True, "reason": problem.cls.value, "summary": str(problem)[:SUMMARY_LIMIT]}
    except Problem as problem:
        log.warning("cluster=%s activity=%s failed: %s", cluster, name, problem)
        return {"ok": False, "reason": problem.cls.value, "summary": str(problem)[:SUMMARY_LIMIT]}
    except Exception as error:
        log.exception("cluster=%s activity=%s failed", cluster, name)
        return {"ok": False, "reason": "internal", "summary": f"{type(error).__name__}: {error}"[:SUMMARY_LIMIT]}
