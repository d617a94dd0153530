"""Doors for the outside world: GitHub pushes, and a key-protected one that wakes clusters (`fluxless reconcile`)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func

from functions import host, names
from functions.wake import wake_all, wake_overdue

if TYPE_CHECKING:
    from fluxless.engine.engine import Announcement

blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")


@blueprint.route(route="api/hooks/github", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@blueprint.durable_client_input(client_name="client")
async def github(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """A GitHub push: authenticated by its signature, answered in under a second, never trusted for content."""
    from fluxless.api.failure import Problem

    headers = {name.lower(): value for name, value in req.headers.items()}
    try:
        answer = await host.engine().accept_github(headers, req.get_body(), host.github_secret())
        await wake_all(client, answer.woken)
        await asyncio.gather(*(_announce(client, announcement) for announcement in answer.missed))
        if answer.accepted:
            await wake_overdue(client)
    except Problem as problem:
        log.warning("webhook not taken: %s", problem)
        return _text(503, "not taken: storage or configuration is at fault; see the app's log, then deliver again")
    return _text(answer.status, answer.text)


async def _announce(client: df.DurableOrchestrationClient, announcement: Announcement) -> None:
    instance = names.announce_instance(announcement.delivery, announcement.cluster)
    message = {"cluster": announcement.cluster, "urls": list(announcement.urls), "token": announcement.token}
    await client.start_new(names.ANNOUNCE, instance, message)


@blueprint.route(route="api/sync/{cluster?}", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@blueprint.durable_client_input(client_name="client")
async def wake_clusters(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Plan one cluster, or all, now instead of at the next tick."""
    from fluxless.api.failure import Problem

    try:
        known = host.engine().clusters
    except Problem as problem:
        return _text(503, str(problem))
    wanted = req.route_params.get("cluster")
    if wanted and wanted not in known:
        return _text(404, f"no cluster {wanted[:63]!r}: known are {', '.join(known)}")
    await wake_all(client, [wanted] if wanted else known)
    return _text(202, "woken")


def _text(status: int, text: str) -> func.HttpResponse:
    return func.HttpResponse(text + "\n", status_code=status, mimetype="text/plain")
