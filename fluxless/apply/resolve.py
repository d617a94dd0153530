"""From manifests to items: which resource of the cluster each object is, and whether it has a namespace (KC-90)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import replace

from fluxless.api.failure import Failure
from fluxless.apply.failures import refused, without_namespace
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject, Manifest, group_of, object_id, rendered_digest
from fluxless.apply.stage import Item
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind
from fluxless.kube.resource import Resource

SERVED_WITHIN = 10.0
"""Seconds that discovery may take to show a kind whose definition was just written."""
GroupKind = tuple[str, str]


def defined_kinds(manifests: Iterable[Manifest]) -> set[GroupKind]:
    """The (group, kind) pairs that definitions among the manifests bring."""
    definitions = (m.object for m in manifests if m.object["kind"] == "CustomResourceDefinition")
    specs = (definition.get("spec") or {} for definition in definitions)
    return {(str(spec.get("group")), str((spec.get("names") or {}).get("kind"))) for spec in specs}


async def resolve(
    cluster: Cluster, manifests: Iterable[Manifest], defined: Collection[GroupKind], salt: str
) -> tuple[list[Item], list[Failure]]:
    """An item for every manifest, or a failure: a kind that the cluster does not know, or no namespace.

    A kind of `defined` may take a moment to be served. Raises `ApiProblem`.
    """
    found = await each(lambda manifest: resolve_one(cluster, manifest, defined, salt), manifests)
    return [one for one in found if isinstance(one, Item)], [one for one in found if isinstance(one, Failure)]


async def resolve_one(
    cluster: Cluster, manifest: Manifest, defined: Collection[GroupKind], salt: str
) -> Item | Failure:
    """A cluster-scoped object loses its namespace, a namespaced one must have one."""
    obj = manifest.object
    try:
        resource = await _resource(cluster, obj, defined)
    except NoSuchKind as problem:
        return refused(problem, obj, manifest.origin)
    namespace = obj["metadata"].get("namespace")
    if resource.namespaced and not namespace:
        return without_namespace(obj, manifest.origin)
    if not resource.namespaced and namespace:
        metadata = {key: value for key, value in obj["metadata"].items() if key != "namespace"}
        manifest = replace(manifest, object={**obj, "metadata": metadata})
    return Item(object_id(manifest.object), manifest, resource, rendered_digest(manifest.object, salt))


async def _resource(cluster: Cluster, obj: KubeObject, defined: Collection[GroupKind]) -> Resource:
    """Discovery of a kind that this very set has defined may lag behind a moment."""
    waited = 0.0
    while True:
        try:
            return await cluster.resource(obj["apiVersion"], obj["kind"])
        except NoSuchKind:
            if (group_of(obj["apiVersion"]), obj["kind"]) not in defined or waited >= SERVED_WITHIN:
                raise
        await asyncio.sleep(0.2)
        waited += 0.2
