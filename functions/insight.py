"""What others ask about the app: Prometheus, and `fluxless deploy`. Protected by function keys; that of one function
opens nothing else.
"""

from __future__ import annotations

import json
import logging

import azure.durable_functions as df
import azure.functions as func

from functions import host, names, settings
from functions.wake import wake_overdue

blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")


@blueprint.route(route="api/metrics", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
@blueprint.durable_client_input(client_name="client")
async def metrics(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """The metrics of all clusters, in Prometheus' text format."""
    from fluxless.api.failure import Problem
    from fluxless.engine.exposition import KIND

    try:
        await wake_overdue(client)
        return func.HttpResponse(await host.engine().metrics(), mimetype="text/plain", headers={"Content-Type": KIND})
    except Problem as problem:
        log.warning("metrics not given: %s", problem)
        words = "storage or configuration is at fault; see the app's log\n"
        return func.HttpResponse(words, status_code=503, mimetype=names.TEXT)


@blueprint.route(route="api/check", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
@blueprint.durable_client_input(client_name="client")
async def check(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Whether the app reaches its clusters, and the registries of `?registries=a.azurecr.io,b.azurecr.io`, as JSON."""
    from fluxless.api.failure import Problem

    hosts = settings.listed(str(req.params.get("registries", "")))
    try:
        await wake_overdue(client)
        return func.HttpResponse(json.dumps(await host.engine().check(hosts)), mimetype="application/json")
    except Problem as problem:
        return func.HttpResponse(f"{problem}\n", status_code=503, mimetype=names.TEXT)
