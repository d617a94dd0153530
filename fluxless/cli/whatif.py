"""What a deployment would change, as `fluxless deploy` shows it: ARM's answer in, lines out. Nothing is asked here, and
no value of an app setting is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

SHOWN = ("Delete", "Create", "Modify", "Deploy", "Unsupported")
"""Kinds of changes, the most dangerous first; what does not change is counted."""
SIGNS = {"Delete": "[red]-[/red]", "Create": "[green]+[/green]", "Modify": "[yellow]~[/yellow]"}
HIDDEN = ("appsettings", "connectionstrings", "secret", "password", ".env")
"""Parts of paths, in small letters, below which values may be secret."""
LONGEST = 80
"""Characters of a value."""


def show(changes: Iterable[Mapping[str, Any]], out: Console) -> None:
    """One line for each resource, its properties below, deletions first and red."""
    known = list(changes)
    for kind in SHOWN:
        for change in (one for one in known if one.get("changeType") == kind):
            out.print(f"{SIGNS.get(kind, ' ')} {kind.lower():11} {escape(_short(str(change.get('resourceId'))))}")
            for line in _properties(change.get("delta") or [], ""):
                out.print(f"      {line}")
            if kind == "Unsupported" and change.get("unsupportedReason"):
                out.print(f"      {escape(str(change['unsupportedReason']))}")
    deleted = sum(1 for one in known if one.get("changeType") == "Delete")
    if deleted:
        out.print(f"[red]{deleted} resource(s) would be deleted[/red]")
    same = sum(1 for one in known if one.get("changeType") in {"NoChange", "Ignore"})
    out.print(f"{same} resource(s) stay as they are")


def _properties(deltas: Iterable[Mapping[str, Any]], above: str) -> Iterator[str]:
    """Lines for the leaves: ARM nests what is in objects and lists."""
    for delta in deltas:
        path = f"{above}.{delta.get('path')}" if above else str(delta.get("path"))
        if delta.get("propertyChangeType") == "NoEffect":
            continue
        if children := delta.get("children"):
            yield from _properties(children, path)
            continue
        hide = any(part in path.lower() for part in HIDDEN)
        before, after = (_value(delta.get(side), hide) for side in ("before", "after"))
        match delta.get("propertyChangeType"):
            case "Delete":
                yield f"[red]- {escape(f'{path}: {before}')}[/red]"
            case "Create":
                yield f"[green]+[/green] {escape(f'{path}: {after}')}"
            case _:
                yield f"[yellow]~[/yellow] {escape(f'{path}: {before} → {after}')}"


def _value(value: Any, hide: bool) -> str:
    if hide:
        name = value.get("name") if isinstance(value, Mapping) else None
        return f"{name} (value not shown)" if name else "(not shown)"
    if isinstance(value, Mapping):  # settings may be in there: what is, not what it says
        return f"{{{', '.join(map(str, value))}}}"
    if isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        return f"[{len(value)}]"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _short(resource_id: str) -> str:
    return resource_id.partition("/providers/")[2] or resource_id
