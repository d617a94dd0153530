"""What every command needs: the cluster that the flags mean, an output, and an end with a clear error."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.artifacts.store import Store
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect

T = TypeVar("T")
DEFAULT_NAMESPACE = "flux-system"


@dataclass(slots=True)
class Session:
    """The global flags. `functions_url` and `functions_key` are the app's, to wake it instead of waiting for it."""

    kubeconfig: str = ""
    context: str = ""
    resource_id: str = ""
    namespace: str = DEFAULT_NAMESPACE
    timeout: float = 300.0
    functions_url: str = ""
    functions_key: str = ""
    blob_connection: str = ""
    blob_account_url: str = ""
    blob_container: str = "fluxless"

    def config(self) -> ClusterConfig:
        """The cluster, by `--resource-id`, `--kubeconfig`, `$KUBECONFIG` or the usual place."""
        if self.resource_id:
            return ClusterConfig("cluster", resource_id=self.resource_id)
        given = self.kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        return ClusterConfig("cluster", kubeconfig=given or str(Path.home() / ".kube" / "config"), context=self.context)

    def store(self) -> Store:
        """The app's store, for run records and the heartbeat. Raises `Problem` when no flag names it."""
        from fluxless.artifacts.blob import AzureStore

        if self.blob_connection:
            return AzureStore.from_connection_string(self.blob_connection, self.blob_container)
        if self.blob_account_url:
            from fluxless.auth.identity import credential
            from fluxless.auth.purposes import STORE

            own = credential().pinned(STORE, self.blob_account_url)
            return AzureStore.from_account_url(self.blob_account_url, self.blob_container, own)
        raise Problem(
            Failure(
                FailureClass.INTERNAL,
                "this needs the app's storage account",
                next_step="give --blob-account-url (or --blob-connection, or set BLOB_CONNECTION)",
            )
        )


def wrong(words: str, next_step: str = "") -> Problem:
    """The error of a flag, an argument or a name that cannot be used."""
    return Problem(Failure(FailureClass.VALIDATION, words, next_step=next_step))


def console(*, error: bool = False) -> Console:
    """Plain when piped; as wide as it takes, since tables are grepped."""
    width = None if sys.stdout.isatty() else 400
    return Console(stderr=error, highlight=False, soft_wrap=True, width=width)


def run(session: Session, work: Callable[[Cluster], Awaitable[T]], *, failed: int = 1) -> T:
    """Connect, work, close; ends the process with a sentence and the exit code `failed` when something is wrong."""

    async def connected() -> T:
        cluster = await connect(session.config())
        try:
            return await work(cluster)
        finally:
            await cluster.close()

    return run_plain(connected, failed=failed)


def run_plain(work: Callable[[], Awaitable[T]], *, failed: int = 1) -> T:
    """The same for work that needs no cluster."""

    async def main() -> T:
        return await work()

    try:
        return asyncio.run(main())
    except Problem as problem:
        for failure in problem.failures:
            console(error=True).print(f"[red]✗[/red] {failure.text()}")
        raise SystemExit(failed) from None
    except TimeoutError:
        console(error=True).print("[red]✗[/red] timed out; raise --timeout, or look at the object's conditions")
        raise SystemExit(failed) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
