"""The rules of `status.conditions` (CM-1) over plain lists. Pure: every function returns a new list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fluxless.api.timestamps import format_timestamp

Status = Literal["True", "False", "Unknown"]
Condition = dict[str, Any]
MESSAGE_LIMIT = 20000
"""Characters of a condition's message; what is longer is cut, as in Flux (KC-50)."""
_ABNORMAL = {"Reconciling": "Stalled", "Stalled": "Reconciling"}
_ORDER = {"Stalled": 0, "Reconciling": 1, "Ready": 2}


def get(obj: Mapping[str, Any], name: str) -> Condition | None:
    """The condition of that type in an object's status, or None; objects of foreign kinds may have any shape."""
    status = obj.get("status")
    found = status.get("conditions") if isinstance(status, Mapping) else None
    if not isinstance(found, list):
        return None
    return next((each for each in found if isinstance(each, dict) and each.get("type") == name), None)


def is_true(obj: Mapping[str, Any], name: str) -> bool:
    """Whether the condition is there and True."""
    condition = get(obj, name)
    return condition is not None and condition.get("status") == "True"


def is_false(obj: Mapping[str, Any], name: str) -> bool:
    """Whether the condition is there and False."""
    condition = get(obj, name)
    return condition is not None and condition.get("status") == "False"


def set_condition(
    conditions: list[Condition],
    name: str,
    status: Status,
    reason: str,
    message: str,
    *,
    generation: int,
    now: float,
) -> list[Condition]:
    """Set one condition: Reconciling and Stalled exclude each other, the order is fixed, and `lastTransitionTime`
    moves only when status, reason or message do.
    """
    if len(message) > MESSAGE_LIMIT:
        message = message[: MESSAGE_LIMIT - 3] + "..."
    condition: Condition = {
        "type": name,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": format_timestamp(now),
    }
    before = next((c for c in conditions if c["type"] == name), None)
    if before is not None and all(before.get(key) == condition[key] for key in ("status", "reason", "message")):
        condition["lastTransitionTime"] = before["lastTransitionTime"]
    dropped = {name, _ABNORMAL.get(name, name)}
    kept = [c for c in conditions if c["type"] not in dropped]
    return sorted([*kept, condition], key=lambda c: (_ORDER.get(c["type"], 3), c["type"]))


def remove(conditions: list[Condition], *names: str) -> list[Condition]:
    """Without the conditions of these types."""
    return [condition for condition in conditions if condition["type"] not in names]
