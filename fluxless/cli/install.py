"""Puts the CRDs into a cluster, or prints them: `fluxless install [--export]`; the local environment does so too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fluxless.go_yaml import load
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind

FOLDER = Path(__file__).resolve().parents[1] / "api" / "crds"
MANAGER = "fluxless"
SERVED_WITHIN = 30.0
"""Seconds that the API server may take until it serves a new kind."""


def texts() -> list[str]:
    """The CRDs as they are in the package."""
    return [path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]


def definitions() -> dict[str, dict[str, Any]]:
    """The same as objects, by name."""
    found: list[dict[str, Any]] = [load(text, "a CRD of the package") for text in texts()]
    return {str(definition["metadata"]["name"]): definition for definition in found}


async def install(cluster: Cluster) -> list[str]:
    """Apply the CRDs and wait until their kinds are served; their names. Raises `Problem`."""
    found = definitions()
    await asyncio.gather(*(cluster.apply(definition, manager=MANAGER) for definition in found.values()))
    for definition in found.values():
        spec = definition["spec"]
        await _served(cluster, f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"])
    return list(found)


async def _served(cluster: Cluster, api_version: str, kind: str) -> None:
    async with asyncio.timeout(SERVED_WITHIN):
        while True:
            try:
                await cluster.resource(api_version, kind)
            except NoSuchKind:
                await asyncio.sleep(0.1)
            else:
                return
