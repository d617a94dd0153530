"""What Prometheus reads. Protected by a function key; a key of this function alone opens nothing else."""

from __future__ import annotations

import logging

import azure.durable_functions as df
import azure.functions as func

from functions import host, names

blueprint = df.Blueprint()
log = logging.getLogger("fluxless.functions")


@blueprint.route(route="api/metrics", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def metrics(req: func.HttpRequest) -> func.HttpResponse:
    """The metrics of all clusters, in Prometheus' text format."""
    from fluxless.api.failure import Problem
    from fluxless.engine.exposition import KIND

    try:
        return func.HttpResponse(await host.engine().metrics(), mimetype="text/plain", headers={"Content-Type": KIND})
    except Problem as problem:
        log.warning("metrics not given: %s", problem)
        words = "storage or configuration is at fault; see the app's log\n"
        return func.HttpResponse(words, status_code=503, mimetype=names.TEXT)
