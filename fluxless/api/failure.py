"""Failures that a user can act on, and the one exception tree of the engine.

Every room below `reconcile/` raises a subclass of `Problem`; errors of foreign libraries stop at the door of the room
that uses the library. `reconcile/` turns problems into conditions, events and run records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FailureClass(StrEnum):
    """The closed list of causes. Dashboards and alerts group by it, so it grows only with the docs."""

    SOURCE_AUTH = "source-auth"
    SOURCE_NOT_FOUND = "source-not-found"
    BUILD = "build"
    SUBSTITUTION = "substitution"
    DECRYPT = "decrypt"
    VALIDATION = "validation"
    IMMUTABLE = "immutable"
    NO_SUCH_KIND = "no-such-kind"
    FORBIDDEN = "forbidden"
    WEBHOOK_DENIED = "webhook-denied"
    CONFLICT = "conflict"
    QUOTA = "quota"
    HEALTH = "health"
    DEPENDENCY = "dependency"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong.

    `message` holds the server's own words and is complete enough to stand alone; `subject` is the object concerned as
    `Kind/namespace/name`; `origin` is `path/in/artifact.yaml:line` where known; `next_step` is one sentence.
    """

    cls: FailureClass
    message: str
    subject: str = ""
    origin: str = ""
    next_step: str = ""

    def text(self) -> str:
        """The message followed by where it comes from and what to do, as one line."""
        parts = [self.message]
        if self.origin:
            parts.append(f"(from {self.origin})")
        if self.next_step:
            parts.append(f"— {self.next_step}")
        return " ".join(parts)

    def to_json(self) -> dict[str, str]:
        """Only the fields that are set, for run records."""
        pairs = {
            "class": self.cls.value,
            "message": self.message,
            "subject": self.subject,
            "origin": self.origin,
            "nextStep": self.next_step,
        }
        return {key: value for key, value in pairs.items() if value}


class Problem(Exception):
    """An expected error: it carries one or more failures and is safe to show to a user."""

    def __init__(self, failures: Failure | Iterable[Failure]) -> None:
        self.failures: tuple[Failure, ...] = (failures,) if isinstance(failures, Failure) else tuple(failures)
        super().__init__("\n".join(failure.text() for failure in self.failures))

    @property
    def cls(self) -> FailureClass:
        """The class of the first failure, which names the problem."""
        return self.failures[0].cls if self.failures else FailureClass.INTERNAL
