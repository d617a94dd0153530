"""`fluxless tree kustomization`: what a Kustomization has in the cluster, and what that has in turn."""

from __future__ import annotations

from rich.console import Console
from rich.tree import Tree

from fluxless.api import conditions
from fluxless.api.kinds import KUSTOMIZATION
from fluxless.apply.inventory import read
from fluxless.apply.objects import parse_id
from fluxless.cli.change import find
from fluxless.kube.client import Cluster
from fluxless.reconcile.world import Ref

DEEPEST = 20


async def show(cluster: Cluster, namespace: str, name: str, out: Console) -> None:
    """Print the tree. Raises `Problem` when there is no such Kustomization."""
    root = Ref(KUSTOMIZATION.kind, namespace, name)
    tree = Tree(_label(root))
    await _grow(cluster, tree, root, {root})
    out.print(tree)


async def _grow(cluster: Cluster, tree: Tree, ref: Ref, seen: set[Ref]) -> None:
    obj = await find(cluster, KUSTOMIZATION, ref.namespace, ref.name)
    if not conditions.is_true(obj, "Ready"):
        ready = conditions.get(obj, "Ready") or {"message": "not reconciled yet"}
        tree.label = f"{tree.label} [red]({str(ready.get('message', ''))[:120]})[/red]"
    for id_ in read(obj.get("status") or {}):
        parsed = parse_id(id_)
        child = Ref(parsed.kind, parsed.namespace, parsed.name)
        branch = tree.add(_label(child))
        is_ours = parsed.kind == KUSTOMIZATION.kind and parsed.group == KUSTOMIZATION.group
        if is_ours and child not in seen and len(seen) < DEEPEST**2:
            await _grow(cluster, branch, child, seen | {child})


def _label(ref: Ref) -> str:
    return "/".join(part for part in ref if part)
