"""The composition root: app settings become one `Engine` per worker, on first use (cold start is a feature)."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluxless.artifacts.store import Store
    from fluxless.engine.engine import Engine

DEFAULT_TIMER = "*/30 * * * * *"
DEFAULT_CONTAINER = "fluxless"
HEARTBEAT_OVERDUE = 120.0
"""Seconds without a heartbeat after which any caller starts the work that the timer should have started."""


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The app settings that the door itself reads; docs/operations.md lists all of them with their meaning."""

    clusters: str
    blob_connection: str
    blob_account_url: str
    blob_container: str
    identity_client_id: str
    github_secret: str
    artifact_base_url: str
    cache_folder: str
    default_service_account: str
    no_cross_namespace_refs: bool
    prune_limit: str

    @classmethod
    def read(cls) -> AppSettings:
        """From the environment, where Functions puts app settings."""
        env = os.environ
        return cls(
            clusters=env.get("FLUXLESS_CLUSTERS", ""),
            blob_connection=env.get("FLUXLESS_BLOB_CONNECTION", ""),
            blob_account_url=env.get("FLUXLESS_BLOB_ACCOUNT_URL", ""),
            blob_container=env.get("FLUXLESS_BLOB_CONTAINER", DEFAULT_CONTAINER),
            identity_client_id=env.get("FLUXLESS_IDENTITY_CLIENT_ID", ""),
            github_secret=env.get("FLUXLESS_GITHUB_WEBHOOK_SECRET", ""),
            artifact_base_url=env.get("FLUXLESS_ARTIFACT_BASE_URL", ""),
            cache_folder=env.get("FLUXLESS_CACHE_FOLDER", ""),
            default_service_account=env.get("FLUXLESS_DEFAULT_SERVICE_ACCOUNT", ""),
            prune_limit=env.get("FLUXLESS_PRUNE_LIMIT", ""),
            no_cross_namespace_refs=env.get("FLUXLESS_NO_CROSS_NAMESPACE_REFS", "").lower() == "true",
        )


def timer_schedule() -> str:
    """The NCRONTAB expression of the timer; read at import, since a binding cannot have a default of its own."""
    return os.environ.get("FLUXLESS_TIMER") or DEFAULT_TIMER


def github_secret() -> str:
    """The secret of GitHub webhooks; read on each call, so that a changed app setting needs no new engine."""
    return AppSettings.read().github_secret


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this worker. Raises `Problem` when an app setting is missing or wrong, naming it."""
    from fluxless.artifacts.cache import ArtifactCache
    from fluxless.engine.engine import Engine
    from fluxless.kube.connect import read_clusters
    from fluxless.reconcile.services import Services, Settings

    settings = AppSettings.read()
    _check_limit(settings.prune_limit)
    store = _store(settings)
    folder = Path(settings.cache_folder or Path(tempfile.gettempdir()) / "fluxless") / "artifacts"
    base = settings.artifact_base_url or (settings.blob_account_url and f"{settings.blob_account_url}/artifacts")
    services = Services(
        store=store,
        artifacts=ArtifactCache(store, folder),
        settings=Settings(
            artifact_base_url=base or Settings().artifact_base_url,
            no_cross_namespace_refs=settings.no_cross_namespace_refs,
            default_service_account=settings.default_service_account,
            prune_limit=settings.prune_limit,
        ),
    )
    return Engine(read_clusters(settings.clusters), services)


def _check_limit(text: str) -> None:
    """Better at the start than in the middle of a prune."""
    from fluxless.api.failure import Failure, FailureClass, Problem
    from fluxless.kustomize.prune_guard import Limit

    try:
        Limit.parse(text)
    except ValueError:
        message = f"FLUXLESS_PRUNE_LIMIT {text!r} is neither a number nor a percentage"
        raise Problem(Failure(FailureClass.VALIDATION, message, next_step="write it like 20 or 30%")) from None


def _store(settings: AppSettings) -> Store:
    from fluxless.api.failure import Failure, FailureClass, Problem
    from fluxless.artifacts.blob import AzureStore

    if settings.blob_connection:
        return AzureStore.from_connection_string(settings.blob_connection, settings.blob_container)
    if settings.blob_account_url:
        from fluxless.identity import credential

        identity = credential(settings.identity_client_id or None).sdk
        return AzureStore.from_account_url(settings.blob_account_url, settings.blob_container, identity)
    raise Problem(
        Failure(
            FailureClass.INTERNAL,
            "no storage account is configured",
            next_step="set the app setting FLUXLESS_BLOB_ACCOUNT_URL (with an identity) or FLUXLESS_BLOB_CONNECTION",
        )
    )
