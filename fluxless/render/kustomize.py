"""Builds with `fluxless-kustomize`, our own program around kustomize's library (docs/decisions/build-program.md).

A few processes stay alive and take one build at a time each: they start when they are needed and end when nothing is
to build. A build that goes over its limits is killed with its process, and fails alone.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from weakref import WeakKeyDictionary

from fluxless import limits
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.fair_slots import FairSlots
from fluxless.process import Conversation, Ended, ProcessProblem
from fluxless.render.binaries import PROGRAM, binary, setting_of

GREETING = b"yfluxless-kustomize 1"
"""What the program says first: which protocol this is."""
ARGUMENTS = (f"-memory={limits.BUILD_MEMORY}", f"-cpu={limits.BUILD_CPU}", f"-output={limits.BUILD_OUTPUT}")
"""Its arguments, for builds and for post-rendering alike."""
AT_ONCE = 2 * max(1, (os.cpu_count() or 1) - 1)
"""Builds at the same time. One tenant has half of them, so that a core is left for the others and for the worker."""
IDLE = 60.0
"""Seconds that a process without work stays."""
START = 30.0
"""Seconds until it greets, on a machine that is very busy."""
_NO_MEMORY, _NO_CPU = 2, 65
"""Exit codes: Go's own when it gets no more memory, and the program's when its time is up."""


class KustomizeFailed(Problem):
    """kustomize's words about what it cannot build; paths of this machine are in them."""

    def __init__(self, words: str) -> None:
        super().__init__(Failure(FailureClass.BUILD, words))
        self.words = words


class OverLimits(Problem):
    """A build went over its limits, and was killed."""

    def __init__(self, what: str) -> None:
        step = "split the path into several Kustomizations"
        super().__init__(Failure(FailureClass.BUILD, f"kustomize build failed: {what}", next_step=step))


async def kustomize(
    root: Path,
    folder: Path,
    changed: Mapping[str, bytes] | None = None,
    *,
    timeout: float = limits.BUILD_SECONDS,
) -> str:
    """What kustomize makes of a folder below the root, as YAML. Nothing outside of the root is read.

    `changed` stands in the place of files, by path below the root. A longer `timeout` than the limit lengthens nothing.
    Raises `KustomizeFailed`, `OverLimits`, `ProcessProblem`.
    """
    files = {name: base64.b64encode(data).decode() for name, data in (changed or {}).items()}
    question = json.dumps({"root": str(root), "path": str(folder), "files": files}).encode()
    seconds = min(timeout, limits.BUILD_SECONDS)
    async with _pool().process() as process:
        try:
            answer = await process.ask(question, timeout=seconds, at_most=limits.BUILD_OUTPUT + limits.MIB)
        except TimeoutError:
            raise OverLimits(f"it took longer than {seconds:.0f} s") from None
        except Ended as ended:
            raise OverLimits(_reason(ended.code)) from None
    kind, text = answer[:1], answer[1:].decode(errors="replace")
    if kind != b"y":
        raise KustomizeFailed(text)
    return text


def _reason(code: int) -> str:
    if code == _NO_MEMORY:
        return f"it needs more than {limits.BUILD_MEMORY // limits.MIB} MiB of memory"
    if code == _NO_CPU:
        return f"it needs more than {limits.BUILD_CPU} s of processor time"
    return f"its process ended with code {code}"


class _Pool:
    """The processes of one event loop."""

    def __init__(self) -> None:
        self._idle: list[tuple[float, Conversation]] = []
        self._slots = FairSlots(AT_ONCE)

    @contextlib.asynccontextmanager
    async def process(self) -> AsyncIterator[Conversation]:
        """One that is free, or a new one; it is kept if it is still alive afterwards."""
        async with self._slots.taken():
            process = self._taken() or await _started()
            yield process  # whoever fails has killed it
            self._idle.append((time.monotonic(), process))
            asyncio.get_running_loop().call_later(IDLE + 1.0, self._end_idle)

    def _taken(self) -> Conversation | None:
        while self._idle:
            _, process = self._idle.pop()  # the last one that worked: the others may end
            if process.alive:
                return process
            process.kill()
        return None

    def _end_idle(self) -> None:
        now = time.monotonic()
        for since, process in self._idle:
            if now - since >= IDLE:
                process.kill()
        self._idle = [(since, process) for since, process in self._idle if now - since < IDLE]


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()


def _pool() -> _Pool:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _pools[loop] = _Pool()
    return _pools[loop]


async def _started() -> Conversation:
    executable = await binary(PROGRAM)
    process = Conversation([executable, "serve", *ARGUMENTS])
    try:
        greeting = await process.ask(None, timeout=START, at_most=len(GREETING))
    except (Ended, ValueError):
        greeting = b""
    except TimeoutError:
        raise ProcessProblem(f"{PROGRAM} did not start within {START:.0f} s") from None
    if greeting != GREETING:
        process.kill()
        setting = setting_of(PROGRAM)
        raise ProcessProblem(
            f"{executable} is not the build program of this release", f"unset {setting}, or correct its path"
        )
    return process
