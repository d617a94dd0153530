"""Fields that are left to others (KC-29, KC-87): which objects a rule means, and what we then send. Pure.

A field that another apply manager owns is left out of what we send. Any other one is sent with its live value, so that
it stays as it is. A new object gets everything: there is nobody yet to leave anything to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.api.selector import selects
from fluxless.apply import fields
from fluxless.apply.objects import KubeObject, copy_json, group_of, version_of
from fluxless.apply.owner import annotations_of, labels_of
from fluxless.patterns import regex


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `spec.ignore`: JSON pointers, and the objects that they count for (all when `target` is empty)."""

    paths: tuple[tuple[str, ...], ...]
    target: Mapping[str, str]

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Rule:
        """Read an entry. Raises ValueError for a pointer that does not begin with a slash, and for a pattern of a name
        or namespace that is no regular expression.
        """
        target = entry.get("target") or {}
        for key in ("name", "namespace"):
            regex(target.get(key) or "")
        return cls(tuple(_pointer(path) for path in entry["paths"]), target)

    def means(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object is one of the target's; names and namespaces are anchored regular expressions."""
        api_version, metadata = str(obj.get("apiVersion")), obj.get("metadata") or {}
        exact = {"group": group_of(api_version), "version": version_of(api_version), "kind": str(obj.get("kind"))}
        patterns = {"name": str(metadata.get("name", "")), "namespace": str(metadata.get("namespace", ""))}
        return (
            all(self.target.get(key) in (None, "", value) for key, value in exact.items())
            and all(not (p := self.target.get(key)) or regex(p).matches(value) for key, value in patterns.items())
            and selects(self.target.get("labelSelector", ""), labels_of(obj))
            and selects(self.target.get("annotationSelector", ""), annotations_of(obj))
        )


def leave_to_others(obj: KubeObject, live: KubeObject, rules: Iterable[Rule], manager: str) -> KubeObject:
    """What to send for `obj` where `live` is there; the same object when no rule means it."""
    paths = [path for rule in rules if rule.means(obj) for path in rule.paths]
    if not paths:
        return obj
    changed: KubeObject = copy_json(obj)
    theirs = [
        entry.get("fieldsV1") or {}
        for entry in fields.managed(live)
        if entry.get("operation") == "Apply" and entry.get("manager") != manager and not entry.get("subresource")
    ]
    for path in paths:
        if any(_owns(trie, path) for trie in theirs):
            _remove(changed, path)
        elif _has(changed, path) and _has(live, path):
            _set(changed, path, _get(live, path))
    return changed


def without_ignored(obj: KubeObject, live: KubeObject, rules: Iterable[Rule]) -> KubeObject:
    """`obj` without the fields that a rule means and that somebody has removed from `live`."""
    gone = [
        path for rule in rules if rule.means(obj) for path in rule.paths if _has(obj, path) and not _has(live, path)
    ]
    changed: KubeObject = copy_json(obj) if gone else obj
    for path in gone:
        _remove(changed, path)
    return changed


def _pointer(text: str) -> tuple[str, ...]:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer: begin it with a slash")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def _owns(trie: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a fieldsV1 trie has the field, or something below it; list items are not told apart."""
    for part in path:
        if part.isdigit():
            return any(key.startswith(("k:", "i:", "v:")) for key in trie)
        if f"f:{part}" not in trie:
            return False
        trie = trie[f"f:{part}"]
    return True


def _step(parent: Any, part: str) -> Any:
    if isinstance(parent, dict):
        return parent[part]
    if isinstance(parent, list):
        return parent[int(part)]
    raise KeyError(part)


def _get(obj: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        obj = _step(obj, part)
    return obj


def _has(obj: Any, path: tuple[str, ...]) -> bool:
    try:
        _get(obj, path)
    except (KeyError, IndexError, ValueError):
        return False
    return True


def _set(obj: Any, path: tuple[str, ...], value: Any) -> None:
    parent = _get(obj, path[:-1])
    parent[int(path[-1]) if isinstance(parent, list) else path[-1]] = value


def _remove(obj: Any, path: tuple[str, ...]) -> None:
    if _has(obj, path):
        parent = _get(obj, path[:-1])
        del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
