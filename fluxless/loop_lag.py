"""How late the event loop of a worker is, and which step has held it up: all objects share it, so no step may block it.

1. A thread asks the loop a few times a second; how long the answer takes is the metric.
2. While there is no answer it looks who has the loop. A task that has it for too long without a pause blocks everybody:
   where it stands, and the step that it works on, are kept to be told.
3. The next activity that ends tells it: Azure takes log lines of an invocation only, and a thread has none.

Modules that are loaded meanwhile are the cold start, which has its own measurements, and are not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections import deque
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

from fluxless import metrics

log = logging.getLogger("fluxless.loop")
EVERY = 0.25
"""Seconds between an answer and the next question."""
LOOK = 0.05
"""Seconds between two looks at who has the loop."""
BLOCKED = 0.5
"""Seconds for which a task may have it without a pause."""
PATIENCE = 10.0
"""Seconds after which no answer is waited for any more: what is seen until then is told."""
QUIET = 600.0
"""Seconds for which a file of code is told of once."""
NO_STEP = "phase=none"
"""Of a task that works on no object: a plan, a webhook."""
HERE = Path(__file__).resolve().parents[1]
_OURS = (f"{HERE / 'fluxless'}/", f"{HERE / 'functions'}/")
_LOADING = "<frozen importlib._bootstrap>"

_step: ContextVar[str] = ContextVar("step", default=NO_STEP)
_untold: deque[tuple[str, float, str]] = deque(maxlen=20)


def entered(step: str) -> None:
    """From now on this task, and those that it starts, work on that step: `cluster=dev object=… phase=build`."""
    _step.set(step)
    if (task := asyncio.current_task()) is not None:
        task.set_name(step)


def tell() -> None:
    """Write what has held up the loop since the last time into the log."""
    while _untold:
        log.warning("alert=loop-blocked %s seconds=%.1f at=%s", *_untold.popleft())


def watch() -> threading.Event:
    """Watch the running loop until it ends, or the event is set."""
    stop = threading.Event()
    arguments = (asyncio.get_running_loop(), threading.get_ident(), stop)
    threading.Thread(target=_watch, args=arguments, name="loop-lag", daemon=True).start()
    return stop


def _watch(loop: asyncio.AbstractEventLoop, thread: int, stop: threading.Event) -> None:
    told: dict[str, float] = {}
    while not stop.wait(EVERY) and loop.is_running():
        asked, answered = time.monotonic(), threading.Event()
        with contextlib.suppress(RuntimeError):  # it has been closed
            loop.call_soon_threadsafe(_answer, asked, answered)
        blocker = _blocker(loop, thread, answered)
        now = time.monotonic()
        if blocker is None:
            continue
        step, place = blocker
        file = place.partition(":")[0]
        if now - told.get(file, float("-inf")) >= QUIET:
            told[file] = now
            _untold.append((step, now - asked, place))


def _answer(asked: float, answered: threading.Event) -> None:
    metrics.LOOP_LAG.observe(time.monotonic() - asked)
    answered.set()


def _blocker(loop: asyncio.AbstractEventLoop, thread: int, answered: threading.Event) -> tuple[str, str] | None:
    """The step that has the loop for too long before it answers, and where it stands."""
    began = since = time.monotonic()
    having: asyncio.Task[Any] | None = None
    found: tuple[str, str] | None = None
    while not answered.wait(LOOK) and (now := time.monotonic()) - began < PATIENCE:
        task = asyncio.current_task(loop)
        if task is None or task is not having:  # many short steps, or a machine that is busy with something else
            having, since = task, now
        elif found is None and now - since >= BLOCKED:
            place = _place(sys._current_frames().get(thread))
            found = (_step_of(task), place) if place else None
    return found


def _step_of(task: asyncio.Task[Any]) -> str:
    """What it works on, inherited from the task that has started it; Python 3.11 shows a task's own name only."""
    if sys.version_info >= (3, 12):
        return task.get_context().get(_step, NO_STEP)
    return task.get_name() if "=" in task.get_name() else NO_STEP


def _place(frame: FrameType | None) -> str:
    """The innermost line of ours, and the one elsewhere that it waits for: files and lines, no values."""
    stack = [(one.f_code, line) for one, line in traceback.walk_stack(frame)] if frame is not None else []
    ours = next((place for place in stack if place[0].co_filename.startswith(_OURS)), None)
    if ours is None or any(code.co_filename == _LOADING for code, _ in stack):
        return ""
    (code, line), (inner, at) = ours, stack[0]
    place = f"{Path(code.co_filename).relative_to(HERE).as_posix()}:{line} in={code.co_name}"
    if inner is code:
        return place
    return f"{place} calls={'/'.join(Path(inner.co_filename).parts[-2:])}:{at}"
