"""`fluxless export`: objects as a user would write them, without what the cluster has added."""

from __future__ import annotations

from typing import Any

from fluxless import go_yaml
from fluxless.api.kinds import Kind
from fluxless.cli.change import find
from fluxless.cli.get import objects
from fluxless.cli.session import wrong
from fluxless.kube.client import Cluster

Obj = dict[str, Any]
_OF_THE_CLUSTER = ("kubectl.kubernetes.io/last-applied-configuration", "reconcile.fluxcd.io/")
"""Annotations, or prefixes of them, that nobody wants in Git."""


async def text(
    cluster: Cluster, kind: Kind, namespace: str, name: str, everything: bool, credentials: bool = False
) -> str:
    """YAML documents, each behind `---`. With `credentials`, the Secret of each object's `secretRef` follows it.

    Raises `Problem` when there is no such object.
    """
    if not everything and not name:
        raise wrong("name is required", "give a name, or --all")
    found = await objects(cluster, kind, namespace) if everything else [await find(cluster, kind, namespace, name)]
    if not found:
        raise wrong(f"no objects found in {namespace} namespace", "give the namespace with -n")
    documents: list[Obj] = []
    for obj in found:
        documents.append(plain(obj))
        secret = ((obj.get("spec") or {}).get("secretRef") or {}).get("name")
        if credentials and secret:
            documents.append(await _secret(cluster, obj["metadata"]["namespace"], secret))
    return "".join(f"---\n{dump(document)}" for document in documents)


def plain(obj: Obj) -> Obj:
    """The object without status and without the fields of the API server."""
    metadata = obj["metadata"]
    kept: Obj = {"name": metadata["name"], "namespace": metadata.get("namespace", "")}
    notes = metadata.get("annotations") or {}
    notes = {key: value for key, value in notes.items() if not key.startswith(_OF_THE_CLUSTER)}
    for field, values in (("labels", metadata.get("labels")), ("annotations", notes)):
        if values:
            kept[field] = values
    rest = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept, **rest}


def dump(obj: Obj) -> str:
    """YAML with the head first and the spec sorted."""
    head = {key: obj[key] for key in ("apiVersion", "kind") if key in obj}
    rest = {key: value for key, value in obj.items() if key not in head}
    return "".join(go_yaml.dump(part, width=go_yaml.WIDE) for part in (head, rest))


async def _secret(cluster: Cluster, namespace: str, name: str) -> Obj:
    found = await cluster.get(await cluster.resource("v1", "Secret"), name, namespace)
    if found is None:
        raise wrong(f"Secret {name} not found in namespace {namespace}", "leave out --with-credentials")
    return plain({"apiVersion": "v1", "kind": "Secret", **found})
