"""Drives orchestrations: one step at a time per instance, each step one transaction, then the work that it decided.

A step takes the inbox, runs the orchestrator over the whole history, replays its actions and commits history, status
and outbox together. Work is started after the commit; its result goes to the inbox in the transaction that ends the
work. So after `kill -9` every piece of work is either open, and started again, or answered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tools.localhost.app import App
from tools.localhost.events import Event, Type, event, moment, now, sleep_until, started
from tools.localhost.replay import NonDeterministic, Replay
from tools.localhost.settings import HostSettings
from tools.localhost.store import FINAL, Instance, Store

log = logging.getLogger("localhost")
MARK = "$OutOfProcData$:"
"""What stands before the JSON in the message of an orchestrator that has failed."""
ID_LIMIT = 100
"""Characters of an instance id: the least of all Durable backends."""


class InvalidInstance(ValueError):
    """An instance id that a Durable backend would refuse."""


class Orchestrations:
    """The task hub. `check_replays` runs every orchestrator once more after each step and compares what it wants."""

    def __init__(self, app: App, store: Store, settings: HostSettings, *, check_replays: bool = True) -> None:
        self._app = app
        self._store = store
        self._check = check_replays
        self._activities = asyncio.Semaphore(settings.max_activities)
        self._orchestrators = asyncio.Semaphore(settings.max_orchestrators)
        # Activities that block threads must not hold up the steps of orchestrations.
        self._threads = ThreadPoolExecutor(settings.max_orchestrators, thread_name_prefix="orchestrator")
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[tuple[str, str, int], asyncio.Task[None]] = {}
        self._stopping = False

    # -- from outside -----------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a start: do again what was decided and not answered, and look into every inbox."""
        for instance, execution, work in self._store.open_work():
            self._dispatch(instance, execution, work)
        for instance in self._store.with_inbox():
            self._kick(instance)

    def start(
        self, name: str, id_: str | None, text: str | None, parent: str | None = None, task: int | None = None
    ) -> str:
        """Create an instance. Raises `InvalidInstance`, KeyError for an unknown function, RuntimeError if it runs."""
        function = self._app.find(name)
        if function is None or function.get_trigger().type != "orchestrationTrigger":
            raise KeyError(name)
        id_ = id_ or uuid.uuid4().hex
        if len(id_) > ID_LIMIT or id_.startswith("@") or any(char in id_ for char in "/\\#?"):
            raise InvalidInstance(f"instance id {id_!r} is longer than {ID_LIMIT} or holds one of / \\ # ? @")
        known = self._store.instance(id_)
        if known is not None and not known.final:
            raise RuntimeError(f"An Orchestration instance with the status {known.status} already exists.")
        execution, name = uuid.uuid4().hex, function.get_function_name()
        row = Instance(id_, execution, name, "Pending", text, None, None, now(), now(), parent, task, 0)
        with self._store.transaction():
            self._store.create(row, started(name, text, id_, execution))
        self._kick(id_)
        return id_

    def raise_event(self, id_: str, name: str, text: str) -> None:
        """Deliver an external event to an instance that has not ended."""
        self._post(id_, event(Type.EVENT_RAISED, Name=name, Input=text))

    def terminate(self, id_: str, reason: str) -> None:
        """End an instance and its children where they stand; work under way goes on and answers nobody."""
        with self._store.transaction():
            self._store.update(id_, status="Terminated", output=json.dumps(reason))
        for child in self._store.instances():
            if child.parent == id_ and not child.final:
                self.terminate(child.id, reason)

    def suspend(self, id_: str, suspended: bool) -> None:
        """Stop or resume taking steps."""
        with self._store.transaction():
            self._store.update(id_, status="Suspended" if suspended else "Running", suspended=int(suspended))
        self._kick(id_)

    async def stop(self, grace: float) -> None:
        """Let work under way finish for a while, then leave it to the next start."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- one step ---------------------------------------------------------------------------------------------------

    def _kick(self, id_: str) -> None:
        if not self._stopping:
            self._spawn(self._step(id_))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the host failed in %s", task.get_coro(), exc_info=error)

    async def _step(self, id_: str) -> None:
        async with self._locks.setdefault(id_, asyncio.Lock()), self._orchestrators:
            row = self._store.instance(id_)
            if row is None or row.final or row.suspended:
                return
            arrived = self._store.inbox(id_)
            if not arrived:
                return
            fresh = [event(Type.ORCHESTRATOR_STARTED), *(e for _, e in arrived)]
            history = [*self._store.history(id_), *fresh]
            try:
                state = await self._run(row, history)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.exception("instance=%s orchestrator %s failed", id_, row.name)
                self._end(row, arrived[-1][0], "Failed", f"Orchestrator function '{row.name}' failed: {error}")
                return
            current = self._store.instance(id_)
            if current is None or current.final or current.execution != row.execution:
                return  # terminated, and perhaps started anew, while the orchestrator ran
            try:
                replay = Replay(id_, row.execution, history, state["actions"][0] if state["actions"] else [])
                if self._check:
                    await self._compare(row, history, state)
            except (NonDeterministic, NotImplementedError) as error:
                log.error("instance=%s %s", id_, error)
                self._end(row, arrived[-1][0], "Failed", f"Non-deterministic workflow detected: {error}")
                return
            self._commit(row, fresh, arrived[-1][0], state, replay)

    async def _run(self, row: Instance, history: list[Event]) -> dict[str, Any]:
        """The orchestrator's answer to a history."""
        import azure.functions as func

        context = {
            "history": history,
            "input": json.loads(row.input) if row.input else None,
            "instanceId": row.id,
            "isReplaying": any(e["IsPlayed"] for e in history),
            "parentInstanceId": row.parent,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
        }
        function = self._app.functions[row.name]
        try:
            answer = await self._app.call(function, func.OrchestrationContext(json.dumps(context)), self._threads)
        except Exception as error:
            if MARK not in str(error):
                raise
            log.error("instance=%s orchestrator %s failed: %s", row.id, row.name, str(error).split(MARK)[0].strip())
            answer = str(error).split(MARK, 1)[1]
        result: dict[str, Any] = json.loads(answer)
        return result

    async def _compare(self, row: Instance, history: list[Event], state: dict[str, Any]) -> None:
        """Run it again over the same history: an orchestrator that asks the clock or a die betrays itself."""
        again = await self._run(row, history)
        if again["actions"] != state["actions"]:
            pairs = zip(state["actions"][0], again["actions"][0], strict=False)
            place = next((number for number, (one, other) in enumerate(pairs) if one != other), "the last")
            raise NonDeterministic(f"two replays of one history differ in action {place}")

    def _commit(self, row: Instance, fresh: list[Event], last: int, state: dict[str, Any], replay: Replay) -> None:
        new = [event(type_, id_, **fields) for type_, id_, fields in replay.decisions]
        wanted = [e for e in new if e["EventId"] not in replay.cancelled]
        columns = _columns(row, state, replay)
        again = "execution" in columns
        with self._store.transaction():
            self._store.taken(row.id, last)
            for id_ in replay.cancelled:
                self._store.work_done(row.id, row.execution, id_)
            if again:
                self._store.clear_history(row.id)
                self._store.drop_answers(row.id)
                first = started(row.name, columns["input"], row.id, columns["execution"])
                self._store.post(row.id, first)
            else:
                self._store.extend(row.id, [*fresh, *new, event(Type.ORCHESTRATOR_COMPLETED)])
            for work in wanted:
                self._store.add_work(row.id, row.execution, work)
            self._store.update(row.id, **columns)
            self._tell_parent(row, columns)
        self._cancel_timers(row, replay.cancelled)
        for work in wanted:
            self._dispatch(row.id, row.execution, work)
        if again or self._store.inbox(row.id):
            self._kick(row.id)
        if columns["status"] in FINAL and row.parent:
            self._kick(row.parent)

    def _cancel_timers(self, row: Instance, ids: set[int]) -> None:
        for id_ in ids:
            timer = self._timers.pop((row.id, row.execution, id_), None)
            if timer is not None:
                timer.cancel()

    def _end(self, row: Instance, last: int, status: str, text: str) -> None:
        current = self._store.instance(row.id)
        if current is None or current.execution != row.execution:
            return
        columns = {"status": status, "output": json.dumps(text)}
        with self._store.transaction():
            self._store.taken(row.id, last)
            self._store.update(row.id, **columns)
            self._tell_parent(row, columns)
        if row.parent:
            self._kick(row.parent)

    def _tell_parent(self, row: Instance, columns: dict[str, Any]) -> None:
        if columns["status"] not in FINAL or not row.parent or row.parent_task is None:
            return
        if columns["status"] == "Completed":
            answer = event(Type.SUB_COMPLETED, TaskScheduledId=row.parent_task, Result=columns["output"])
        else:
            reason = json.loads(columns["output"])
            answer = event(Type.SUB_FAILED, TaskScheduledId=row.parent_task, Reason=reason, Details="")
        self._store.post(row.parent, answer)

    # -- work -------------------------------------------------------------------------------------------------------

    def _dispatch(self, id_: str, execution: str, work: Event) -> None:
        if self._stopping:
            return
        match work["EventType"]:
            case Type.TASK_SCHEDULED:
                self._spawn(self._activity(id_, execution, work))
            case Type.TIMER_CREATED:
                timer = asyncio.get_running_loop().create_task(self._timer(id_, execution, work))
                self._timers[id_, execution, work["EventId"]] = timer
            case Type.SUB_CREATED:
                self._start_child(id_, execution, work)
            case Type.EVENT_SENT:
                self._spawn(self._entity(id_, execution, work))

    def _answer(self, id_: str, execution: str, work: Event, answer: Event | None) -> None:
        """The work is done: out of the outbox, into the inbox, unless nobody waits for it any more."""
        with self._store.transaction():
            open_ = self._store.work_done(id_, execution, work["EventId"])
            row = self._store.instance(id_)
            if open_ and answer is not None and row is not None and not row.final and row.execution == execution:
                self._store.post(id_, answer)
        self._kick(id_)

    def _post(self, id_: str, arrived: Event) -> None:
        with self._store.transaction():
            self._store.post(id_, arrived)
        self._kick(id_)

    async def _timer(self, id_: str, execution: str, work: Event) -> None:
        await sleep_until(moment(work["FireAt"]))
        self._timers.pop((id_, execution, work["EventId"]), None)
        fired = event(Type.TIMER_FIRED, TimerId=work["EventId"], FireAt=work["FireAt"])
        self._answer(id_, execution, work, fired)

    async def _activity(self, id_: str, execution: str, work: Event) -> None:
        from azure.functions import durable_functions, meta

        name, task = work["Name"], work["EventId"]
        async with self._activities:
            try:
                function = self._app.find(name)
                if function is None:
                    raise KeyError(f"there is no activity function {name}")
                converter = durable_functions.ActivityTriggerConverter
                argument = converter.decode(meta.Datum(work["Input"], "json"), trigger_metadata=None)
                result = converter.encode(await self._app.call(function, argument), expected_type=None).value
                answer = event(Type.TASK_COMPLETED, TaskScheduledId=task, Result=result)
            except asyncio.CancelledError:
                raise  # the host stops: the work stays in the outbox
            except Exception as error:
                log.exception("activity %s of instance %s failed", name, id_)
                reason = f"Activity function '{name}' failed:  {type(error).__name__}: {error}"
                answer = event(Type.TASK_FAILED, TaskScheduledId=task, Reason=reason, Details=repr(error))
        self._answer(id_, execution, work, answer)

    def _start_child(self, id_: str, execution: str, work: Event) -> None:
        if self._store.instance(work["InstanceId"]) is None:
            try:
                self.start(work["Name"], work["InstanceId"], json.dumps(work["Input"]), id_, work["EventId"])
            except (KeyError, ValueError, RuntimeError) as error:
                failed = event(Type.SUB_FAILED, TaskScheduledId=work["EventId"], Reason=str(error), Details="")
                self._answer(id_, execution, work, failed)
                return
        self._answer(id_, execution, work, None)

    async def _entity(self, id_: str, execution: str, work: Event) -> None:
        import azure.functions as func

        entity, request = work["InstanceId"].lower(), json.loads(work["Input"])
        async with self._locks.setdefault(entity, asyncio.Lock()):
            _, name, key = entity.split("@", 2)
            function = self._app.find(name)
            if function is None:
                raise KeyError(f"there is no entity function {name}")
            before = self._store.entity(entity)
            body = {
                "self": {"name": name, "key": key},
                "exists": before is not None,
                "state": before,
                "batch": [{"name": request["op"], "input": request["input"], "isSignal": request["signal"]}],
            }
            out = json.loads(await self._app.call(function, func.EntityContext(json.dumps(body))))
            with self._store.transaction():
                self._store.save_entity(entity, out["entityState"] if out["entityExists"] else None)
                self._store.work_done(id_, execution, work["EventId"])
                if not request["signal"]:
                    result = out["results"][0]
                    text = {"result": result["result"]} | ({"exceptionType": "Exception"} if result["isError"] else {})
                    answer = event(Type.EVENT_RAISED, Name=request["id"], Input=json.dumps(text))
                    self._store.post(request["parent"], answer)
        self._kick(request["parent"])


def _columns(row: Instance, state: dict[str, Any], replay: Replay) -> dict[str, Any]:
    """What of the instance a step changes; a new `execution` means that it begins anew."""
    columns: dict[str, Any] = {"status": "Running"}
    if state.get("customStatus"):
        columns["custom"] = json.dumps(state["customStatus"])
    if not replay.finished:
        return columns
    if state.get("error"):
        text = f"Orchestrator function '{row.name}' failed: {state['error']}"
        return columns | {"status": "Failed", "output": json.dumps(text)}
    if replay.continue_with is not None:
        return columns | {"execution": uuid.uuid4().hex, "input": json.dumps(replay.continue_with[0])}
    if state["isDone"]:
        return columns | {"status": "Completed", "output": json.dumps(state.get("output"))}
    return columns
