"""`fluxless build kustomization`: prints what would be applied, as YAML."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fluxless.apply.objects import KubeObject
from fluxless.cli.ahead import Asked, Outlook, Place, outlook
from fluxless.go_yaml import WIDE, dump
from fluxless.kube.client import Cluster
from fluxless.reconcile.world import Ref


async def show(asked: Asked, cluster: Cluster | None) -> str:
    """The documents, in the order of the build; those of Kustomizations below come after. Raises `Problem`."""
    async with outlook(asked, cluster) as ahead:
        first = await ahead.first()
        return "".join([f"---\n{_text(obj)}" async for obj in _objects(ahead, first, {first.ref})])


async def _objects(ahead: Outlook, place: Place, seen: set[Ref]) -> AsyncIterator[KubeObject]:
    manifests = await ahead.manifests(place)
    for manifest in manifests:
        yield manifest.object
    async for below in ahead.below(place, manifests, seen):
        async for obj in _objects(ahead, below, seen):
            yield obj


def _text(obj: KubeObject) -> str:
    return dump(obj, width=WIDE)
