"""The composition root: app settings become one `Engine` per worker, on first use (cold start is a feature)."""

from __future__ import annotations

import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from functions import log_lines, reconciliation, settings

if TYPE_CHECKING:
    from fluxless.artifacts.store import Store
    from fluxless.engine.engine import Engine
    from fluxless.telemetry import Tracer

INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"
"""Azure's own app setting."""
LOUD = ("azure", "msal")
"""Loggers of SDKs that tell every request, headers and all: that would be most of what telemetry costs."""
for _name in LOUD:
    logging.getLogger(_name).setLevel(logging.WARNING)
log_lines.use()
HEARTBEAT_OVERDUE = 120.0
"""Seconds without a heartbeat after which any caller starts the work that the timer should have started."""


def timer_schedule() -> str:
    """The NCRONTAB expression of the timer; read at import, since a binding cannot have a default of its own."""
    return settings.TIMER.read()


async def check_event_grid(authorization: str) -> None:
    """The token of an Event Grid delivery: signed by our Entra tenant, for our audience, given to Event Grid itself.
    Raises `Refused`.
    """
    from fluxless.notification.oidc import verified
    from fluxless.notification.signatures import Refused

    allow_addresses()
    issuer, audience = settings.EVENTGRID_ISSUER.read(), settings.EVENTGRID_AUDIENCE.read()
    if not issuer or not audience:
        raise Refused("set the app settings FLUXLESS_EVENTGRID_ISSUER and FLUXLESS_EVENTGRID_AUDIENCE")
    tenant = issuer.removeprefix("https://login.microsoftonline.com/").removesuffix("/v2.0")
    first_version = f"https://sts.windows.net/{tenant}/"  # the issuer of tokens of Entra's older form
    claims = await verified(authorization, audience, issuer, first_version, discovery=issuer)
    if settings.EVENTGRID_CALLER.read() not in {claims.get("azp"), claims.get("appid")}:
        raise Refused("the token was not given to Event Grid")


@lru_cache(maxsize=1)
def allow_addresses() -> None:
    """Set which addresses out of objects this worker calls; none near it until this was said. Raises `Problem`."""
    from fluxless import addresses

    try:
        chosen = addresses.AddressPolicy.of(settings.ALLOWED_ADDRESSES.read(), os.environ)
    except ValueError as error:
        step = "write it like 10.80.0.0/22,192.168.7.4"
        raise settings.ALLOWED_ADDRESSES.wrong(f"cannot be read: {error}", step) from None
    addresses.use(chosen)


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this worker. Raises `Problem` when an app setting is missing or wrong, naming it."""
    from fluxless import loop_lag
    from fluxless.artifacts.cache import ArtifactCache
    from fluxless.engine.engine import Engine
    from fluxless.kube.connect import read_clusters
    from fluxless.reconcile.remotes import Remotes
    from fluxless.reconcile.services import Services

    allow_addresses()
    chosen = reconciliation.read()
    clusters = read_clusters(settings.CLUSTERS.read())
    store = open_store()
    folder = Path(settings.CACHE_FOLDER.read() or Path(tempfile.gettempdir()) / "fluxless") / "artifacts"
    cache = ArtifactCache(store, folder, foreign=settings.EXTERNAL_ARTIFACTS.on())
    made = Engine(clusters, Services(store, cache, chosen, remotes=Remotes(clusters)), _tracer())
    loop_lag.watch()
    return made


def _tracer() -> Tracer | None:
    """Traces go where the app's own telemetry goes, by the app's identity; nowhere without Application Insights."""
    connection, share = os.environ.get(INSIGHTS, ""), reconciliation.trace_share()
    if not connection or not share:
        return None
    from fluxless.telemetry import Tracer

    return Tracer(connection, settings.IDENTITY_CLIENT_ID.read(), share)


def open_store() -> Store:
    """The store that the app settings name. Raises `Problem`."""
    from fluxless.api.failure import Failure, FailureClass, Problem
    from fluxless.artifacts.blob import AzureStore

    container = settings.BLOB_CONTAINER.read()
    if connection := settings.BLOB_CONNECTION.read():
        return AzureStore.from_connection_string(connection, container)
    if url := settings.BLOB_ACCOUNT_URL.read():
        from fluxless.auth.identity import credential
        from fluxless.auth.purposes import STORE

        own = credential(settings.IDENTITY_CLIENT_ID.read() or None).pinned(STORE, url)
        return AzureStore.from_account_url(url, container, own)
    raise Problem(
        Failure(
            FailureClass.INTERNAL,
            "no storage account is configured",
            next_step="set the app setting FLUXLESS_BLOB_ACCOUNT_URL (with an identity) or FLUXLESS_BLOB_CONNECTION",
        )
    )
