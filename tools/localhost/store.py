"""The state of a task hub in SQLite: instances, histories, inboxes, and the outbox of work that was decided.

What belongs together is written in one transaction, so that a killed host finds either all of it or nothing. The
journal is a WAL with `synchronous=NORMAL`: a crash of the process loses nothing, a power failure perhaps the last
moments, after which the work is done once more, as Durable promises anyway.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.localhost.events import Event, Type, now

FINAL = frozenset({"Completed", "Failed", "Terminated", "Canceled"})

_TABLES = """
pragma journal_mode=wal;
pragma synchronous=normal;
create table if not exists instances(
  id text primary key, execution text, name text, status text, input text, output text, custom text,
  created text, updated text, parent text, parent_task integer, suspended integer default 0);
create table if not exists history(instance text, seq integer, event text, primary key(instance, seq));
create table if not exists inbox(seq integer primary key autoincrement, instance text, event text);
create index if not exists inbox_instance on inbox(instance);
create table if not exists work(instance text, execution text, task integer, event text,
  primary key(instance, execution, task));
create table if not exists entities(id text primary key, state text);
create table if not exists timers(name text primary key, due text);
"""


@dataclass(slots=True)
class Instance:
    """A row of `instances`."""

    id: str
    execution: str
    name: str
    status: str
    input: str | None
    output: str | None
    custom: str | None
    created: str
    updated: str
    parent: str | None
    parent_task: int | None
    suspended: int

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL


class Store:
    """All reads and writes; `transaction` groups writes. Blocking, but a step takes only a millisecond."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_TABLES)
        self._histories: dict[str, list[Event]] = {}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            self._histories.clear()
            raise
        self._db.execute("commit")

    def instance(self, id_: str) -> Instance | None:
        """One instance, or None."""
        row = self._db.execute("select * from instances where id=?", (id_,)).fetchone()
        return Instance(*row) if row else None

    def instances(self, prefix: str = "", statuses: frozenset[str] = frozenset()) -> list[Instance]:
        """Those whose id starts with `prefix`, of these statuses (all when empty), in order of their ids."""
        rows = self._db.execute("select * from instances where substr(id, 1, ?)=? order by id", (len(prefix), prefix))
        found = [Instance(*row) for row in rows.fetchall()]
        return [row for row in found if not statuses or row.status in statuses]

    def create(self, instance: Instance, first: Event) -> None:
        """A new instance, in the place of an ended one of that id."""
        self.forget(instance.id)
        values = [getattr(instance, name) for name in Instance.__slots__]
        self._db.execute(f"insert into instances values({','.join('?' * len(values))})", values)
        self.post(instance.id, first)

    def forget(self, id_: str) -> None:
        """Delete an instance and all that belongs to it."""
        self._histories.pop(id_, None)
        for table, column in (
            ("instances", "id"),
            ("history", "instance"),
            ("inbox", "instance"),
            ("work", "instance"),
        ):
            self._db.execute(f"delete from {table} where {column}=?", (id_,))

    def update(self, id_: str, **columns: Any) -> None:
        """Change columns of an instance; `updated` goes with it."""
        columns["updated"] = now()
        names = ", ".join(f"{name}=?" for name in columns)
        self._db.execute(f"update instances set {names} where id=?", (*columns.values(), id_))

    def post(self, id_: str, event: Event) -> None:
        """Put an event into an inbox."""
        self._db.execute("insert into inbox(instance, event) values(?,?)", (id_, json.dumps(event)))

    def inbox(self, id_: str) -> list[tuple[int, Event]]:
        """What has arrived, in order."""
        rows = self._db.execute("select seq, event from inbox where instance=? order by seq", (id_,))
        return [(seq, json.loads(event)) for seq, event in rows.fetchall()]

    def taken(self, id_: str, last: int) -> None:
        """Everything up to `last` is in the history now."""
        self._db.execute("delete from inbox where instance=? and seq<=?", (id_, last))

    def drop_answers(self, id_: str) -> None:
        """Forget answers to work of an execution that has ended; external events stay."""
        for seq, event in self.inbox(id_):
            if event["EventType"] not in (Type.EVENT_RAISED, Type.EXECUTION_STARTED):
                self._db.execute("delete from inbox where seq=?", (seq,))

    def history(self, id_: str) -> list[Event]:
        """The history; callers do not change it."""
        if id_ not in self._histories:
            rows = self._db.execute("select event from history where instance=? order by seq", (id_,))
            self._histories[id_] = [json.loads(event) for (event,) in rows.fetchall()]
        return self._histories[id_]

    def extend(self, id_: str, events: list[Event]) -> None:
        """Append to the history; every earlier event has been played now."""
        known = self.history(id_)
        rows = [(id_, len(known) + place, json.dumps({**e, "IsPlayed": True})) for place, e in enumerate(events)]
        self._db.executemany("insert into history values(?,?,?)", rows)
        self._histories[id_] = [*known, *({**e, "IsPlayed": True} for e in events)]

    def clear_history(self, id_: str) -> None:
        """Begin anew (continue-as-new)."""
        self._histories[id_] = []
        self._db.execute("delete from history where instance=?", (id_,))

    def add_work(self, id_: str, execution: str, event: Event) -> None:
        """Something that was decided and has to be done."""
        row = (id_, execution, event["EventId"], json.dumps(event))
        self._db.execute("insert or replace into work values(?,?,?,?)", row)

    def work_done(self, id_: str, execution: str, task: int) -> bool:
        """Take it out of the outbox; False when it was not there any more."""
        cursor = self._db.execute(
            "delete from work where instance=? and execution=? and task=?", (id_, execution, task)
        )
        return cursor.rowcount > 0

    def open_work(self) -> list[tuple[str, str, Event]]:
        """(instance, execution, event) of all that is still to be done: after a crash, all of it is started again."""
        rows = self._db.execute("select instance, execution, event from work order by rowid")
        return [(instance, execution, json.loads(event)) for instance, execution, event in rows.fetchall()]

    def with_inbox(self) -> list[str]:
        """Instances that something has arrived for."""
        return [row[0] for row in self._db.execute("select distinct instance from inbox").fetchall()]

    def entity(self, id_: str) -> str | None:
        """The state of an entity as JSON, or None."""
        row = self._db.execute("select state from entities where id=?", (id_,)).fetchone()
        return row[0] if row else None

    def save_entity(self, id_: str, state: str | None) -> None:
        """Write or, with None, delete an entity."""
        self._db.execute("delete from entities where id=?", (id_,))
        if state is not None:
            self._db.execute("insert into entities values(?,?)", (id_, state))

    def timer_due(self, name: str) -> str | None:
        """When a timer function is to fire next, as it was noted last."""
        row = self._db.execute("select due from timers where name=?", (name,)).fetchone()
        return row[0] if row else None

    def save_timer(self, name: str, due: str) -> None:
        """Note when a timer function fires next."""
        self._db.execute("insert or replace into timers values(?,?)", (name, due))
