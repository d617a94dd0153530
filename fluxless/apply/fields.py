"""managedFields v1: whose field is whose, what we still have to take over (KC-86), and our fingerprint. Pure.

A FieldsV1 document is a trie. A key names a field (`f:`), a list item (`k:`, `i:`) or a set member (`v:`); an empty
value means that the element itself is owned, `.` says the same beside owned children.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fluxless.apply.normalise import LAST_APPLIED
from fluxless.apply.objects import KubeObject
from fluxless.apply.owner import GROUP, MANAGER, annotations_of, labels_of, merges

Managers = tuple[tuple[str, str], ...]
"""(name prefix, operation) pairs."""

TAKEN_OVER: Managers = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    (MANAGER, "Update"),
)

_STALE_ANNOTATIONS = (LAST_APPLIED, "kustomize.toolkit.fluxcd.io/checksum", "fluxcd.io/sync-checksum")
_STALE_LABELS = ("fluxcd.io/sync-gc-mark",)


def managers_to_take_over(extra: Iterable[str] = ()) -> Managers:
    """Flux's table, and both operations of every manager that the operator added (`--override-manager`)."""
    return TAKEN_OVER + managers_of(extra)


def managers_of(names: Iterable[str]) -> Managers:
    """Both operations of these managers."""
    return tuple((name, operation) for name in names for operation in ("Apply", "Update"))


def managed(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The managedFields entries; empty for an object without."""
    return (obj.get("metadata") or {}).get("managedFields") or []


def own_entry(obj: Mapping[str, Any], manager: str = MANAGER, operation: str = "Apply") -> dict[str, Any] | None:
    """Our entry for the main resource."""
    for entry in managed(obj):
        if entry.get("manager") == manager and entry.get("operation") == operation and not entry.get("subresource"):
            return entry
    return None


def fingerprint(obj: Mapping[str, Any], manager: str = MANAGER) -> str:
    """A digest of our Apply entry, or of what we have written otherwise (HR-22), empty when we own nothing.

    Equal fingerprints mean that nobody changed a field of ours: another manager's change takes the field out of the
    entry, and a change under our own name (a second Kustomization, a Flux controller) moves the entry's time.
    """
    entry = own_entry(obj, manager) or own_entry(obj, manager, "Update")
    if entry is None:
        return ""
    known = [entry.get("apiVersion"), entry.get("time"), entry.get("fieldsV1")]
    return hashlib.sha256(json.dumps(known, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The set of all fields in either trie."""
    result = dict(one)
    for key, value in other.items():
        result[key] = _join(result[key], value) if key in result else value
    return result


def _join(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if not one and not other:
        return {}
    # An empty value owns the element itself; beside children that is said by a dot.
    return union(one or {".": {}}, other or {".": {}})


def to_take_over(obj: Mapping[str, Any], managers: Managers = TAKEN_OVER, group: str = GROUP) -> bool:
    """Whether somebody else's leftovers have to become ours before we apply (KC-86); never with `ssa: Merge`, and
    nobody's where no manager is to be taken over from.
    """
    return bool(managers) and not merges(obj, group) and bool(_matching(obj, managers) or _stale_metadata(obj))


def takeover_patch(
    obj: Mapping[str, Any], manager: str = MANAGER, managers: Managers = TAKEN_OVER, group: str = GROUP
) -> list[dict[str, Any]]:
    """JSON patch operations for the live object `obj`, empty when there is nothing to take over.

    The matching entries are merged into our Apply entry, so that our next apply drops what we do not render. The patch
    pins the resourceVersion: on a newer object it fails with a conflict instead of losing somebody's entry.
    """
    if not to_take_over(obj, managers, group):
        return []
    operations: list[dict[str, Any]] = [{"op": "remove", "path": path} for path in _stale_metadata(obj)]
    if matching := _matching(obj, managers):
        ours = own_entry(obj, manager)
        rest = [entry for entry in managed(obj) if entry is not ours and entry not in matching]
        merged = dict(ours) if ours is not None else {**matching[0], "manager": manager, "operation": "Apply"}
        for entry in matching:
            merged["fieldsV1"] = union(merged.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
        operations.append({"op": "replace", "path": "/metadata/managedFields", "value": [*rest, merged]})
    version = obj["metadata"].get("resourceVersion", "")
    return [*operations, {"op": "replace", "path": "/metadata/resourceVersion", "value": version}]


def _matching(obj: Mapping[str, Any], managers: Managers) -> list[dict[str, Any]]:
    return [
        entry
        for entry in managed(obj)
        if not entry.get("subresource")
        and any(
            entry.get("operation") == operation and str(entry.get("manager", "")).startswith(prefix)
            for prefix, operation in managers
        )
    ]


def _stale_metadata(obj: Mapping[str, Any]) -> list[str]:
    """JSON pointers of the bookkeeping that earlier tools left behind."""
    return [
        f"/metadata/{place}/{key.replace('~', '~0').replace('/', '~1')}"
        for place, present, keys in (
            ("annotations", annotations_of(obj), _STALE_ANNOTATIONS),
            ("labels", labels_of(obj), _STALE_LABELS),
        )
        for key in keys
        if key in present
    ]


def without_managed_fields(obj: KubeObject) -> KubeObject:
    """The object in less memory: managedFields is often the larger half of it."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}
