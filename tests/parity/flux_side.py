"""Flux's own controllers as a side, over a control plane of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fluxless.cli.install import install
from fluxless.kube.client import Cluster
from fluxless.transport import session
from tests.parity.fluxless_side import REQUEUE_DEPENDENCY
from tools import controllers

AT_ONCE = "16"
NEEDED = (controllers.SOURCE, controllers.KUSTOMIZE)


async def define(cluster: Cluster) -> None:
    """Our definitions: what a scenario says has to be understood by both sides."""
    await install(cluster)
    await controllers.define_other_kinds(cluster)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}
    await cluster.apply(body, manager="tests")


async def read(artifact: dict[str, Any]) -> bytes:
    """The bytes of an artifact, from source-controller's server."""
    async with session(timeout=30.0) as http, http.get(artifact["url"]) as answer:
        answer.raise_for_status()
        return await answer.read()


@contextlib.asynccontextmanager
async def working(kubeconfig: Path, folder: Path) -> AsyncIterator[None]:
    """The controllers at work; their logs are in the folder."""
    flags = (f"--requeue-dependency={REQUEUE_DEPENDENCY:.0f}s", "--http-retry=2")
    more = {controllers.KUSTOMIZE: flags, controllers.HELM: flags}
    names = NEEDED if controllers.missing(controllers.HELM) else (*NEEDED, controllers.HELM)
    all_of_them = controllers.Controllers(
        folder, kubeconfig, everywhere=True, flags=(f"--concurrent={AT_ONCE}",), more=more, names=names
    )
    await asyncio.to_thread(all_of_them.start)
    try:
        yield
    finally:
        await asyncio.to_thread(all_of_them.stop)
