"""What is kept of a HelmRelease between steps, besides its status. Losing it costs one full look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fluxless.apply.record import AppliedRecord
from fluxless.kept import number, text, whole

T = TypeVar("T")


@dataclass(slots=True)
class Memory:
    """`action` makes the version `made` of the release, since `since` (seconds since the epoch). It is noted before it
    is begun, and stays noted when it is `over`: the status, which tells of it, is written later.

    `settled` stands for what the last pass found in order. `applied` is what the API server said when the objects of
    the version in `applied.revision` were written. `tried` is when the action was tried last. `token` and `until` are
    the lease (`lease.py`).
    """

    made: int = 0
    over: bool = False
    since: float = 0.0
    action: str = ""
    settled: str = ""
    tried: float = 0.0
    token: int = 0
    until: float = 0.0
    applied: AppliedRecord = field(default_factory=AppliedRecord)

    def to_json(self) -> dict[str, Any]:
        """The document as it is kept."""
        said = {
            "made": self.made,
            "over": self.over,
            "since": self.since,
            "action": self.action,
            "settled": self.settled,
            "tried": self.tried,
            "token": self.token,
            "until": self.until,
        }
        return {key: value for key, value in said.items() if value} | {"applied": self.applied.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Memory:
        """The reverse of `to_json`; an empty document remembers nothing. Raises `Malformed`."""

        def given(name: str, read: Callable[[Any], T], otherwise: T) -> T:
            return read(document[name]) if name in document else otherwise

        return cls(
            made=given("made", whole, 0),
            over=document.get("over") is True,
            since=given("since", number, 0.0),
            action=given("action", text, ""),
            settled=given("settled", text, ""),
            tried=given("tried", number, 0.0),
            token=given("token", whole, 0),
            until=given("until", number, 0.0),
            applied=AppliedRecord.from_json(document.get("applied")),
        )

    def forget(self) -> None:
        """Everything about the release; the lease stays."""
        self.made, self.over, self.since, self.action = 0, False, 0.0, ""
        self.settled, self.tried, self.applied = "", 0.0, AppliedRecord()

    def begin(self, action: str, version: int, now: float) -> None:
        """An action is about to be done."""
        self.action, self.made, self.over = action, version, False
        self.since = self.tried = now

    def awaits(self, version: int) -> bool:
        """Whether the action that makes this version is not over."""
        return self.made == version and not self.over
