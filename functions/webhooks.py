"""Doors for the outside world: receivers, pushes to Git hosts and ACR, API servers; and a key-protected one that wakes
clusters (`fluxless reconcile`). Each is authenticated by its own secret, answered in under a second, and never trusted
for content.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

from functions import host, names, settings
from functions.wake import pass_on, wake_all, wake_news, wake_overdue

if TYPE_CHECKING:
    from fluxless.engine.doors import Answer
    from fluxless.engine.intake import Acceptance

blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")
OPEN = func.AuthLevel.ANONYMOUS
FAULT = "not taken: storage or configuration is at fault; see the app's log, then deliver again"
_beside: set[asyncio.Task[None]] = set()
"""What no sender waits for."""
STORED = 0.1
"""Seconds from our answer to an API server until it has stored the object; a plan of before would not see it."""
EVENT_GRID_ORIGIN = "eventgrid.azure.net"


@blueprint.route(route="hook/{digest}", methods=["POST"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def hook(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """A webhook for a Receiver, at Flux's own path."""
    path = f"/hook/{req.route_params.get('digest', '')}"
    return await _taken(client, req, lambda: host.engine().intake.hook(path, _headers(req), req.get_body()))


@blueprint.route(route="api/hooks/github", methods=["POST"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def github(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """A push to GitHub."""
    from fluxless.engine.doors.github import github as door

    return await _door(client, req, lambda: door(_headers(req), req.get_body(), settings.GITHUB_WEBHOOK_SECRET.read()))


@blueprint.route(route="api/hooks/gitlab", methods=["POST"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def gitlab(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """A push to GitLab."""
    from fluxless.engine.doors.git_hosts import gitlab as door

    return await _door(client, req, lambda: door(_headers(req), req.get_body(), settings.GITLAB_WEBHOOK_SECRET.read()))


@blueprint.route(route="api/hooks/azuredevops", methods=["POST"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def azure_devops(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """A push to Azure DevOps."""
    from fluxless.engine.doors.git_hosts import azure_devops as door

    setting = settings.AZUREDEVOPS_WEBHOOK_SECRET
    return await _door(client, req, lambda: door(_headers(req), req.get_body(), setting.read()))


@blueprint.route(route="api/hooks/acr", methods=["POST"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def acr(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """A push to ACR, told by its own webhook."""
    from fluxless.engine.doors.acr import acr as door

    return await _door(client, req, lambda: door(_headers(req), req.get_body(), settings.ACR_WEBHOOK_SECRET.read()))


@blueprint.route(route="api/hooks/eventgrid", methods=["POST", "OPTIONS"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def event_grid(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Events of ACR, delivered by Event Grid with a token of Entra."""
    from fluxless.engine.doors.acr import event_grid as door
    from fluxless.notification.signatures import Refused

    headers = _headers(req)
    if req.method == "OPTIONS":  # the handshake of CloudEvents
        origin = headers.get("webhook-request-origin", "")
        if origin != EVENT_GRID_ORIGIN:
            return _text(403, "only Event Grid may send here")
        allowed = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}
        return func.HttpResponse(status_code=200, headers=allowed)
    try:
        await host.check_event_grid(headers.get("authorization", ""))
    except Refused as refused:
        log.warning("event grid delivery refused: %s", refused)
        return _text(503 if refused.status == 503 else 401, "refused; the app's log says why")
    return await _door(client, req, lambda: door(req.get_body()))


@blueprint.route(route="api/hooks/cluster/{cluster}/{token}", methods=["POST"], auth_level=OPEN)
@blueprint.durable_client_input(client_name="client")
async def cluster_changed(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """An API server tells that somebody has written a Flux object; it is always allowed."""
    from fluxless.api.failure import Problem
    from fluxless.engine.doors.cluster import admission

    cluster, token = (str(req.route_params.get(name, "")) for name in ("cluster", "token"))
    try:
        answer = admission(cluster, token, req.get_body(), settings.PUSH_SECRET.read())
    except Problem as problem:
        log.warning("cluster=%s not told by its API server: %s", cluster[:63], problem)
        return _text(503, FAULT)
    if answer.keys:
        _aside(_told_by(client, cluster))
    return func.HttpResponse(answer.text, status_code=answer.status, mimetype=answer.kind)


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
    _aside(wake_overdue(client))
    return _text(202, "woken")


async def _told_by(client: df.DurableOrchestrationClient, cluster: str) -> None:
    """Wake the cluster when its API server, which waits for our answer, has stored the object. Raises `Problem`."""
    await asyncio.sleep(STORED)
    if cluster in host.engine().clusters:
        await wake_news(client, [cluster])
    await wake_overdue(client)


def _headers(req: func.HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in req.headers.items()}


async def _door(
    client: df.DurableOrchestrationClient, req: func.HttpRequest, check: Callable[[], Answer]
) -> func.HttpResponse:
    """A built-in door: check the sender, then tell all clusters."""
    return await _taken(client, req, lambda: host.engine().intake.accept(check()))


async def _taken(
    client: df.DurableOrchestrationClient, req: func.HttpRequest, take: Callable[[], Awaitable[Acceptance]]
) -> func.HttpResponse:
    from fluxless import metrics
    from fluxless.api.failure import Problem

    start, began = time.time(), time.monotonic()
    answer = await _answer(client, take)
    seconds = time.monotonic() - began
    labels = (str(answer.status_code), "", "POST", "")
    metrics.HOOK_DURATION.observe(seconds, *labels)
    metrics.HOOK_SIZE.observe(len(answer.get_body()), *labels)
    with contextlib.suppress(Problem):  # without an engine there is nothing to keep them in
        host.engine().meter.touch()
        if answer.status_code < 300:
            _aside(host.engine().taken(req.get_body(), start, seconds, answer.status_code))
    return answer


def _aside(work: Coroutine[Any, Any, None]) -> None:
    """Do what the sender does not wait for."""

    async def quietly() -> None:
        from fluxless.api.failure import Problem

        try:
            await work
        except Problem as problem:
            log.warning("done beside a webhook: %s", problem)

    task = asyncio.create_task(quietly())
    _beside.add(task)
    task.add_done_callback(_beside.discard)


async def _answer(
    client: df.DurableOrchestrationClient, take: Callable[[], Awaitable[Acceptance]]
) -> func.HttpResponse:
    from fluxless.api.failure import Problem

    try:
        answer = await take()
        await pass_on(client, answer)
        if answer.accepted:
            await wake_overdue(client)
    except Problem as problem:
        log.warning("webhook not taken: %s", problem)
        return _text(503, FAULT)
    if answer.kind != names.TEXT:
        return func.HttpResponse(answer.text, status_code=answer.status, mimetype=answer.kind)
    return _text(answer.status, answer.text)


def _text(status: int, text: str) -> func.HttpResponse:
    return func.HttpResponse(text + "\n", status_code=status, mimetype=names.TEXT)
