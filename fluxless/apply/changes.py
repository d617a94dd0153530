"""Which fields of a live object differ from what we would make of it, and who changed them. Pure; tells no values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.apply.fields import managed
from fluxless.apply.objects import KubeObject
from fluxless.apply.owner import MANAGER

Step = str | tuple[int, Any]
"""A field's name, or (index, item) in the live list."""
_BOOKKEEPING = {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"}
_KEYS = ("name", "containerPort", "port", "key", "mountPath", "type", "ip", "topologyKey")
"""Fields by which items of lists are told apart, the likeliest first."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, as `.spec.replicas`; `manager` is empty where nobody owns the field (somebody has removed it)."""

    path: str
    manager: str

    def __str__(self) -> str:
        """As conditions and events say it."""
        return f"{self.path} changed by {self.manager}" if self.manager else f"{self.path} removed"

    def to_json(self) -> dict[str, str]:
        """As the history keeps it."""
        return {"path": self.path, "manager": self.manager}


def changes(live: KubeObject, wanted: KubeObject, manager: str = MANAGER) -> list[FieldChange]:
    """The fields of `wanted` (the answer to a dry-run) that `live` has otherwise; `status` is nobody's business."""
    found: list[FieldChange] = []
    for path in _differences(_content(live), _content(wanted), ()):
        found.append(FieldChange(_text(path), _who(live, path, manager)))
    return sorted(found, key=lambda change: change.path)


def _content(obj: KubeObject) -> dict[str, Any]:
    content = {key: value for key, value in obj.items() if key not in {"status", "apiVersion", "kind"}}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _BOOKKEEPING}
    return content | {"metadata": metadata}


def _differences(live: Any, wanted: Any, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Paths of the smallest differing parts."""
    if live == wanted:
        return
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key in sorted(live.keys() | wanted.keys()):
            if key in live and key in wanted:
                yield from _differences(live[key], wanted[key], (*path, key))
            else:
                yield (*path, key)
    elif isinstance(live, list) and isinstance(wanted, list) and (key := _key(live, wanted)):
        there = {item[key]: (index, item) for index, item in enumerate(live)}
        for item in wanted:
            if item[key] in there:
                index, old = there.pop(item[key])
                yield from _differences(old, item, (*path, (index, old)))
            else:
                yield (*path, (-1, item))
        for index, old in there.values():
            yield (*path, (index, old))
    else:
        yield path


def _key(one: list[Any], other: list[Any]) -> str:
    """The field that tells the items of both lists apart, or empty."""
    items = [*one, *other]
    if not items or not all(isinstance(item, dict) for item in items):
        return ""
    for key in _KEYS:
        if all(isinstance(item.get(key), str | int) for item in items) and all(
            len({item[key] for item in side}) == len(side) for side in (one, other)
        ):
            return key
    return ""


def _text(path: tuple[Step, ...]) -> str:
    words: list[str] = []
    for step in path:
        if isinstance(step, str):
            words.append(f".{step}" if "." not in step and "/" not in step else f'["{step}"]')
        else:
            item = step[1]
            key = next((key for key in _KEYS if key in item), "") if isinstance(item, dict) else ""
            words.append(f"[{key}={json.dumps(item[key])}]" if key else f"[{step[0]}]")
    return "".join(words)


def _who(live: KubeObject, path: tuple[Step, ...], manager: str) -> str:
    """The managers other than ours that own the field, the latest first; several are joined."""
    entries = sorted(managed(live), key=lambda entry: str(entry.get("time", "")), reverse=True)
    names = [
        str(entry.get("manager"))
        for entry in entries
        if (entry.get("manager"), entry.get("operation")) != (manager, "Apply")
        and not entry.get("subresource")
        and _owns(entry.get("fieldsV1") or {}, path)
    ]
    return ", ".join(dict.fromkeys(names))


def _owns(trie: Mapping[str, Any], path: tuple[Step, ...]) -> bool:
    """Whether the set of fields has the path, something below it, or the atomic whole that it is a part of."""
    for step in path:
        if not trie:
            return True
        if isinstance(step, str):
            if f"f:{step}" not in trie:
                return False
            trie = trie[f"f:{step}"]
        else:
            below = [value for key, value in trie.items() if _means(key, step)]
            if not below:
                return False
            trie = below[0]
    return True


def _means(key: str, step: tuple[int, Any]) -> bool:
    index, item = step
    if key.startswith("k:") and isinstance(item, dict):
        return all(item.get(name) == value for name, value in json.loads(key[2:]).items())
    if key.startswith("v:"):
        return bool(json.loads(key[2:]) == item)
    return key == f"i:{index}"
