"""Run the activities that are due, oldest first, within the limits of host.json. Used by `engine`, which keeps what is
due and what has come out; an activity that was running when the process died is handed in again.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping

from azure.functions import durable_functions as converters
from azure.functions import meta

from tools.localhost.events import Event, Kind, event
from tools.localhost.invocation import Invoker, one_line
from tools.localhost.loading import App, Function
from tools.localhost.store import Job

DETAILS_LIMIT = 16_000
"""Characters of a traceback that are kept in the history."""


class Activities:
    """`limit` activities at once, of which at most `limits[name]` of that name; `ended` takes each result."""

    def __init__(
        self, app: App, invoker: Invoker, limit: int, limits: Mapping[str, int], ended: Callable[[Job, Event], None]
    ) -> None:
        self._app, self._invoker, self._limit, self._ended = app, invoker, limit, ended
        self._limits = {name.lower(): count for name, count in limits.items()}
        self._due: list[Job] = []
        self._running: dict[asyncio.Task[None], str] = {}
        self._stopped = False

    def add(self, jobs: list[Job]) -> None:
        """Run these as soon as the limits allow."""
        self._due.extend(jobs)
        self._start_due()

    async def stop(self, patience: float) -> int:
        """Start nothing more, wait up to `patience` seconds for what runs, then cancel it. Returns how many were cut."""
        self._stopped = True
        if self._running:
            await asyncio.wait(list(self._running), timeout=patience)
        cut = list(self._running)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut, timeout=1)
        return len(cut)

    def _start_due(self) -> None:
        counts = Counter(self._running.values())
        position = 0
        while not self._stopped and position < len(self._due) and len(self._running) < self._limit:
            name = self._due[position].name.lower()
            if counts[name] >= self._limits.get(name, self._limit):
                position += 1
                continue
            job = self._due.pop(position)
            task = asyncio.get_running_loop().create_task(self._run(job))
            self._running[task] = name
            counts[name] += 1
            task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._start_due()

    async def _run(self, job: Job) -> None:
        function = self._app.find("activityTrigger", job.name)
        if function is None:  # it was there when the activity was scheduled: the app has changed since
            reason = f"The app has no activity function '{job.name}'"
            self._ended(job, event(Kind.TASK_FAILED, TaskScheduledId=job.task, Reason=reason, Details=""))
            return
        try:
            result = await self._call(function, job)
        except Exception as error:
            reason = f"Activity function '{job.name}' failed: {one_line(error)}"
            details = "".join(traceback.format_exception(error))[-DETAILS_LIMIT:]
            self._ended(job, event(Kind.TASK_FAILED, TaskScheduledId=job.task, Reason=reason, Details=details))
        else:
            self._ended(job, event(Kind.TASK_COMPLETED, TaskScheduledId=job.task, Result=result))

    async def _call(self, function: Function, job: Job) -> str:
        converter = converters.ActivityTriggerConverter
        value = None
        if job.input is not None:
            value = converter.decode(meta.Datum(job.input, "json"), trigger_metadata=None)
        result = await self._invoker.call(function, value, f"instance={job.instance} task={job.task}")
        return str(converter.encode(result, expected_type=None).value)
