"""`fluxless diff kustomization`: what would change in the cluster, line by line. Values of Secrets are never shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from fluxless.api.failure import Failure
from fluxless.apply.normalise import LAST_APPLIED, SERVER_FIELDS
from fluxless.apply.objects import KubeObject, copy_json
from fluxless.apply.preview import Planned
from fluxless.cli.ahead import Asked, Outlook, Place, outlook
from fluxless.go_yaml import WIDE, dump
from fluxless.kube.client import Cluster
from fluxless.kustomize.decryption import FieldPath
from fluxless.kustomize.preview import Ahead
from fluxless.reconcile.world import Ref

SAME, BEFORE, AFTER = "***", "*** (before)", "*** (after)"
SHORTEST = 4
"""Characters of a secret value that is looked for; shorter ones would hide half of every object."""
CONTEXT = 3
"""Unchanged lines around a change."""
_COLOURS = {"created": "green", "configured": "yellow", "recreated": "yellow", "deleted": "red", "skipped": "dim"}
_WORDS = {"configured": "drifted"}


@dataclass(slots=True)
class Verdict:
    """What the command has found. `changed` and `failures` decide its exit code."""

    changed: bool = False
    failures: int = 0

    @property
    def code(self) -> int:
        """0: nothing would change; 1: something would; 2: something would be refused."""
        return 2 if self.failures else int(self.changed)


async def show(asked: Asked, cluster: Cluster, out: Console, err: Console) -> int:
    """Print the differences and return the exit code. Raises `Problem`."""
    verdict = Verdict()
    async with outlook(asked, cluster) as ahead:
        first = await ahead.first()
        await _one(ahead, cluster, first, {first.ref}, (out, err), verdict, nested=False)
    return verdict.code


async def _one(
    ahead: Outlook,
    cluster: Cluster,
    place: Place,
    seen: set[Ref],
    consoles: tuple[Console, Console],
    verdict: Verdict,
    *,
    nested: bool,
) -> None:
    out, err = consoles
    found = await ahead.ahead(place, cluster)
    changed = any(one.changes for one in found.planned)
    if nested and changed:
        out.print(f"📁 {place.ref} changed")
    for one in found.planned:
        _print(one, found, out)
        if one.unknown:
            text = f"{one.subject}: unknown field(s) would be left out: {', '.join(one.unknown)} (from {one.origin})"
            err.print(f"[yellow]![/yellow] {escape(text)}")
    for failure in found.failures:
        _refused(failure, err)
    if found.sealed:
        err.print(f"[yellow]![/yellow] secrets are not decrypted, only their keys are compared: {escape(found.sealed)}")
    if found.hold:
        err.print(f"[yellow]![/yellow] {escape(found.hold)}")
    verdict.changed |= changed
    verdict.failures += len(found.failures)
    async for below in ahead.below(place, found.manifests, seen):
        await _one(ahead, cluster, below, seen, consoles, verdict, nested=True)


def _print(one: Planned, found: Ahead, out: Console) -> None:
    if one.action == "unchanged":
        return
    where = f" (from {one.origin})" if one.origin else ""
    colour, word = _COLOURS[one.action], _WORDS.get(one.action, one.action)
    out.print(f"[{colour}]► {escape(one.subject)} {word}[/{colour}]{escape(where)}")
    if one.action in {"configured", "recreated"} and one.live is not None and one.wanted is not None:
        lines = list(difference(one.live, one.wanted, found.hidden.get(one.id, frozenset()), found.secrets))
        for line in lines or ["the fields of another manager are taken over"]:
            mark = {"+": "green", "-": "red"}.get(line[:1], "")
            out.print(f"  [{mark}]{escape(line)}[/{mark}]" if mark else f"  {escape(line)}")


def _refused(failure: Failure, err: Console) -> None:
    err.print(f"[red]✗[/red] {escape(failure.text())}")


def difference(
    live: KubeObject, wanted: KubeObject, hidden: Iterable[FieldPath] = (), secrets: Iterable[str] = ()
) -> Iterator[str]:
    """The lines that differ, with a few around them; a skipped part is a line of dots.

    `hidden` are paths whose values are not shown, `secrets` values that are shown nowhere.
    """
    before, after = _shown(live), _shown(wanted)
    _hide(before, after, {*hidden, *_secret_paths(before, after), *_paths_of(before, after, secrets)})
    old, new = (_lines(obj) for obj in (before, after))
    for number, line in enumerate(difflib.unified_diff(old, new, lineterm="", n=CONTEXT)):
        if number >= 2:  # without the two lines that name files
            yield "…" if line.startswith("@@") else line


def _lines(obj: KubeObject) -> list[str]:
    return dump(obj, width=WIDE).splitlines()


def _shown(obj: KubeObject) -> KubeObject:
    """Without what only the API server says, and without kubectl's copy of the object."""
    shown: KubeObject = copy_json({key: value for key, value in obj.items() if key != "status"})
    metadata = shown["metadata"]
    for name in SERVER_FIELDS:
        metadata.pop(name, None)
    (metadata.get("annotations") or {}).pop(LAST_APPLIED, None)
    if not metadata.get("annotations"):
        metadata.pop("annotations", None)
    return shown


def _secret_paths(before: KubeObject, after: KubeObject) -> Iterator[FieldPath]:
    if after.get("kind") == "Secret":
        for field in ("data", "stringData"):
            yield from ((field, key) for obj in (before, after) for key in obj.get(field) or {})


def _paths_of(before: KubeObject, after: KubeObject, secrets: Iterable[str]) -> Iterator[FieldPath]:
    """Where a secret value stands, in the object as it is or as it would be."""
    wanted = [secret for secret in secrets if len(secret) >= SHORTEST]
    for obj in (before, after) if wanted else ():
        yield from (path for path, text in _leaves(obj, ()) if any(secret in text for secret in wanted))


def _leaves(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, str(value)
        return
    for key, item in items:
        yield from _leaves(item, (*path, key))


def _hide(before: KubeObject, after: KubeObject, paths: Iterable[FieldPath]) -> None:
    for path in paths:
        old, new = _get(before, path), _get(after, path)
        same = old == new or old is None or new is None
        for obj, value, mark in ((before, old, BEFORE), (after, new, AFTER)):
            if value is not None:
                _get(obj, path[:-1])[path[-1]] = SAME if same else mark


def _get(obj: Any, path: FieldPath) -> Any:
    for part in path:
        try:
            obj = obj[part]
        except (KeyError, IndexError, TypeError):
            return None
    return obj
