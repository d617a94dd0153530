"""`fluxless tree kustomization`: what a Kustomization has in the cluster, and what that has in turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from fluxless.api import conditions
from fluxless.api.kinds import HELM_RELEASE, KINDS, KUSTOMIZATION, Kind, by_name
from fluxless.apply.inventory import read
from fluxless.apply.objects import ObjectId, parse_id
from fluxless.cli.change import find
from fluxless.cli.session import wrong
from fluxless.go_yaml import dump
from fluxless.kube.client import Cluster

DEEPEST = 20
_GROUPS = {kind.group for kind in KINDS}


@dataclass(slots=True)
class Node:
    """An object and what it has in turn; `trouble` is why a Flux object is not ready."""

    id: ObjectId
    trouble: str = ""
    below: list[Node] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """In the shape of `flux tree -o json`."""
        kind = {"Group": self.id.group, "Kind": self.id.kind}
        named = {"Namespace": self.id.namespace, "Name": self.id.name, "GroupKind": kind}
        return {"resource": named} | ({"resources": [node.to_json() for node in self.below]} if self.below else {})


_GROWN = {(kind.group, kind.kind) for kind in (KUSTOMIZATION, HELM_RELEASE)}


async def show(
    cluster: Cluster,
    namespace: str,
    name: str,
    out: Console,
    *,
    kind: Kind = KUSTOMIZATION,
    compact: bool = False,
    output: str = "",
) -> None:
    """Print the tree, as a drawing or as `json` or `yaml`; with `compact` only Flux's own objects.

    Raises `Problem` when there is no such object.
    """
    if output not in {"", "json", "yaml"}:
        raise wrong(f"output {output!r} is not supported", "give -o json or -o yaml")
    root = Node(ObjectId(namespace, name, kind.group, kind.kind))
    await _grow(cluster, root, {root.id}, compact)
    if not output:
        out.print(_drawn(root))
        return
    document = root.to_json()
    text = dump(document, sort=False) if output == "yaml" else json.dumps(document, indent=2)
    out.print(text.rstrip("\n"), markup=False)


async def _grow(cluster: Cluster, node: Node, seen: set[ObjectId], compact: bool) -> None:
    obj = await find(cluster, by_name(node.id.kind), node.id.namespace, node.id.name)
    if not conditions.is_true(obj, "Ready"):
        ready = conditions.get(obj, "Ready") or {"message": "not reconciled yet"}
        node.trouble = str(ready.get("message", ""))[:120]
    for text in read(obj.get("status") or {}):
        child = Node(parse_id(text))
        if compact and child.id.group not in _GROUPS:
            continue
        node.below.append(child)
        is_ours = (child.id.group, child.id.kind) in {
            (known.group, known.kind) for known in (KUSTOMIZATION, HELM_RELEASE)
        }
        if is_ours and child.id not in seen and len(seen) < DEEPEST:
            await _grow(cluster, child, seen | {child.id}, compact)


def _drawn(node: Node, tree: Tree | None = None) -> Tree:
    label = node.id.subject + (f" [red]({escape(node.trouble)})[/red]" if node.trouble else "")
    branch = tree.add(label) if tree is not None else Tree(label)
    for below in node.below:
        _drawn(below, branch)
    return branch
