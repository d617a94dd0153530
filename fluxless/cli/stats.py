"""`fluxless stats`: how many objects of each kind work, fail or rest, and how much is stored for them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from fluxless.api import conditions
from fluxless.api.kinds import ARTIFACT_GENERATOR, EXTERNAL_ARTIFACT, KINDS
from fluxless.apply.many import each
from fluxless.cli.get import objects
from fluxless.kube.client import Cluster

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


async def show(cluster: Cluster, namespace: str, out: Console) -> None:
    """One row per kind; an empty namespace means all."""
    kinds = [kind for kind in KINDS if kind not in {EXTERNAL_ARTIFACT, ARTIFACT_GENERATOR}]
    result = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in ("RECONCILERS", "RUNNING", "FAILING", "SUSPENDED", "STORAGE"):
        result.add_column(name, no_wrap=True)
    for kind, found in zip(kinds, await each(lambda kind: objects(cluster, kind, namespace), kinds), strict=True):
        result.add_row(kind.kind, *row(found))
    out.print(result)


def row(found: list[dict[str, Any]]) -> list[str]:
    """RUNNING, FAILING, SUSPENDED, STORAGE of the objects of one kind."""
    suspended = sum(1 for obj in found if (obj.get("spec") or {}).get("suspend"))
    failing = sum(1 for obj in found if conditions.is_false(obj, "Ready"))
    stored = sum(int(((obj.get("status") or {}).get("artifact") or {}).get("size") or 0) for obj in found)
    return [str(len(found) - suspended), str(failing), str(suspended), size(stored)]


def size(stored: int) -> str:
    """`-` for nothing, `500 B`, `1.5 MiB`."""
    if not stored:
        return "-"
    amount, unit = float(stored), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{stored} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"
