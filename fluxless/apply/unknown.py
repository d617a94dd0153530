"""Fields that a built-in kind does not have: Flux drops them before it sends an object, so an object with a misspelt
field is applied without it. We send the object as it is, and drop what the API server names; the user is told. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

from fluxless.apply.objects import KubeObject, copy_json, group_of

_BUILT_IN = frozenset(
    {
        *("", "apps", "autoscaling", "batch", "extensions", "policy"),
        *("admissionregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io"),
        *("coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io"),
        *("networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io"),
        *("storage.k8s.io", "storagemigration.k8s.io"),
    }
)
"""API groups whose kinds Flux knows by their Go types."""
_SENT_AS_THEY_ARE = {("rbac.authorization.k8s.io", "Role"), ("rbac.authorization.k8s.io", "ClusterRole")}
_TYPED = re.compile(r"^failed to create typed patch object \([^)]*\): (?:errors:\n)?(.*)$", re.DOTALL)
_LINE = re.compile(r"^\s*(\.\S.*): field not declared in schema$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")


def without_unknown(obj: KubeObject, message: str) -> tuple[KubeObject, tuple[str, ...]] | None:
    """The object without the fields that an API server's refusal names, and those fields; None if that is no remedy:
    another complaint, a kind of somebody else, or a path that cannot be followed.
    """
    kind = (group_of(obj["apiVersion"]), obj["kind"])
    typed = _TYPED.match(message)
    if typed is None or kind[0] not in _BUILT_IN or kind in _SENT_AS_THEY_ARE:
        return None
    found = [_LINE.match(line) for line in typed[1].splitlines()]
    paths = [match[1] for match in found if match is not None]
    changed: KubeObject = copy_json(obj)
    if len(paths) < len(found) or not all(_drop(changed, path) for path in paths):
        return None
    return changed, tuple(paths)


def _drop(obj: Any, path: str) -> bool:
    """Remove the field at a path such as `.spec.containers[name="main"].port`; whether it was there."""
    steps = [match[1] or f"[{match[2]}" for match in _STEP.finditer(path)]
    for step in steps[:-1]:
        obj = _item(obj, step[1:]) if step.startswith("[") else obj.get(step) if isinstance(obj, dict) else None
    if not isinstance(obj, dict) or steps[-1] not in obj:
        return False
    del obj[steps[-1]]
    return True


def _item(items: Any, said: str) -> Any:
    """An item of a list by its index, or by its keys as in `containerPort=80,protocol="TCP"`."""
    if not isinstance(items, list):
        return None
    if said.isdigit():
        return items[int(said)] if int(said) < len(items) else None
    keys = {name: json.loads(value) for name, _, value in (part.partition("=") for part in said.split(","))}
    return next((i for i in items if isinstance(i, dict) and all(i.get(k) == v for k, v in keys.items())), None)
