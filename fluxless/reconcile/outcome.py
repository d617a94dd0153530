"""What one step over one object came to: a small, frozen, JSON-able value for the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fluxless.kept import Malformed, listed, number, text


class State(StrEnum):
    """The closed list of ends of a step; one letter each, because a thousand of them travel in one payload."""

    READY = "r"
    WAITING = "w"
    BLOCKED = "b"
    RETRY = "t"
    STALLED = "s"
    GONE = "g"


FAILED = frozenset({State.RETRY.value, State.STALLED.value})
"""The ends of a step that has failed: the next one comes after those of objects that are well."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`after` is the number of seconds until the next look: None leaves it to the plan.

    The plan then uses the retry rule of the kind (RETRY), waits for a change of the object (STALLED) or looks at it
    again whenever anything changes, because the remedy lies in another object (BLOCKED).
    """

    state: State
    after: float | None = None
    reason: str = ""
    revision: str = ""

    def to_json(self) -> list[object]:
        """The two parts that the schedule needs, as `[state, after]`."""
        return [self.state.value, None if self.after is None else round(self.after, 3)]

    @classmethod
    def from_json(cls, data: object) -> Outcome:
        """The reverse of `to_json`. Raises ValueError."""
        parts = listed(data)
        if len(parts) != 2:
            raise Malformed(f"{len(parts)} parts instead of 2")
        state, after = parts
        return cls(State(text(state)), None if after is None else number(after))
