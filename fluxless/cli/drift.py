"""`fluxless drift`: which fields others have changed, from the histories in the store."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from fluxless.cli.session import Session
from fluxless.reconcile.drift_history import history
from fluxless.reconcile.records import drift_prefix, read_state


async def show(session: Session, cluster: str, namespace: str, name: str, out: Console) -> int:
    """Print one row per field; how many. An empty namespace or name means all. Raises `Problem` without a store."""
    store = session.store()
    rows: list[list[str]] = []
    try:
        async for blob in store.list(drift_prefix(cluster)):
            _, where, file = blob.name.removeprefix(drift_prefix(cluster)).split("/")
            owner = file.removesuffix(".json")
            if namespace in {"", where} and name in {"", owner}:
                checks, _ = await read_state(store, blob.name, history)
                for check in checks:
                    rows += _rows(check, f"{where}/{owner}")
    finally:
        await store.close()
    if rows:
        out.print(_table(sorted(rows, reverse=True)))
    return len(rows)


def _rows(check: dict[str, Any], owner: str) -> list[list[str]]:
    times = f" (x{check['times']} since {check['first']})" if check["times"] > 1 else ""
    head = [check["last"] + times, owner, check["mode"]]
    if not check["objects"]:
        return [[*head, "", "", "nothing drifts any more"]]
    rows: list[list[str]] = []
    for entry in check["objects"]:
        fields = [[change["path"], change["manager"] or "(removed)"] for change in entry["fields"]]
        rows += [[*head, entry["subject"], *field] for field in fields or [["", entry["drift"]]]]
    return rows


def _table(rows: list[list[str]]) -> Table:
    result = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("LAST SEEN", "KUSTOMIZATION", "MODE", "OBJECT", "FIELD"):
        result.add_column(title, no_wrap=True)
    result.add_column("CHANGED BY", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result
