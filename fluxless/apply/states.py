"""The words of readiness, and how to read the fields that decide it. Used by `kstatus.py` and its rules; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Obj = Mapping[str, Any]


class State(StrEnum):
    """The states of kstatus, spelled as Flux's messages spell them."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    NOT_FOUND = "NotFound"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Status:
    """A state and why, in words for users."""

    state: State
    message: str = ""


def ready(message: str) -> Status:
    """A finished object."""
    return Status(State.CURRENT, message)


def under_way(message: str) -> Status:
    """An object under way."""
    return Status(State.IN_PROGRESS, message)


def broken(message: str) -> Status:
    """An object that does not get there by itself."""
    return Status(State.FAILED, message)


def at(obj: Obj, *path: str) -> Any:
    """The value at a path, or None when a step is missing."""
    value: Any = obj
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def number(obj: Obj, *path: str, default: int = 0) -> int:
    """The whole number at a path."""
    value = at(obj, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def conditions(obj: Obj) -> list[Mapping[str, Any]]:
    """The status conditions."""
    found = at(obj, "status", "conditions")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def find_condition(obj: Obj, type_: str, status: str = "True") -> Mapping[str, Any] | None:
    """The condition of that type and status, or None."""
    return next((c for c in conditions(obj) if c.get("type") == type_ and c.get("status") == status), None)


def first_of(steps: tuple[tuple[bool, str], ...]) -> Status | None:
    """The first step of a roll-out that is not reached yet."""
    return next((under_way(message) for not_yet, message in steps if not_yet), None)
