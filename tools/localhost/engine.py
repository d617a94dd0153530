"""Orchestrations: takes messages in, runs one step at a time of each instance, and sends out what a step has decided.
Used by `durable_http` and `server`; all of it happens on the event loop, apart from the app's own code.

A step is one SQLite transaction: new history, consumed messages, scheduled activities and timers, started and answered
sub-orchestrations, custom status. Only after the commit does anybody hear of it, so that whatever was lost with the
process is found in the file again (`recover`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tools.localhost.activities import Activities
from tools.localhost.alarms import Alarms
from tools.localhost.events import Event, Kind, event, played, stamp
from tools.localhost.invocation import Invoker
from tools.localhost.loading import App, Function
from tools.localhost.steps import Step, failed, new_events, replay_differs, take_step
from tools.localhost.store import Alarm, Instance, Job, Store

log = logging.getLogger("localhost")

STEP_THREADS = 4
"""Orchestrators are Python code that never waits: more threads than this only take the GIL from each other."""


class UnknownOrchestrator(Exception):
    """The app has no orchestrator of that name."""


class AlreadyRunning(Exception):
    """An instance of that id has not ended."""


@dataclass(slots=True)
class Outbox:
    """What a transaction has kept and the rest of the host has to hear of after the commit."""

    jobs: list[Job] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)


class Engine:
    """`limits` are activities at once by name, beside the total; `check` replays each history after each step."""

    def __init__(
        self,
        store: Store,
        app: App,
        invoker: Invoker,
        *,
        max_activities: int,
        max_orchestrators: int,
        limits: Mapping[str, int] | None = None,
        check: bool = True,
    ) -> None:
        self.store, self._app, self._check = store, app, check
        self._activities = Activities(app, invoker, max_activities, limits or {}, self._activity_ended)
        self._alarms = Alarms(self._timers_due)
        self._slots = asyncio.Semaphore(max_orchestrators)
        self._steps = ThreadPoolExecutor(min(max_orchestrators, STEP_THREADS), thread_name_prefix="orchestrator")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="replay-check")
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._to_check: dict[str, tuple[Instance, list[str], Step, Function]] = {}
        self._checking: asyncio.Task[None] | None = None
        self._stopped = False

    # life

    def recover(self) -> None:
        """Take up everything that was under way when the last process ended."""
        self._activities.add(self.store.jobs())
        self._alarms.add(self.store.alarms())
        for id_ in self.store.unfinished():
            self._wake(id_)

    async def stop(self, patience: float) -> None:
        """Begin nothing new; wait up to `patience` seconds for running activities. The rest runs at the next start."""
        self._stopped = True
        self._alarms.stop()
        cut = await self._activities.stop(patience)
        if cut:
            log.warning("%d activities were still running after %g s; they run again at the next start", cut, patience)
        waiting = [*self._busy.values(), *([self._checking] if self._checking else [])]
        if waiting:
            await asyncio.wait(waiting, timeout=5)
        self._steps.shutdown(wait=False, cancel_futures=True)
        self._checks.shutdown(wait=False, cancel_futures=True)

    # what clients ask for

    def start(self, name: str, id_: str | None, input_: str | None) -> str:
        """Start an instance; `input_` is a JSON text. Raises UnknownOrchestrator or AlreadyRunning."""
        function = self._app.find("orchestrationTrigger", name)
        if function is None:
            raise UnknownOrchestrator(f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator.")
        row = _new_instance(function.name, id_ or uuid.uuid4().hex, input_)
        with self.store.transaction():
            self._add_unless_running(row)
        self._wake(row.id)
        return row.id

    def raise_event(self, row: Instance, name: str, text: str) -> None:
        """An external event; `text` is JSON. It waits in the inbox until an execution takes it."""
        self.store.post(row.id, "", json.dumps(event(Kind.EVENT_RAISED, Name=name, Input=text)))
        self._wake(row.id)

    def terminate(self, row: Instance, reason: str) -> None:
        """End an instance now. What it has started runs on, and its results are dropped."""
        self._end(row, "Terminated", json.dumps(reason))

    def suspend(self, row: Instance, suspended: bool) -> None:
        """Hold an instance (its messages wait), or let it go on."""
        self.store.update(row.id, suspended=int(suspended))
        self._wake(row.id)

    def purge(self, rows: list[Instance]) -> int:
        """Forget instances and their histories."""
        with self.store.transaction():
            for row in rows:
                self.store.forget(row.id)
        return len(rows)

    # steps

    def _wake(self, id_: str) -> None:
        if id_ not in self._busy and not self._stopped:
            self._busy[id_] = asyncio.get_running_loop().create_task(self._drain(id_))

    async def _drain(self, id_: str) -> None:
        try:
            while not self._stopped and await self._step(id_):
                pass
        except Exception:
            log.exception("instance=%s: the host failed in a step; it is tried again at the next message or start", id_)
        finally:
            del self._busy[id_]

    async def _step(self, id_: str) -> bool:
        """Run a step if there is anything to do, and say so."""
        row = self.store.instance(id_)
        if row is None or row.final or row.suspended:
            return False
        inbox = self.store.inbox(id_)
        messages = [json.loads(text) for _, execution, text in inbox if execution in ("", row.execution)]
        if row.started and not messages:
            return False
        function = self._app.find("orchestrationTrigger", row.name)
        if function is None:
            self._end(row, "Failed", failed(row.name, "the app no longer has this function"))
            return False
        past, fresh = self.store.history(id_), new_events(row, messages)
        loop = asyncio.get_running_loop()
        async with self._slots:
            step = await loop.run_in_executor(self._steps, take_step, row, past, fresh, function, self._exists)
            if self._check and step.status in ("Completed", "Continued"):  # no later step would tell
                problem = await loop.run_in_executor(self._checks, replay_differs, row, past, step, function)
                if problem:
                    step = Step("Failed", fresh, output=failed(row.name, problem), custom=step.custom)
        now = self.store.instance(id_)
        if now is None or now.final or now.execution != row.execution:
            return now is not None  # terminated, purged or started anew meanwhile: what came out is void
        self._commit(row, past, step, inbox[-1][0] if inbox else 0)
        if self._check and step.status == "Running":
            self._check_later(row, past, step, function)
        return True

    def _exists(self, trigger: str, name: str) -> bool:
        return self._app.find(trigger, name) is not None

    def _commit(self, row: Instance, past: list[str], step: Step, last: int) -> None:
        outbox = Outbox()
        with self.store.transaction():
            self.store.take(row.id, last)
            for decision in step.decisions:
                self._keep(row, decision, outbox)
            if step.custom is not None:
                self.store.update(row.id, custom=step.custom)
            if step.status == "Continued":
                self._continue_as_new(row, step)
            else:
                self.store.append_history(row.id, len(past), [played(e) for e in step.events])
                self.store.update(row.id, started=1, status=step.status, output=step.output)
            if step.status in ("Completed", "Failed"):
                self._finish(row, step.status, step.output or "null", outbox)
        self._deliver(outbox)

    def _keep(self, row: Instance, decision: Event, outbox: Outbox) -> None:
        kind, number = decision["EventType"], decision["EventId"]
        if kind == Kind.TASK_SCHEDULED:
            job = self.store.add_job(row.id, row.execution, number, decision["Name"], decision["Input"])
            outbox.jobs.append(job)
        elif kind == Kind.TIMER_CREATED:
            alarm = Alarm(row.id, row.execution, number, decision["FireAt"])
            self.store.add_alarm(alarm)
            outbox.alarms.append(alarm)
        elif kind == Kind.SUB_CREATED:
            function = self._app.find("orchestrationTrigger", decision["Name"])
            assert function is not None  # noqa: S101 - `Replay` has looked
            child = _new_instance(function.name, decision["InstanceId"], json.dumps(decision["Input"]))
            child = replace(child, parent=row.id, parent_execution=row.execution, parent_task=number)
            try:
                self._add_unless_running(child)
                outbox.woken.append(child.id)
            except AlreadyRunning as problem:
                self._answer_parent(child, "Failed", json.dumps(str(problem)), outbox)

    def _add_unless_running(self, row: Instance) -> None:
        old = self.store.instance(row.id)
        if old and not old.final:
            raise AlreadyRunning(f"An orchestration instance with the ID {row.id} is already running.")
        self.store.add_instance(row)

    def _continue_as_new(self, row: Instance, step: Step) -> None:
        """A new execution with an empty history, and with all events that nobody has heard, in their order."""
        later = [text for _, execution, text in self.store.inbox(row.id) if execution == ""]
        self.store.drop_messages(row.id)
        self.store.clear_history(row.id)
        for unheard in step.unheard:
            log.warning(
                "instance=%s: event %s was not awaited before continue_as_new; it is kept here, and dropped on Azure",
                row.id,
                unheard["Name"],
            )
            self.store.post(row.id, "", json.dumps(unheard))
        for text in later:
            self.store.post(row.id, "", text)
        self.store.update(row.id, execution=uuid.uuid4().hex, started=0, status="Running", input=step.input)

    def _end(self, row: Instance, status: str, output: str) -> None:
        """End an instance from outside of a step."""
        outbox = Outbox()
        with self.store.transaction():
            self.store.update(row.id, status=status, output=output)
            self._finish(row, status, output, outbox)
        self._deliver(outbox)

    def _finish(self, row: Instance, status: str, output: str, outbox: Outbox) -> None:
        if status == "Failed":
            log.error("function=%s instance=%s failed: %s", row.name, row.id, json.loads(output)[:1000])
        self.store.drop_messages(row.id)
        self._answer_parent(row, status, output, outbox)

    def _answer_parent(self, row: Instance, status: str, output: str, outbox: Outbox) -> None:
        if row.parent is None:
            return
        if status == "Completed":
            answer = event(Kind.SUB_COMPLETED, TaskScheduledId=row.parent_task, Result=output)
        else:
            answer = event(Kind.SUB_FAILED, TaskScheduledId=row.parent_task, Reason=json.loads(output), Details="")
        self.store.post(row.parent, row.parent_execution or "", json.dumps(answer))
        outbox.woken.append(row.parent)

    def _deliver(self, outbox: Outbox) -> None:
        self._activities.add(outbox.jobs)
        self._alarms.add(outbox.alarms)
        for id_ in outbox.woken:
            self._wake(id_)

    # what comes back

    def _activity_ended(self, job: Job, result: Event) -> None:
        with self.store.transaction():
            self.store.remove_job(job.seq)
            self._post_if_current(job.instance, job.execution, result)
        self._wake(job.instance)

    def _timers_due(self, alarms: list[Alarm]) -> None:
        with self.store.transaction():
            for alarm in alarms:
                if self.store.remove_alarm(alarm):
                    fired = event(Kind.TIMER_FIRED, TimerId=alarm.task, FireAt=alarm.fire_at)
                    self._post_if_current(alarm.instance, alarm.execution, fired)
        for alarm in alarms:
            self._wake(alarm.instance)

    def _post_if_current(self, id_: str, execution: str, message: Event) -> None:
        row = self.store.instance(id_)
        if row and not row.final and row.execution == execution:
            self.store.post(id_, execution, json.dumps(message))

    # the check for determinism, behind the steps so that it delays nobody

    def _check_later(self, row: Instance, past: list[str], step: Step, function: Function) -> None:
        self._to_check[row.id] = row, past, step, function  # a later history holds the earlier one: one check does
        if self._checking is None:
            self._checking = asyncio.get_running_loop().create_task(self._check_all())

    async def _check_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._to_check and not self._stopped:
                row, past, step, function = self._to_check.pop(next(iter(self._to_check)))
                problem = await loop.run_in_executor(self._checks, replay_differs, row, past, step, function)
                now = self.store.instance(row.id)
                if problem and now and now.execution == row.execution and not now.final:
                    self._end(now, "Failed", failed(row.name, problem))
        finally:
            self._checking = None


def _new_instance(name: str, id_: str, input_: str | None) -> Instance:
    now = stamp(datetime.now(UTC))
    return Instance(
        id=id_,
        execution=uuid.uuid4().hex,
        name=name,
        status="Pending",
        suspended=0,
        started=0,
        input=input_,
        output=None,
        custom=None,
        created=now,
        updated=now,
        parent=None,
        parent_execution=None,
        parent_task=None,
    )
