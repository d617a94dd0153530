"""When each object is looked at next: one document per cluster in the store, written only by the plan under an ETag.

Losing it makes every object due once, which is safe: steps find out for themselves that nothing has changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fluxless.engine.reach import Away
from fluxless.kept import Malformed, listed, mapping, number, text, whole
from fluxless.reconcile.interval import backoff
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.world import Ref

VERSION = 1
INDEX = re.compile(r"[0-9a-f]{32} [!-~]{1,100}\Z")
FIELDS = 10
"""Of an entry as it is kept; the last one is left out where it says nothing."""


@dataclass(slots=True)
class Entry:
    """What the plan remembers of one object.

    `generation`, `requested`, `source` and `configs` are what it looked like when it was last started: `source` is the
    artifact it was to consume and what it had to wait for, `configs` stands for the ConfigMaps and Secrets that it
    refers to. `next` is the time of the next look without any change, in seconds since the epoch; `batch` names the
    batch that works on it now; `since` is when it was started, or began to be held back when `held`.
    """

    generation: int = 0
    requested: str = ""
    source: str = ""
    next: float | None = None
    failures: int = 0
    batch: str = ""
    state: str = ""
    since: float = 0.0
    held: bool = False
    configs: str = ""

    def to_json(self) -> list[Any]:
        """A short list: a thousand of these are read and written at every plan."""
        return [
            self.generation,
            self.requested,
            self.source,
            self.next,
            self.failures,
            self.batch,
            self.state,
            self.since,
            int(self.held),
            *([self.configs] if self.configs else []),
        ]

    @classmethod
    def from_json(cls, data: Any) -> Entry:
        """The reverse of `to_json`. Raises `Malformed`."""
        fields = listed(data)
        if len(fields) not in (FIELDS - 1, FIELDS):
            raise Malformed(f"{len(fields)} fields instead of {FIELDS}")
        generation, requested, source, next_, failures, batch, state, since, held, *configs = fields
        return cls(
            whole(generation),
            text(requested),
            text(source),
            None if next_ is None else number(next_),
            whole(failures),
            text(batch),
            text(state),
            number(since),
            bool(whole(held)),
            text(configs[0]) if configs else "",
        )


class Turn(NamedTuple):
    """Which plan of which loop: when the loop was begun, in its own words, and the number of the plan in it."""

    begun: str
    number: int


@dataclass(slots=True)
class Schedule:
    """The entries of one cluster by reference. `index` is the digest of the directory that the last plan has left for
    webhooks, and its ETag: plans without news read and write nothing more. `away` is there while the cluster does not
    answer. `handed` are the batches that were handed out last, by the plan of that `turn`.
    """

    entries: dict[Ref, Entry] = field(default_factory=dict)
    index: str = ""
    away: Away | None = None
    turn: Turn | None = None
    handed: list[str] = field(default_factory=list)

    def handed_before(self, turn: Turn | None) -> list[str] | None:
        """What the plan of that turn has handed out already, or None where it is to be made.

        Durable runs a plan again whose answer was lost with its worker, and may run one late whose answer it has. The
        first gives the same answer again; the second must not hand out what a later plan has handed out.
        """
        if turn is None or self.turn is None or turn.begun != self.turn.begun or turn.number > self.turn.number:
            return None
        return self.handed if turn == self.turn else []

    def look_again(self, kinds: Collection[str], now: float) -> None:
        """Let the next look at objects of these kinds come at once, where one is to come at all."""
        for ref, entry in self.entries.items():
            if ref.kind in kinds and entry.next is not None:
                entry.next = min(entry.next, now)

    def batch(self, batch: str) -> list[Ref]:
        """The objects of a batch in a fixed order: outcomes come back in it, without names."""
        return sorted(ref for ref, entry in self.entries.items() if entry.batch == batch)

    def settle(self, batch: str, outcomes: list[Outcome]) -> None:
        """A batch has finished: note when each of its objects is looked at next. Outcomes of no such batch are void.

        A batch that came back without its outcomes has failed as a whole: its objects are tried again with backoff.
        """
        refs = self.batch(batch)
        if len(refs) != len(outcomes):
            outcomes = [Outcome(State.RETRY)] * len(refs)
        for ref, outcome in zip(refs, outcomes, strict=True):
            if outcome.state is State.GONE:
                del self.entries[ref]
            else:
                self._note(self.entries[ref], outcome)

    @staticmethod
    def _note(entry: Entry, outcome: Outcome) -> None:
        entry.batch, entry.state = "", outcome.state.value
        match outcome.state:
            case State.READY | State.WAITING:
                entry.failures = 0
                # counted from the start, so that objects that were started together stay together
                entry.next = None if outcome.after is None else entry.since + outcome.after
            case State.RETRY:
                entry.failures += 1
                entry.next = entry.since + (backoff(entry.failures) if outcome.after is None else outcome.after)
            case _:
                entry.next = None

    def to_json(self) -> dict[str, Any]:
        """The document as it is kept."""
        entries = {str(ref): entry.to_json() for ref, entry in self.entries.items()}
        document: dict[str, Any] = {"version": VERSION, "entries": entries}
        if self.index:
            document["index"] = self.index
        if self.away is not None:
            document["away"] = self.away.to_json()
        if self.turn is not None:
            document |= {"turn": list(self.turn), "handed": self.handed}
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Schedule:
        """The reverse of `to_json`; an empty document is an empty schedule. Raises `Malformed`, also for a document of
        another release.
        """
        if not document:
            return cls()
        if document.get("version") != VERSION:
            raise Malformed(f"version {document.get('version')!r} instead of {VERSION}")
        entries = {Ref.parse(ref): Entry.from_json(data) for ref, data in mapping(document.get("entries")).items()}
        index = text(document.get("index", ""))
        if index and not INDEX.match(index):
            raise Malformed("no digest and ETag of a directory")
        away = Away.from_json(document["away"]) if "away" in document else None
        handed = [text(batch) for batch in listed(document.get("handed", []))]
        begun, turn = listed(document.get("turn", ["", 0]))
        return cls(entries, index, away, Turn(text(begun), whole(turn)) if begun else None, handed)
