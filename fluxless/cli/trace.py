"""`fluxless trace`: from an object in the cluster to the Flux object that manages it, and to the source behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from fluxless.api import conditions
from fluxless.api.kinds import HELM_RELEASE, KUSTOMIZATION, Kind, by_name
from fluxless.apply.owner import owner_labels
from fluxless.cli.change import find
from fluxless.cli.session import wrong
from fluxless.kube.client import Cluster
from fluxless.reconcile.dependencies import source_of

Obj = dict[str, Any]
WIDTH = 17
"""Of the column of names."""
FARTHEST = 10
"""Owner references that are followed."""


def wanted(words: Sequence[str], kind: str, api_version: str) -> list[tuple[str, str]]:
    """(kind, name) of every object meant: `pod web`, `pod web api`, `pod/web cm/a`, or a name beside the flags.

    Raises `Problem` for words that mean nothing.
    """
    if bool(kind) != bool(api_version):
        raise wrong("--kind and --api-version belong together", "give both, or <resource> <name>")
    if kind:
        return [(kind, name) for name in words]
    pairs = [(word.partition("/")[0], word.partition("/")[2]) for word in words]
    if all("/" in word for word in words) and all(all(pair) for pair in pairs) and words:
        return pairs
    if len(words) >= 2 and not any("/" in word for word in words):
        return [(words[0], name) for name in words[1:]]
    raise wrong("either `<resource>/<name>` or `<resource> <name>` is required", "such as `trace deployment web`")


async def show(
    cluster: Cluster, namespace: str, objects: Sequence[tuple[str, str]], api_version: str, out: Console
) -> None:
    """Print where every object comes from. Raises `Problem` for the first that does not exist or is nobody's."""
    for number, (kind, name) in enumerate(objects):
        resource = await (cluster.resource(api_version, kind) if api_version else cluster.named(kind))
        obj = await cluster.get(resource, name, namespace if resource.namespaced else "")
        if obj is None:
            where = f" in namespace {namespace}" if resource.namespaced else ""
            raise wrong(f"{resource.kind} {name} not found{where}", "give the namespace with -n")
        if number:
            out.print("---")
        await _trace(cluster, {"apiVersion": resource.api_version, "kind": resource.kind, **obj}, out)


async def _trace(cluster: Cluster, obj: Obj, out: Console) -> None:
    owner = await _owner(cluster, obj)
    if owner is None:
        raise wrong(f"{obj['kind']} {obj['metadata']['name']} is not managed by Flux", "it carries no owner labels")
    kind, name, namespace = owner
    _print(out, ("Object", f"{obj['kind']}/{obj['metadata']['name']}"), *_namespace(obj), ("Status", "Managed by Flux"))
    consumer = await find(cluster, kind, namespace, name)
    _print(out, *_consumer(kind, consumer), first=False)
    ref = source_of(consumer) or _chart_source(consumer)
    if ref is not None:
        source_kind = by_name(ref.kind)
        source = await find(cluster, source_kind, ref.namespace, ref.name)
        _print(out, *_source(source_kind, source), first=False)


async def _owner(cluster: Cluster, obj: Obj) -> tuple[Kind, str, str] | None:
    """The Flux object that the labels name, of the object or of whoever owns it in the cluster."""
    for _ in range(FARTHEST):
        for kind in (KUSTOMIZATION, HELM_RELEASE):
            name, namespace = owner_labels(obj, kind.group)
            if name and namespace:
                return kind, name, namespace
        references = obj["metadata"].get("ownerReferences") or []
        above = next((ref for ref in references if ref.get("controller")), None) or next(iter(references), None)
        if above is None:
            return None
        resource = await cluster.resource(above["apiVersion"], above["kind"])
        namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        found = await cluster.get(resource, above["name"], namespace)
        if found is None:
            return None
        obj = found
    return None


def _chart_source(obj: Obj) -> Any:
    """The source of a HelmRelease's chart."""
    spec = obj.get("spec") or {}
    inner = {"spec": (spec.get("chart") or {}).get("spec") or {"sourceRef": spec.get("chartRef")}}
    return source_of(obj | inner) if inner["spec"].get("sourceRef") else None


def _namespace(obj: Obj) -> list[tuple[str, str]]:
    namespace = obj["metadata"].get("namespace")
    return [("Namespace", namespace)] if namespace else []


def _consumer(kind: Kind, obj: Obj) -> list[tuple[str, str]]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = spec.get("targetNamespace")
    return [
        (kind.kind, obj["metadata"]["name"]),
        *_namespace(obj),
        *([("Target", target)] if target else []),
        *([("Path", str(spec.get("path") or ""))] if kind is KUSTOMIZATION else []),
        ("Revision", str(status.get("lastAppliedRevision") or status.get("lastAttemptedRevision") or "")),
        *_ready(obj, "Last reconciled at"),
    ]


def _source(kind: Kind, obj: Obj) -> list[tuple[str, str]]:
    spec, artifact = obj.get("spec") or {}, (obj.get("status") or {}).get("artifact") or {}
    ref = spec.get("ref") or {}
    which = (("Tag", "tag"), ("Tag", "semver"), ("Digest", "digest"), ("Branch", "branch"))
    chosen = next(((word, str(ref[field])) for word, field in which if ref.get(field)), None)
    failed = conditions.is_false(obj, "Ready")
    known = artifact.get("metadata") or {}
    origin = (
        ("Origin Source", "org.opencontainers.image.source"),
        ("Origin Revision", "org.opencontainers.image.revision"),
    )
    return [
        (kind.kind, obj["metadata"]["name"]),
        *_namespace(obj),
        *([("URL", str(spec["url"]))] if spec.get("url") else []),
        *([chosen] if chosen else []),
        *([("Revision", str(artifact["revision"]))] if artifact.get("revision") else []),
        *((word, str(known[key])) for word, key in origin if known.get(key)),
        *_ready(obj, "Last reconciliation failed at" if failed else "Last reconciled at"),
    ]


def _ready(obj: Obj, words: str) -> list[tuple[str, str]]:
    ready = conditions.get(obj, "Ready")
    if ready is None:
        return [("Status", "Unknown")]
    return [("Status", f"{words} {ready['lastTransitionTime']}"), ("Message", str(ready.get("message") or ""))]


def _print(out: Console, *rows: tuple[str, str], first: bool = True) -> None:
    if not first:
        out.print("---")
    for name, value in rows:
        out.print(f"{name + ':':<{WIDTH}}{value}", markup=False)
