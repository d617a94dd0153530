"""What does an orchestrator want that its history does not hold yet? The extension's own replay, in small. Pure.

The worker returns all actions since the start, in order. They are played against the history exactly as the extension
plays them against DTFx: an action is scheduled only when the one before it is finished, ids come from one counter, and
what the history lacks is a decision. Deviations from this order would hide errors that show in Azure.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from tools.localhost.events import SCHEDULED, Event, Type, moment

Action = dict[str, Any]


class NonDeterministic(Exception):
    """The orchestrator wants something else than what its history says it wanted."""


class _Task:
    """Something that will be finished, well or badly."""

    def __init__(self) -> None:
        self.done = False
        self.ok = False
        self._then: list[Callable[[bool], None]] = []

    def set(self, ok: bool) -> None:
        if not self.done:
            self.done, self.ok = True, ok
            for call in self._then:
                call(ok)

    def then(self, call: Callable[[bool], None]) -> None:
        if self.done:
            call(self.ok)
        else:
            self._then.append(call)


class Replay:
    """`decisions` are new events to schedule, `cancelled` ids of timers that are not wanted any more; `finished` says
    that every action has been played, and `continue_with` holds the input of a continue-as-new.
    """

    def __init__(self, instance: str, execution: str, history: list[Event], actions: list[Action]) -> None:
        self._instance = instance
        self._execution = execution
        self._next_id = 0
        self._open: dict[int, _Task] = {}
        self._waiting: dict[str, list[_Task]] = {}
        self._buffered: dict[str, int] = {}
        self._scheduled = {e["EventId"]: e for e in history if e["EventType"] in SCHEDULED}
        self._time = moment(history[0]["Timestamp"])
        self.decisions: list[tuple[Type, int, dict[str, Any]]] = []
        self.cancelled: set[int] = set()
        self.continue_with: tuple[Any] | None = None
        self.finished = False
        self._play = self._run(actions)
        for event in history:
            self._feed(event)

    def _run(self, actions: list[Action]) -> Iterator[None]:
        for action in actions:
            task = self._invoke(action)
            if not task.done:
                task.then(lambda _: self._step())
                yield
        self.finished = True

    def _step(self) -> None:
        next(self._play, None)

    def _feed(self, event: Event) -> None:
        match event["EventType"]:
            case Type.ORCHESTRATOR_STARTED:
                self._time = moment(event["Timestamp"])
            case Type.EXECUTION_STARTED:
                self._step()
            case Type.TASK_COMPLETED | Type.SUB_COMPLETED:
                self._finish(event["TaskScheduledId"], True)
            case Type.TASK_FAILED | Type.SUB_FAILED:
                self._finish(event["TaskScheduledId"], False)
            case Type.TIMER_FIRED:
                self._finish(event["TimerId"], True)
            case Type.EVENT_RAISED:
                name = event["Name"].lower()
                if self._waiting.get(name):
                    self._waiting[name].pop(0).set(True)
                else:
                    self._buffered[name] = self._buffered.get(name, 0) + 1

    def _finish(self, id_: int, ok: bool) -> None:
        task = self._open.pop(id_, None)
        if task is not None:
            task.set(ok)

    def _schedule(self, type_: Type, **fields: Any) -> _Task:
        id_, task = self._next_id, _Task()
        self._next_id += 1
        self._open[id_] = task
        known = self._scheduled.get(id_)
        if known is None:
            self.decisions.append((type_, id_, fields))
        elif known["EventType"] != type_ or ("Name" in fields and known.get("Name") != fields["Name"]):
            was = f"{Type(known['EventType']).name} {known.get('Name', '')}".strip()
            is_ = f"{type_.name} {fields.get('Name', '')}".strip()
            raise NonDeterministic(f"action {id_} was {was} and is now {is_}")
        return task

    def _invoke(self, action: Action) -> _Task:
        match action["actionType"]:
            case 0:
                return self._activity(action)
            case 1:
                return self._retry(lambda: self._activity(action), action["retryOptions"])
            case 2:
                return self._sub(action)
            case 3:
                return self._retry(lambda: self._sub(action), action["retryOptions"])
            case 4:
                self.continue_with = (action.get("input"),)
                return _done()
            case 5:
                return self._wait_until(action)
            case 6:
                return self._wait_for(action["externalEventName"].lower())
            case 7 | 9:
                return self._entity(action, signal=action["actionType"] == 9)
            case 11 | 12:
                return self._compound(action, any_=action["actionType"] == 11)
            case other:
                raise NotImplementedError(f"this host does not know action type {other}")

    def _activity(self, action: Action) -> _Task:
        return self._schedule(Type.TASK_SCHEDULED, Name=action["functionName"], Input=action.get("input"))

    def _sub(self, action: Action) -> _Task:
        instance = action.get("instanceId") or f"{self._execution}:{self._next_id:x}"
        return self._schedule(
            Type.SUB_CREATED, Name=action["functionName"], Input=action.get("input"), InstanceId=instance
        )

    def _wait_until(self, action: Action) -> _Task:
        id_ = self._next_id
        task = self._schedule(Type.TIMER_CREATED, FireAt=action["fireAt"])
        if action["isCanceled"]:
            self.cancelled.add(id_)
            task.set(False)
        return task

    def _wait_for(self, name: str) -> _Task:
        task = _Task()
        if self._buffered.get(name):
            self._buffered[name] -= 1
            task.set(True)
        else:
            self._waiting.setdefault(name, []).append(task)
        return task

    def _entity(self, action: Action, *, signal: bool) -> _Task:
        reply = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._execution}/{self._next_id}"))
        message = {
            "op": action["operation"],
            "signal": signal,
            "input": json.dumps(action.get("input")),
            "id": reply,
            "parent": self._instance,
        }
        self._schedule(Type.EVENT_SENT, InstanceId=action["instanceId"], Name="op", Input=json.dumps(message))
        return _done() if signal else self._wait_for(reply)

    def _compound(self, action: Action, *, any_: bool) -> _Task:
        children = [self._invoke(child) for child in action["compoundActions"]]
        task = _Task()
        missing = [1 if any_ else len(children)]

        def one(_: bool) -> None:
            missing[0] -= 1
            if missing[0] == 0:
                task.set(True)

        for child in children:
            child.then(one)
        if not children:
            task.set(True)
        return task

    def _retry(self, make: Callable[[], _Task], options: dict[str, Any]) -> _Task:
        """DTFx sets one more timer even after the last attempt, and both sides rely on it."""
        task, attempts = _Task(), [0]
        pause = timedelta(milliseconds=options["firstRetryIntervalInMilliseconds"])

        def attempt() -> None:
            attempts[0] += 1
            make().then(lambda ok: task.set(True) if ok else failed())

        def failed() -> None:
            timer = self._schedule(Type.TIMER_CREATED, FireAt=_text(self._time + pause))
            last = attempts[0] >= options["maxNumberOfAttempts"]
            timer.then(lambda _: task.set(False) if last else attempt())

        attempt()
        return task


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _done() -> _Task:
    task = _Task()
    task.set(True)
    return task
